# %% [markdown]
# # 01 · Reading a child's CT
#
# *30 minutes · students, clinicians, lecturers · reading along needs no programming*
#
# **You will be able to**
# - say what a gray value in a CT means, and choose a window for what you want to see,
# - tell the three planes and the sides of a picture apart,
# - turn voxels into millimeters and milliliters,
# - say why two hospitals' pictures of the same organ differ.

# %%
from pedseg.workbook import charts, figures, lesson

lesson.setup()

# %% [markdown]
# ## A scan is a box of numbers
#
# A CT scanner sends X-rays through the child from all sides and computes, for every little box of tissue, how strongly
# it weakens them. Such a box is a **voxel**. We open one scan from the hospital *Polder*. It is a file in the NIfTI
# format (`.nii.gz`): the numbers, plus a note that says where in the child each number belongs.

# %%
from pedseg.datasets.loading import load_image, load_labels

polder, neckar = lesson.samples()
child = polder.cases[0]
ct = load_image(child)
print(f"{child.name}, {child.age_months / 12:.1f} years: {ct.shape} voxels")

# %% [markdown]
# ## Hounsfield units: the gray value means something
#
# In a photograph a bright pixel is just bright. In a CT the number is a measurement, in **Hounsfield units** (HU):
#
# | | HU |
# |---|---|
# | air | -1000 |
# | lung | about -800 |
# | fat | about -100 |
# | water | 0 |
# | soft tissue | about 30 to 70 |
# | organs with contrast agent | about 100 to 200 |
# | bone | 200 and far above |
#
# Water is 0 and air is -1000 *by definition*, on every scanner in the world. So a network trained on HU has a chance to
# work elsewhere, too. Which HU occur in this child, in the whole scan and in two organs? To find out, we also open the
# **label map**. It is an array of the same shape, in which every voxel holds the number of its organ (0 for none).

# %%
from pedseg.organs import organ

organs = load_labels(polder, child).voxels
liver = organs == organ("Liver").id
lung = organs == organ("Lung_R").id

# %% [markdown] lecture
# ## A gray value is a measurement
#
# Every voxel holds a number in **Hounsfield units**: air is -1000 and water 0, on every scanner in the world.
#
# > **Question.** One of these peaks is the air around the child. Which one is the liver, and why is it not a line?

# %% slide
voxels = {"whole scan": ct.voxels, "right lung": ct.voxels[lung], "liver": ct.voxels[liver]}
chart = charts.histogram(voxels, windows=["soft tissue", "lung"])
figures.show(chart, "How often each HU occurs: peaks for air, lung, fat and soft tissue.")

# %% [markdown]
# The whole scan has a tall peak for the air around the child, and a group of peaks between fat and soft tissue. The
# liver is a narrow peak. It is not a single line, because the scanner's **noise** spreads it.
#
# ## Windows: which part of the scale do you want to see?
#
# The scale covers several thousand HU, but a screen shows about 250 shades, and the eye can tell even fewer apart. So a
# radiologist stretches part of the scale over all shades: a **window**, given by its center and its width. What lies
# below the window is black, and what lies above it is white. Here is the same slice three times.

# %% [markdown] lecture
# ## One slice, three windows
#
# The scale covers thousands of HU. A **window** stretches part of it over the shades that an eye can tell apart.
#
# > **Question.** The soft-tissue window has its center at 40 HU and a width of 400 HU. Below what HU is everything
# > black?

# %% slide
z = figures.fullest(organs)
names = ("soft tissue", "lung", "bone")
picture = figures.slices_figure({name: (ct, {"window": name}) for name in names}, index=z)
figures.show(picture, "The same axial slice in soft-tissue, lung and bone window.")

# %% [markdown]
# **Write it.** A window turns HU into gray values: 0 (black) at its lower end and below, 1 (white) at its upper end and
# above, and linear in between. Half of the width lies on each side of the center. (If you do not program, read on: the
# next cells work without your answer.)

# %% exercise
import numpy as np


def to_gray(hu, center, width):
    """HU (an array) as gray values from 0 to 1, through the window of this center and width."""
    lowest = center - width / 2  # answer
    return np.clip((hu - lowest) / width, 0, 1)  # answer


to_gray = lesson.check("to_gray", to_gray)

# %% [markdown] answer
# Without `np.clip`, bone would be brighter than 1, which is white. Every image viewer contains this function.

# %%
gray = to_gray(ct.voxels, center=40, width=400)
print(f"black: {np.mean(gray == 0):.0%} of all voxels, white: {np.mean(gray == 1):.0%}")

# %% [markdown]
# The air around the child is black. So are the lungs, far below the window: you cannot see anything inside them. Fat
# lies inside the window, but near its lower end: it is dark gray. *Stretch goal:* radiologists also use two windows at
# once. Write a function that shows lung and soft tissue in one picture. What does a gray value mean then?
#
# ## Three planes, and whose right is right
#
# The box can be cut in three directions. **Axial** slices run across the body, **coronal** slices show the child from
# the front, and **sagittal** slices from the side. The letters at the edge tell the directions: **R**ight, **L**eft,
# **A**nterior (front), **P**osterior (back), **S**uperior (toward the head), **I**nferior (toward the feet).

# %% [markdown] lecture
# ## Three planes, and whose right is right
#
# Axial slices run across the body, coronal ones show it from the front, sagittal ones from the side.
#
# > **Question.** Find the liver. On which side *of the child* is it?

