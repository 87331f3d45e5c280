# %% [markdown]
# # 02 · Growing bodies
#
# *30 minutes · students, clinicians · reading along needs no programming*
#
# **You will be able to**
# - say by how much a child's organs grow, and which of them grow differently,
# - work out how long a kidney should be, and say when a longer one is no surprise,
# - say what changes in an abdomen after a kidney is removed,
# - tell from the size of an organ whether a voxel grid can still represent it.

# %%
from pedseg.workbook import charts, figures, lesson, voxel_figures

lesson.setup()

# %% [markdown]
# ## Four children, one scale
#
# "Children are not small adults" is what every pediatrician says. Are they small versions of each other? Here are four
# of them, at 1, 5, 10 and 15 years, seen from the front.

# %%
from pedseg.phantoms.centers import POLDER_PORTAL
from pedseg.phantoms.child import Child
from pedseg.phantoms.phantom import make_phantom
from pedseg.phantoms.ct_scanner import scan_ct

scans = {}
for age in (1, 5, 10, 15):
    child = make_phantom(Child(age_years=age, seed=3))
    scans[f"age {age}"] = scan_ct(child, POLDER_PORTAL, seed=3)

# %% slide
shown = ["Kidney_L", "Kidney_R", "Liver", "Spleen"]
pictures = {}
for name, (ct, labels) in scans.items():
    level = figures.fullest(labels.voxels, "coronal", shown[:2])  # through both kidneys
    pictures[name] = (ct, {"truth": labels.voxels, "index": level})
picture = figures.slices_figure(pictures, plane="coronal", organs=shown)
figures.show(picture, "Coronal slices of four children, 1 to 15 years, all to one scale.")

# %% [markdown]
# > **Where these children come from.** A program draws them. It takes the size of every organ from a table by age, the
# > reference values of the International Commission on Radiological Protection (ICRP Publication 89; the rows of some
# > small organs, the adrenal glands among them, still have to be checked against the report). It adds random variation,
# > since no child is average. So whatever you see here was in the table before. It can teach you what the table says.
# > It proves nothing about real children.
#
# ## By how much does a liver grow?
#
# Here are the table's volumes for the liver at 1 and at 10 years.

# %%
from pedseg.phantoms.anatomy import HEIGHT_CM, VOLUME_ML, at_age

young_ml, old_ml = at_age(VOLUME_ML["Liver"], 1), at_age(VOLUME_ML["Liver"], 10)
print(f"liver at 1 year: {young_ml:.0f} mL, at 10 years: {old_ml:.0f} mL")
print(f"it grows by a factor of {old_ml / young_ml:.1f}")

# %% [markdown]
# In the same nine years the body goes from 10 to 32 kg: a factor of 3.2. So the liver grows *less* than the child. It
# is a thirtieth of a one-year-old, and about a fortieth of a ten-year-old. The youngest have large livers for their
# size: a one-year-old is not a small ten-year-old.
#
# Now three organs over all of childhood. Lines are from the table; dots are children that our program drew, one for
# each year. The scale is logarithmic: the same distance upward is the same *factor* everywhere, so organs with parallel
# lines grow alike.

# %%
import numpy as np

from pedseg.organs import organ

parts = {
    "Liver": ["Liver"],
    "Kidneys": ["Kidney_L", "Kidney_R"],
    "Adrenals": ["Glnd_Adrenal_L", "Glnd_Adrenal_R"],
}
measured = {row: [] for row in parts}
for age in lesson.progress(range(1, 16), 15, "children"):
    child = make_phantom(Child(age_years=age, seed=age))
    for row, names in parts.items():
        voxels = np.isin(child.labels, [organ(name).id for name in names]).sum()
        measured[row].append((age, voxels * np.prod(child.spacing_mm) / 1000))

# %% slide
ages = np.linspace(0, 15, 61)
curves = {row: [(age, at_age(VOLUME_ML[row], age)) for age in ages] for row in parts}
picture = charts.growth(curves, measured)
figures.show(picture, "Volumes of liver, kidneys and adrenals by age, with dots for children.")

# %% [markdown]
# There are three things to see. Liver and kidneys climb most steeply at the left end: a child changes more in its first
# year than in the next four. The dots lie around their lines, not on them: at random, one child's liver is larger,
# another's smaller. And the adrenal glands are an exception: they are large at birth, shrink, and then grow slowly.
#
# ## How long should a kidney be?
#
# Growth follows height more closely than age. An ultrasound study of 437 healthy Korean children below 13 years gives a
# simple rule: *length of the right kidney in cm = 0.051 × height in cm + 2.102* (PMC4901001).
#
# **Question.** How long is the right kidney of a five-year-old of average height?

# %% exercise
height_cm = at_age(HEIGHT_CM["F"], 5)
print(f"average height at 5 years: {height_cm:.0f} cm")
length_cm = 0.051 * height_cm + 2.102  # answer
length_cm = lesson.check("kidney length", length_cm, height_cm=height_cm)

