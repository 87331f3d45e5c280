# %% [markdown]
# # 04 · How good is a contour?
#
# *50 minutes · students, clinicians, researchers · the computer works for seconds only*
#
# **You will be able to**
# - say what Dice, HD95, mean surface distance and surface Dice each see, and what each overlooks,
# - write Dice and HD95 yourself, with a rule for organs that are gone or were missed,
# - name two traps that make a bad network look good: the organ that is gone and the organ that was missed.

# %%
from pedseg.workbook import charts, figures, lesson, scores

lesson.setup()

# %% [markdown]
# ## Four faults, made on purpose
#
# To learn what a number sees, we need contours whose faults we know. So we take a child's true contours and spoil them
# in four ways: all organs **shifted** by one voxel (3 mm) towards the child's right; all organs **thinned** by
# one voxel all round; the lowest fifth of the liver **leaking** 15 mm into its neighbors; and a **speck**:
# everything right, but a milliliter of the bladder is called liver.

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
# Both look harmless on the screen. Here is what four measures say about the liver, fault by fault.

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
# Look at the last line. A piece of "liver" far down in the pelvis would make every colleague laugh, and three of the
# four measures hardly notice: a few voxels among thousands. Each of them is a *mean* or a *share* of something. The
# mean distance notices a little, because the speck is so far away. No number replaces looking.
#
# ## Dice, by hand
#
# The **Dice similarity coefficient** (DSC) compares two regions: *twice the shared volume, divided by the sum of both
# volumes*. Two equal regions give 1, two that do not touch give 0.
#
# **Write it.** One rule comes on top: an organ that is not there has no true contour, and so it has no Dice, whatever
# was drawn. The answer is then `np.nan`, "not a number".


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
# These are the numbers of the first column above. An organ that is there and was missed gets 0 by the formula itself.

# %% [markdown]
# *Stretch goal:* Jaccard's coefficient is the shared volume over the united one, J = DSC / (2 - DSC). Can two networks
# change places when you report J in place of DSC?
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
# The same fault of 3 mm costs stomach and bowel less than a tenth of their Dice, and an adrenal gland more than a
# third. (This child is not yet two years old: in an adult, whose organs are larger, it would cost less.) A Dice of 0.6
# can be a careful contour of a tiny organ, and one of 0.93 a careless liver. So Dice compares *networks on the same
# organ*, and must never compare organs. Children's organs are small: for the same fault, they get less Dice than
# adults.
#
# ## Distances between surfaces
#
# A planner asks: how many **millimeters** is the contour off? For every surface voxel of the true organ, measure the
# distance to the nearest surface voxel of the drawn one; then the same the other way round. Here for the leaking liver:

# %%
from pedseg.metrics import surface_distances_mm

there, back = surface_distances_mm(truth, faults["leaking"], ct.spacing_mm, [liver])[liver]
print(f"{there.size} true surface voxels, at most {there.max():.1f} mm off")
print(f"{back.size} drawn surface voxels, at most {back.max():.1f} mm off")

# %% [markdown]
# The largest of all distances is the **Hausdorff distance**. One wrong voxel decides it, so most people take the
# 95th percentile of each direction and then the larger of the two: **HD95**. You will write it further down. Some
# programs pool both directions before they take the percentile, and some measure in voxels and call it millimeters.
# Eleven open tools were compared in 2024 ([arXiv:2410.02630](https://arxiv.org/abs/2410.02630)), and their Hausdorff
# distances for *the same* contours differed by more than 100 mm. So say which definition you used; ours stands at
# the top of `pedseg/metrics.py`.
#
# **Surface Dice** (also NSD) asks what a person asks: what fraction of the surface would I leave as it is? It needs a
# **tolerance** in millimeters: how far apart two careful people draw the same organ.
#
# **Question.** Be strict: what fraction of *all* surface voxels, true and drawn, is at most 2 mm off?

# %% exercise
tolerance_mm = 2
nsd = np.mean(np.concatenate([there, back]) <= tolerance_mm)  # answer
nsd = lesson.check("surface dice", nsd, there=there, back=back, tolerance_mm=tolerance_mm)