# %% slide
x, y, _ = (int(where.mean()) for where in np.nonzero(organs == organ("Liver").id))
wanted = ["Liver", "Spleen", "Kidney_L", "Kidney_R"]
picture = figures.planes_figure(ct, at=(x, y, z), truth=organs, organs=wanted)
figures.show(picture, "Three planes through the liver, four organs outlined.")

# %% [markdown]
# **Question.** Look for the liver in the axial or the coronal slice. On which side *of the child* is it, `"left"` or
# `"right"`?

# %% exercise
side = "right"  # answer
side = lesson.check("side of the liver", side)

# %% [markdown] answer
# The child faces you: as when you stand at the foot of the bed, the child's right is on the left of the picture. This
# is the *radiological convention*. It matters more than it seems. A program that mixes up left and right will draw
# perfect kidneys with the wrong names, and the dose plan will spare the wrong one. That is why this workbook never
# trains with mirrored children.

# %% [markdown]
# Each file has an **affine**, a small matrix that turns voxel numbers into millimeters and directions. Files on disk
# come in all orders. This library brings every scan into one, `RAS`: the first index grows toward the child's
# **R**ight, the second toward **A**nterior, the third toward **S**uperior.

# %%
print(ct.orientation)
print(ct.affine.round(1))

# %% [markdown]
# ## Spacing: a voxel is not a cube
#
# The first three numbers on the diagonal above are the **spacing**: the distance between neighboring voxels in mm.
# Slices are often thicker than pixels are wide. Draw each voxel as a cube, and you can see it:

# %%
from pedseg.scan import Scan

print("spacing in mm:", ct.spacing_mm)
cubes = Scan(ct.voxels, ct.spacing_mm[0] * np.eye(4))
pictures = {"true to scale": (ct, {}), "each voxel as a cube": (cubes, {})}
picture = figures.slices_figure(pictures, plane="coronal", index=y)
figures.show(picture, "A coronal slice true to scale, and squashed: each voxel as a cube.")

# %% [markdown]
# A network that does not know the spacing sees the squashed child. Keep this in mind for chapter
# [[from_scan_to_tensor]].
#
# **Question.** How many **milliliters** does one voxel hold? A milliliter is a cube with edges of 10 mm.

# %% exercise
width_mm, depth_mm, height_mm = ct.spacing_mm
voxel_ml = width_mm * depth_mm * height_mm / 1000  # answer
voxel_ml = lesson.check("voxel volume", voxel_ml, spacing_mm=ct.spacing_mm)

# %% [markdown] answer
# A milliliter is 10 × 10 × 10 = 1000 mm³. The volume of an organ is the number of its voxels times the volume of one
# voxel.

# %%
present_organs = [organ(name) for name in figures.organs_in(organs)]
volumes = {o.plain: np.count_nonzero(organs == o.id) * voxel_ml for o in present_organs}
picture = charts.bars(volumes, x="volume in mL")
figures.show(picture, "Volumes of all organs in milliliters.")

# %% [markdown]
# The largest organ is hundreds of times as large as the smallest. A network that draws only the large ones is right
# about most voxels and useless for the adrenal glands. Chapter [[how_good_is_a_contour]] returns to that.
#
# ## The hospital next door
#
# The second hospital, *Neckar*, scans children, too. We measure how bright the kidneys are in every sample child of
# both hospitals.


# %%
def kidney_hu(center, child):
    labels = load_labels(center, child).voxels
    kidneys = np.isin(labels, [organ("Kidney_L").id, organ("Kidney_R").id])
    return load_image(child).voxels[kidneys].mean()


both = [(center, child) for center in (polder, neckar) for child in center.cases]
brightness = {child.name: kidney_hu(center, child) for center, child in both}
picture = charts.bars(brightness, x="mean HU in the kidneys")
figures.show(picture, "Kidney brightness, child by child.")

# %% [markdown]
# Here is the child from Polder beside the one from Neckar with the darkest kidneys. What else differs?

# %% [markdown] lecture
# ## The hospital next door
#
# Two children, two scanners, and nothing wrong with either scan. Still, the kidneys look different.
#
# > **Question.** What differs? What would a network do that has seen only the left one?

# %% slide
neighbor = min(neckar.cases, key=lambda case: brightness[case.name])
other, other_organs = load_image(neighbor), load_labels(neckar, neighbor).voxels
kidneys = ["Kidney_L", "Kidney_R"]
z_other = figures.fullest(other_organs, organs=kidneys)
pictures = {
    "Polder": (ct, {"index": z, "truth": organs}),
    "Neckar": (other, {"index": z_other, "truth": other_organs}),
}
picture = figures.slices_figure(pictures, organs=kidneys)
figures.show(picture, "An axial slice from each hospital, kidneys outlined.")

# %% [markdown]
# Children differ, of course: in age, size and build. But the hospitals differ as well. One mostly scans a minute after
# an injection of **contrast agent**, when kidneys and vessels light up; the other mostly scans without it. The tables
# that the children lie on and the sharpness of the pictures are not the same, either. (Real hospitals also differ in
# the thickness of their slices.) To you a kidney is a kidney in both. A network that has only seen one of these
# hospitals may well disagree. Chapter [[one_hospital_learns_alone]] tries it.
#
# ## Scroll through it yourself
#
# Choose planes, slices and windows, and switch organs on and off.

# %%
from pedseg.workbook.slice_viewer import view

view(ct, organs)

# %% [markdown]
# ## What to remember
#
# - HU are measurements. The window decides what you can see of them.
# - The patient's right is on the left of the picture.
# - Spacing turns voxels into millimeters; without it shapes and volumes are wrong.
# - Each hospital leaves its signature on its scans.

# %%
lesson.finish()