# %% [markdown] answer
# For the left kidney the same study adds 2.280 instead of 2.102: it is a little longer. Other countries have other
# rules. Do our children follow this one? Let us measure from pole to pole, as on an ultrasound screen: the longest
# distance within the organ.

# %%
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist


def kidney_cm(child, name="Kidney_R"):
    points = np.argwhere(child.labels == organ(name).id) * child.spacing_mm
    return pdist(points[ConvexHull(points).vertices]).max() / 10


both = make_phantom(Child(age_years=5, seed=12))
print(f"expected: {length_cm:.1f} cm, drawn: {kidney_cm(both):.1f} cm")

# %% [markdown]
# ## What an operation changes
#
# Many of the children in this workbook had a tumor of the kidney, and the kidney was removed with it. What fills the
# empty space, the **fossa**? Here is the same child, before and after the left kidney was removed.

# %%
operated = make_phantom(Child(age_years=5, seed=12, removed_kidney="left"))
before, labels_before = scan_ct(both, POLDER_PORTAL, seed=12)
after, labels_after = scan_ct(operated, POLDER_PORTAL, seed=12)

# %% slide
level = figures.fullest(labels_before.voxels, organs=["Kidney_L", "Kidney_R", "Spleen"])
pictures = {
    "before": (before, {"truth": labels_before.voxels}),
    "after": (after, {"truth": labels_after.voxels}),
}
shown = ["Kidney_L", "Kidney_R", "Spleen", "Pancreas", "Bowel^Stomach", "Liver"]
picture = figures.slices_figure(pictures, index=level, organs=shown)
figures.show(picture, "The same axial slice before and after the left kidney was removed.")

# %% [markdown]
# The fossa does not stay empty. Fat and bowel move in; the spleen and the tail of the pancreas sink back. A network
# that has learned "the thing beside the spine, below the spleen, is a kidney" will look there and find *something*.
#
# And the other kidney? It does the work of both, and grows. In 34 children, two years or more after such an operation,
# its length was 128 ± 11 % of the expected length (Med Pediatr Oncol 1996;26:325).
#
# **Question.** Suppose width and depth grow by the same factor as the length. By what factor does the *volume* grow?

# %% exercise
length_factor = 1.28
volume_factor = length_factor**3  # answer
volume_factor = lesson.check("all three axes", volume_factor, length_factor=length_factor)

# %% [markdown] answer
# 28 % more length is about twice the volume: as much as both kidneys had together. If only the length grew, the factor
# would be 1.28; the study found that the volume grew much more than the length. A small change in length can be a large
# change in volume.

# %% [markdown]
# How much has it grown in the child above? Real children differ, and so do ours: the program draws anything from no
# growth at all to about what the study measured.

# %%
for name, child in {"before": both, "after": operated}.items():
    voxels = np.count_nonzero(child.labels == organ("Kidney_R").id)
    volume_ml = voxels * np.prod(child.spacing_mm) / 1000
    print(f"{name}: right kidney {kidney_cm(child):.1f} cm, {volume_ml:.0f} mL")

# %% [markdown]
# Is that a lot, for a child after this operation? Growth charts answer with a **percentile**: the percentage of
# comparable children with a smaller value. They store three numbers for each age, called LMS: the median M, the
# variation S (a fraction of M), and the skewness L (1 for a normal distribution). From a value follows
#
# > z = ((value / M)^L - 1) / (L · S), and for L = 0: z = ln(value / M) / S
#
# and from z the percentile, by the normal distribution: `stats.norm.cdf(z)` is the fraction below z.
#
# **Write it.**

# %% exercise
from scipy import stats


def growth_percentile(value, skewness, median, variation):
    """The percentile (0 to 100) of a value, by the LMS method; `skewness` is L and may be 0."""
    if skewness == 0:  # answer
        z = np.log(value / median) / variation  # answer
    else:  # answer
        z = ((value / median) ** skewness - 1) / (skewness * variation)  # answer
    return 100 * stats.norm.cdf(z)  # answer


growth_percentile = lesson.check("growth_percentile", growth_percentile)
usual_cm = 1.28 * length_cm  # after an operation: 128 ± 11 % of the expected length
percentile = growth_percentile(kidney_cm(operated), 1, usual_cm, 0.11 / 1.28)
print(f"this child's kidney: percentile {percentile:.0f} among operated children")

# %% [markdown] answer
# The World Health Organization's child growth standards are tables of L, M, and S (the method: Cole and Green,
# Statistics in Medicine 1992). L = 0 is the limit in which the power becomes a logarithm.

# %% [markdown]
# Thirty-four children are few for a chart: both ends of the scale rest on one or two of them. *Stretch goal:* make 20
# five-year-olds with `make_phantom`, measure their kidneys, and compute your own M and S.
#
# After an operation, size no longer tells the age, and one side says nothing about the other. In chapter
# [[how_good_is_a_contour]] you will meet a network that draws the missing kidney anyway.
#
# ## Why small organs vanish
#
# Now for the small organs. One adrenal gland of a one-year-old has about 2 mL, less than half a teaspoon. The networks
# in this workbook see voxels of 3 × 3 × 4 mm.
#
# **Question.** How many such voxels does the gland have?