# %% [markdown] answer
# The table above said more: there the tolerance of a liver was 5 mm, and the first voxels of the leak are forgiven. For
# the *shifted* liver it even said 1: a shift of 3 mm is no fault at all. Neither is wrong. A tolerance below the size
# of a voxel asks for what the scan cannot show, a generous one forgives everything; so state it, organ by organ.

# %% [markdown]
# ## Trap one: the organ that is gone
#
# Some of these children have lost a kidney to a tumor. Networks like symmetry, and may draw one where there is none.
# We play such a network: it mirrors the kidney that is left.

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
# What is the Dice coefficient of a kidney that is not there? The formula divides nothing by something, or nothing by
# nothing. One program enters 0, another 1, a third leaves the child out, and then the false kidney is **invisible** in
# the mean. So we ask two questions and never mix them: *Is the organ there, and how much was drawn of one that is not?*
# And only where it is there: *how well was it drawn?*
#
# **Question.** How many milliliters of false kidney did this network draw?

# %% exercise
voxels = np.count_nonzero(symmetric == left)
false_ml = voxels * np.prod(scan.spacing_mm) / 1000  # answer
false_ml = lesson.check("false volume", false_ml, voxels=voxels, spacing_mm=scan.spacing_mm)

# %% [markdown] answer
# A planning program would take this for a kidney and try to spare it, perhaps at the cost of the tumor bed. In the
# study's table, false kidneys have a table of their own, in milliliters, beside how many *present* kidneys were found:
# a network that never draws a left kidney has no false ones, either.

# %% [markdown]
# ## Trap two: the organ that was missed
#
# Suppose a network misses the pancreas of one child in three. Its HD95 values are 4 mm, 6 mm and ... there is no
# surface to measure to. Many programs return "not a number", and the mean of the rest is a proud 5 mm. **The worse the
# miss, the better the mean.** So a missed organ must take the worst value that is possible: the diagonal of the image.
#
# **Write it**: HD95 with both rules. A surface voxel is a voxel of the organ that erosion takes away:
# `mask & ~ndimage.binary_erosion(mask)`. And `ndimage.distance_transform_edt(~surface, spacing_mm)` gives, for every
# voxel of the image, the distance to that surface in mm. `np.percentile(values, 95)` does the rest.


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
# No distance inside the image can be longer than its diagonal. A distance to nothing does not exist, and so the rules
# come first.

# %% [markdown]
# Now the three children once more, with the miss counted:

# %%
print(f"mean HD95 without the miss: {np.mean([4, 6]):.0f} mm")
print(f"mean HD95 with the miss:   {np.mean([4, 6, diagonal_mm]):.0f} mm")
print(f"median HD95 with the miss: {np.median([4, 6, diagonal_mm]):.0f} mm")

# %% [markdown]
# The median is calmer than the mean, which now tells of the image more than of the pancreas. Give both, and the
# number of misses. *Stretch goal:* your function looks at the whole image. Cut both masks to the box that holds them
# first, and measure how much faster it gets. What must stay as it is?
#
# ## What to remember
#
# - Dice sees volume and forgives large organs; distances see millimeters; surface Dice needs an honest tolerance.
# - Means overlook specks. Look at pictures, worst cases first.
# - Presence before quality: false milliliters for organs that are gone, worst values for organs that were missed.
# - Say which definitions you used. Chapter [[one_hospital_learns_alone]] uses them to examine a network.
#
# **Further reading.** Maier-Hein, Reinke et al., *Metrics reloaded*, Nature Methods 2024
# ([doi:10.1038/s41592-023-02151-z](https://doi.org/10.1038/s41592-023-02151-z)); Podobnik and Vrtovec, *Understanding
# implementation pitfalls of distance-based metrics* ([arXiv:2410.02630](https://arxiv.org/abs/2410.02630)); Nikolov et
# al., on surface Dice ([arXiv:1809.04430](https://arxiv.org/abs/1809.04430)).

# %%
lesson.finish()
