# %% [markdown]
# # 04 · How good is a contour?
#
# *50 minutes · students, clinicians, researchers · the computer works for seconds only*
#
# **You will be able to**
# - say what Dice, HD95, mean surface distance, and surface Dice each measure, and what each misses,
# - write Dice and HD95 yourself, with a rule for organs that are gone or were missed,
# - name two traps that make a bad network look good: the organ that is gone and the organ that was missed.

# %%
from pedseg.workbook import charts, figures, lesson, scores

lesson.setup()

# %% [markdown]
# ## Four faults, made on purpose
#
# To learn what a score measures, we need contours whose faults we know. So we take a child's true contours and spoil
# them in four ways. **Shifted**: all organs are moved by one voxel (3 mm) toward the child's right. **Thinned**: all
# organs lose one voxel all around. **Leaking**: the lowest fifth of the liver leaks 15 mm into its neighbors. And a
# **speck**: everything is right, but a milliliter of the bladder is labeled liver.

# %%
import numpy as np
from scipy import ndimage

from pedseg.organs import EVALUATED, organ
from pedseg.datasets.loading import load_image, load_labels

polder, neckar = lesson.samples()
child = polder.cases[0]
ct, truth = load_image(child), load_labels(polder, child).voxels
liver, bladder = organ("Liver").id, organ("Bladder").id