# %% exercise
gland_ml, spacing_mm = 2.0, (3, 3, 4)
voxels = gland_ml * 1000 / np.prod(spacing_mm)  # answer
voxels = lesson.check("voxels of a gland", voxels, volume_ml=gland_ml, spacing_mm=spacing_mm)

# %% [markdown] answer
# On the grid of a planning CT, with 1 × 1 × 2 mm, it has a thousand. With voxels of 4 mm in every direction it has
# about 31, and with 5 mm 16. Doubling the edge leaves an eighth of the voxels.

# %% [markdown]
# With so few voxels there is a second problem: hardly any of them is *inside*. A voxel on the surface contains some
# gland and some of the fat around it, and its gray value is the mean of both. This is called **partial volume**. Half
# gland with 85 HU and half fat with -98 HU look like water.
#
# **Question.** Think of a small organ as a cube with 4 voxels along each edge: 64 voxels. What fraction of them lies on
# the surface?

# %% exercise
edge = 4
share = 1 - (edge - 2) ** 3 / edge**3  # answer
share = lesson.check("share on the surface", share, edge=edge)

# %% [markdown] answer
# Only 2 × 2 × 2 = 8 voxels lie inside. And a cube is the easy case: a real adrenal gland is a thin, folded sheet
# (thinner than those we draw) and may have no inside at all. A large organ, say a cube with 40 voxels along each edge,
# has 14 % of its voxels on the surface.

# %% [markdown]
# Let us look at one. We draw a one-year-old and a ten-year-old on a fine grid, and transfer their organs to coarser
# grids: each voxel takes the organ at its center. Filled squares are the gland's voxels in one slice; the white line is
# its contour on the fine grid.

# %%
from pedseg.scan import Scan, resample

fine_mm, coarse_mm = (5 / 3, 5 / 3, 5 / 3), (5, 5, 5)
fine = {}
for age in (1, 10):
    child = make_phantom(Child(age_years=age, seed=3), fine_mm)
    whole = tuple(slice(n - n % 3) for n in child.labels.shape)  # 3 fine voxels, 1 coarse
    fine[f"age {age}"] = Scan(child.labels[whole], child.affine)

# %% slide
baby = fine["age 1"]
maps = {
    "1.7 mm": baby,
    "3 × 3 × 4 mm": resample(baby, (3, 3, 4), order=0),
    "5 mm": resample(baby, coarse_mm, order=0),
}
picture = voxel_figures.label_grids(maps, "Glnd_Adrenal_R")
figures.show(picture, "An adrenal gland on a fine grid and on two coarser ones.")

# %% [markdown]
# What does that cost? We send all contours to the 5 mm grid and back, and compare them with the original. The **Dice
# coefficient** (DSC) is 1 for two equal contours and 0 for two that do not overlap; chapter [[how_good_is_a_contour]]
# explains it.

# %%
from pedseg.metrics import score_case

wanted = ["Liver", "Spleen", "Kidney_R", "Pancreas", "V_Portal", "Glnd_Adrenal_R"]
kept = {}
for name, there in fine.items():
    back = resample(resample(there, coarse_mm, order=0), fine_mm, order=0)
    marks = score_case(there.voxels, back.voxels, fine_mm, wanted)
    kept[name] = {mark.organ: (mark.dsc, mark.dsc, mark.dsc) for mark in marks}
picture = charts.dots(kept, x="DSC after 5 mm and back")
figures.show(picture, "DSC by organ after a coarse grid, for a one- and a ten-year-old.")

# %% [markdown]
# No network was involved here, and nobody made a mistake. The grid alone costs this much: least in the liver, most in
# what is small or thin, and nearly everywhere more in the one-year-old. Chapter [[from_scan_to_tensor]] is about
# choosing a grid.
#
# ## What follows for learning
#
# One hospital treats few such children, and few of these are very young. Here are the 30 children that each of our two
# hospitals trains with.

# %%
from pedseg.phantoms.centers import CENTERS, sample_patient

for name, center in CENTERS.items():
    years = [sample_patient(center, 0, index)[0].age_years for index in range(30)]
    infants = sum(age < 2 for age in years)
    print(f"{name}: {infants} of 30 below two years, median {np.median(years):.1f} years")

# %% [markdown]
# A network learns the sizes that it is shown. If hardly any child below two is among them, it has to guess, and these
# are the organs that the grid represents worst anyway. A Dutch study on real children found just that (arXiv
# 2411.00594). Among sex, age, contrast agent, and kind of tumor, only age made a significant difference, in the left
# lung and the pancreas. The group from 0 to 2 years did worst. Another hospital that treats younger children has what
# this one lacks. Its scans must not travel. But what a network learns from them can, from chapter [[averaging_by_hand]]
# on.
#
# ## What to remember
#
# - Organs grow by different factors; young children have large livers for their size.
# - Lengths are misleading: 28 % longer can be twice the volume.
# - After an operation, neighbors move in, and the other kidney grows.
# - Count voxels before you blame a network: on a coarse grid, a small organ is all surface, or gone.

# %%
lesson.finish()