# %%
cross = ndimage.generate_binary_structure(3, 1)  # a voxel and its six neighbors
filters = ndimage.minimum_filter, ndimage.maximum_filter
lowest, highest = (f(truth, footprint=cross) for f in filters)
inner = lowest == highest  # all neighbors belong to the same organ
middle = np.median(np.argwhere(truth == bladder), axis=0).astype(int)
speck = truth.copy()
speck[tuple(slice(m - 1, m + 2) for m in middle)] = liver
leak = ndimage.binary_dilation(truth == liver, cross, iterations=5)
height = np.flatnonzero((truth == liver).any(axis=(0, 1)))  # its slices, from the lowest
leak[:, :, height[len(height) // 5] :] = False
leaking = np.where(leak, liver, truth)
shifted, thinned = np.roll(truth, 1, axis=0), np.where(inner, truth, 0)
faults = {"shifted": shifted, "thinned": thinned, "leaking": leaking, "speck": speck}

# %% slide
seen = {"truth": truth, "organs": ["Liver"], "index": figures.fullest(truth, organs=["Liver"])}
pictures = {name: (ct, {**seen, "prediction": faults[name]}) for name in ("shifted", "thinned")}
picture = figures.slices_figure(pictures)
figures.show(picture, "The liver's true contour, solid; shifted or thinned by a voxel, dashed.")

# %% [markdown]
# Both look harmless on the screen. Here is what four scores say about the liver, fault by fault.

# %%
from pedseg.metrics import score_case

lines = []
for name, contour in faults.items():
    (score,) = score_case(truth, contour, ct.spacing_mm, ["Liver"])
    line = {"fault": name, "DSC": f"{score.dsc:.3f}", "HD95 (mm)": f"{score.hd95_mm:.1f}"}
    line |= {"mean distance (mm)": f"{score.msd_mm:.2f}", "surface Dice": f"{score.nsd:.3f}"}
    lines.append(line)
scores.shown(lines, "The liver, four faults")

# %% [markdown]
# Look at the last line. A piece of "liver" far down in the pelvis would make any colleague laugh, but three of the four
# scores hardly notice it: it is a few voxels among thousands. Each score is a *mean* or a *fraction*. The mean distance
# notices a little, because the speck is so far away. No number replaces looking.
#
# ## Dice, by hand
#
# The **Dice similarity coefficient** (DSC) compares two regions: *twice the shared volume, divided by the sum of both
# volumes*. Two equal regions give 1, and two that do not overlap give 0.
#
# **Write it.** There is one more rule: an organ that is not there has no true contour, so it has no Dice, whatever was
# drawn. Return `np.nan` ("not a number") for it.


# %% exercise
def dice(truth, prediction):
    """The Dice coefficient of two masks of true and false; NaN where `truth` is empty."""
    if not truth.any():  # answer
        return np.nan  # answer
    shared = np.count_nonzero(truth & prediction)  # answer
    return 2 * shared / (np.count_nonzero(truth) + np.count_nonzero(prediction))  # answer


dice = lesson.check("dice", dice)
for name, contour in faults.items():
    print(f"{name}: {dice(truth == liver, contour == liver):.3f}")

# %% [markdown] answer
# These are the numbers in the first column above. An organ that is there and was missed gets 0 by the formula.

# %% [markdown]
# *Stretch goal:* The Jaccard coefficient is the volume of the intersection over that of the union, J = DSC / (2 - DSC).
# Can the ranking of two networks change when you report J instead of DSC?
#
# ## Dice depends on size
#
# The shift was the same for every organ: one voxel. Is the Dice coefficient the same, too?

# %%
chosen = [*EVALUATED, "Glnd_Adrenal_L", "V_Portal"]
scored = [s for s in score_case(truth, shifted, ct.spacing_mm, chosen) if s.present]
scored.sort(key=lambda score: -score.volume_ml)
values = {f"{organ(s.organ).plain} ({s.volume_ml:.0f} mL)": s.dsc for s in scored}
picture = charts.bars(values, x="DSC after the same shift of one voxel")
figures.show(picture, "DSC of organs after the same shift: the smaller or thinner, the lower.")

# %% [markdown]
# The same error of 3 mm costs stomach and bowel less than a tenth of their Dice, and an adrenal gland almost three
# quarters. (This child is not yet two years old. In an adult, whose organs are larger, it would cost less.) A Dice of
# 0.6 can be a careful contour of a tiny organ, and 0.93 a careless liver. So use Dice to compare *networks on the same
# organ*, never to compare organs. Children's organs are small: for the same error, they get a lower Dice than adults.
#
# ## Distances between surfaces
#
# A treatment planner asks: how many **millimeters** is the contour off? For every surface voxel of the true organ,
# measure the distance to the nearest surface voxel of the drawn one; then do the same the other way around. Here it is
# for the leaking liver:

# %%
from pedseg.metrics import surface_distances_mm

there, back = surface_distances_mm(truth, faults["leaking"], ct.spacing_mm, [liver])[liver]
print(f"{there.size} true surface voxels, at most {there.max():.1f} mm off")
print(f"{back.size} drawn surface voxels, at most {back.max():.1f} mm off")

# %% [markdown]
# The largest of all distances is the **Hausdorff distance**. One wrong voxel can determine it. So most people take the
# 95th percentile of each direction and then the larger of the two: **HD95**. You will write it further below. Some
# programs pool both directions before they take the percentile, and some measure in voxels and call it millimeters.
# Eleven open tools were compared in 2024 ([arXiv:2410.02630](https://arxiv.org/abs/2410.02630)), and their Hausdorff
# distances for *the same* contours differed by more than 100 mm. So say which definition you used; ours is at the top
# of `pedseg/metrics.py`.
#
# **Surface Dice** (also called NSD) asks what a person would ask: what fraction of the surface can stay as it is? It
# needs a **tolerance** in millimeters: how far apart are the contours of two careful people?
#
# **Question.** Be strict: what fraction of *all* surface voxels, true and drawn, is at most 2 mm off?

# %% exercise
tolerance_mm = 2
nsd = np.mean(np.concatenate([there, back]) <= tolerance_mm)  # answer
nsd = lesson.check("surface dice", nsd, there=there, back=back, tolerance_mm=tolerance_mm)

# %% [markdown] answer
# The value in the table above is higher: there the tolerance of the liver was 5 mm, so the first voxels of the leak are
# forgiven. For the *shifted* liver it is even 1: a shift of 3 mm does not count as an error. Neither is wrong. A
# tolerance below the size of a voxel asks for more than the scan can show, and a generous one forgives everything. So
# state it, organ by organ.

# %% [markdown]
# ## Trap one: the organ that is gone
#
# Some of these children have lost a kidney to a tumor. A network may draw one where there is none. We imitate such a
# network: ours mirrors the remaining kidney.

# %%
patients = [(center, case) for center in (polder, neckar) for case in center.cases]
home, patient = next((center, case) for center, case in patients if "Kidney_L" in case.absent)
scan, true = load_image(patient), load_labels(home, patient).voxels
left, right = organ("Kidney_L").id, organ("Kidney_R").id
symmetric = np.where(np.flip(true == right, axis=0), left, true)

# %% slide
level = figures.fullest(symmetric, organs=["Kidney_L"])
options = {"index": level, "organs": ["Kidney_L", "Kidney_R"]}
picture = figures.slice_figure(scan, truth=true, prediction=symmetric, **options)
figures.show(picture, "A dashed left kidney is drawn where only the right one, solid, exists.")

# %% [markdown]
# What is the Dice coefficient of a kidney that is not there? The formula divides 0 by something, or 0 by 0. One program
# reports 0, another 1, and a third leaves the child out, so that the false kidney is **invisible** in the mean. So we
# ask two separate questions: *Is the organ there, and if not, how much of it was drawn?* And only if it is there: *How
# well was it drawn?*
#
# **Question.** How many milliliters of false kidney did this network draw?

# %% exercise
voxels = np.count_nonzero(symmetric == left)
false_ml = voxels * np.prod(scan.spacing_mm) / 1000  # answer
false_ml = lesson.check("false volume", false_ml, voxels=voxels, spacing_mm=scan.spacing_mm)

# %% [markdown] answer
# A planning program would take this for a kidney and try to spare it, perhaps at the expense of the tumor bed. In the
# study, false kidneys have their own table, in milliliters. Beside them it says how many *present* kidneys were found,
# because a network that never draws a left kidney has no false ones, either.

# %% [markdown]
# ## Trap two: the organ that was missed
#
# Suppose a network misses the pancreas of one child in three. Its HD95 values are 4 mm, 6 mm and ... there is no
# surface to measure to. Many programs return "not a number", and the mean of the other two is a good 5 mm. **A miss
# makes the mean better.** So a missed organ must get the worst value possible: the diagonal of the image.
#
# **Write it**: HD95 with both rules. A surface voxel is a voxel of the organ that erosion removes: `mask &
# ~ndimage.binary_erosion(mask)`. And `ndimage.distance_transform_edt(~surface, spacing_mm)` gives, for every voxel of
# the image, the distance to that surface in mm. `np.percentile(values, 95)` does the rest.


# %% exercise
def hd95(truth, prediction, spacing_mm):
    """HD95 of two masks in mm; NaN for an absent organ, the diagonal for a missed one."""
    if not truth.any():  # answer
        return np.nan  # answer
    if not prediction.any():  # answer
        return np.linalg.norm(np.multiply(truth.shape, spacing_mm))  # answer
    surfaces = [mask & ~ndimage.binary_erosion(mask) for mask in (truth, prediction)]  # answer
    far = [ndimage.distance_transform_edt(~surface, spacing_mm) for surface in surfaces]  # answer
    there, back = far[1][surfaces[0]], far[0][surfaces[1]]  # answer
    return max(np.percentile(there, 95), np.percentile(back, 95))  # answer


hd95 = lesson.check("hd95", hd95)
diagonal_mm = hd95(truth == liver, np.zeros(truth.shape, bool), ct.spacing_mm)

# %% [markdown] answer
# No distance inside the image can be longer than its diagonal. There is no distance to an empty mask, so the two rules
# come first.

# %% [markdown]
# Now the three children again, with the miss counted:

# %%
print(f"mean HD95 without the miss: {np.mean([4, 6]):.0f} mm")
print(f"mean HD95 with the miss:   {np.mean([4, 6, diagonal_mm]):.0f} mm")
print(f"median HD95 with the miss: {np.median([4, 6, diagonal_mm]):.0f} mm")

# %% [markdown]
# The median is more robust than the mean, which now depends on the size of the image more than on the pancreas. Report
# both, and the number of misses. *Stretch goal:* your function looks at the whole image. Crop both masks to the box
# that contains them first, and measure how much faster it gets. What must not change?
#
# ## How far would two people get?
#
# Is a DSC of 0.78 good for a pancreas? Compare it with two people who contour the same child. Nobody has contoured our
# children, so four people were **invented**. One draws generously, one tightly, one has an unsteady hand, and one is
# careful. How far their borders are apart follows from published comparisons. They drew the test children of the study
# that you will meet in later chapters. The gray **band** holds the middle 90 % of what two of them reach; its line is
# the median. Beside it are three networks: a federated one, the hospital's own (home), and its neighbor's (away).

# %%
import json

summary = json.loads((lesson.recorded("observers") / "summary.json").read_text("utf-8"))
picture = charts.beside_band(summary["networks"]["study"])
alt = "All networks are below the band of two people in the liver"
alt += ", above it in lungs and heart."
figures.show(picture, alt)

# %% [markdown]
# All three networks are below the band in the liver, and above it in lungs and heart. Compared child by child, the
# median difference between the federated one and the hospital's own is at most 0.011. (The dots show medians, which
# differ a little more.) In every organ that is less than the DSC of a contour changes when another person draws
# the reference (0.010 in the liver, 0.040 in the pancreas). What the neighbor's network loses in the median child is
# less than that, too, even in the kidneys, which lose most (0.02; another reader changes 0.03). But about one kidney in
# three loses more than another reader would change, and more than half of the children have such a kidney.
#
# Do not conclude that a network inside the band is as good as a person. It is compared with the exact truth; two people
# are compared with each other, and *both* are off. One of them alone reaches 0.87 against the truth of the pancreas,
# not 0.82. And these people were invented. Real ones also disagree about what belongs to an organ.
#
# ## What to remember
#
# - Dice compares volumes and forgives large organs; distances are in millimeters; surface Dice needs an honest
#   tolerance.
# - Means miss specks. Look at pictures, worst cases first.
# - Presence before quality: count false milliliters for organs that are gone, and worst values for organs that were
#   missed.
# - Ask what two people would reach: a difference that is smaller than theirs is hard to notice.
# - Say which definitions you used. Chapter [[one_hospital_learns_alone]] uses them to test a network.
#
# **Further reading.** Maier-Hein, Reinke et al., *Metrics reloaded*, Nature Methods 2024
# ([doi:10.1038/s41592-023-02151-z](https://doi.org/10.1038/s41592-023-02151-z)); Podobnik and Vrtovec, *Understanding
# implementation pitfalls of distance-based metrics* ([arXiv:2410.02630](https://arxiv.org/abs/2410.02630)); Nikolov et
# al., on surface Dice ([arXiv:1809.04430](https://arxiv.org/abs/1809.04430)).

# %%
lesson.finish()
