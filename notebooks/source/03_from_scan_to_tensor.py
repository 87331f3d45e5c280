# %% [markdown]
# # 03 · From scan to tensor
#
# *40 minutes · students, researchers*
#
# **You will be able to**
# - say what a *fingerprint* of a data set is, and why two hospitals may exchange theirs,
# - derive a *plan* from it: voxel size, intensities, patch,
# - resample, normalize, and crop a scan, and bring contours back to its own grid,
# - say what augmentation is for, and why we never mirror.

# %%
from pedseg.workbook import charts, figures, lesson, voxel_figures

lesson.setup()

# %% [markdown]
# ## What a network needs
#
# A convolutional network looks at neighboring voxels. It counts in voxels, not in millimeters: it does not know that a
# slice is 5 mm thick here and 4 mm there. And it learns best from numbers around zero, not around -1000. So every scan
# is first preprocessed in the same way. In which way? We follow the rules that were published with **nnU-Net** (Isensee
# and colleagues, 2021). It has won many competitions because it derives the preprocessing from the data.
#
# ## The fingerprint: a data set in numbers
#
# First, each hospital describes its scans: sizes, spacings, the size of the body in each, how often each HU occurs
# inside the organs, and the sizes of the organs. It adds the contrast phases and the ages of the youngest and the
# oldest child.

# %%
from pedseg.learning.fingerprint import fingerprint, merge
from pedseg.learning.plans import make_plan

polder, neckar = lesson.samples()
prints = {center.center: fingerprint(center, center.cases) for center in (polder, neckar)}
for name, print_ in prints.items():
    spacings = sorted({grid.spacing_mm for grid in print_.grids})
    print(f"{name}: {print_.cases} scans, spacings {spacings} mm")

# %% [markdown]
# As a file, a fingerprint is one line of numbers. It has no voxel, no name, and no date. That is why hospitals can send
# each other their fingerprints when they cannot send scans. And fingerprints can be **merged**: the result equals, to
# the last digit, the fingerprint of all scans in one place.

# %%
merged = merge(list(prints.values()))
files = [case.image_file for center in (polder, neckar) for case in center.cases]
size = sum(file.stat().st_size for file in files)
print(f"all scans together: {size / 1000:.0f} kB (compressed)")
print(f"merged fingerprint: {len(merged.to_json()) / 1000:.0f} kB")

# %%
organs = {name: count.mean_ml for name, count in merged.organs.items()}
picture = charts.bars(organs, x="mean volume in mL")
figures.show(picture, "Mean volume of each organ over all sample children.")

# %% [markdown]
# ## The plan: what all hospitals do alike
#
# The merged fingerprint gives one **plan** for all hospitals. It must be the same everywhere: networks that were
# trained on different preprocessing cannot be averaged. Our plan is for a lesson: it needs two processor cores and
# minutes. The same function with `"clinic"` follows nnU-Net's rules for a graphics card.

# %%
plan = make_plan(merged, "lesson")
print(f"voxels of {plan.spacing_mm} mm, patch of {plan.patch} voxels")
print(f"clip to {plan.clip_hu} HU")
print(f"subtract {plan.mean_hu:.0f}, divide by {plan.sd_hu:.0f}")
print(f"{len(plan.organs)} organs")

# %% [markdown]
# ## Resample: one voxel size for all
#
# Scanners deliver finer pixels, and often thicker slices, than our plan has. Here is a child scanned with pixels of 1.5
# mm and slices of 5 mm, before and after resampling. In millimeters, the child stays as large as it was; only the grid
# changes.

# %%
from dataclasses import replace

from pedseg.phantoms.centers import POLDER_PORTAL
from pedseg.phantoms.child import Child
from pedseg.phantoms.ct_scanner import scan_ct
from pedseg.phantoms.phantom import make_phantom
from pedseg.scan import resample

protocol = replace(POLDER_PORTAL, pixel_mm=1.5, slice_mm=5.0)
ct, truth = scan_ct(make_phantom(Child(age_years=5, seed=12)), protocol, seed=12)
coarse = resample(ct, plan.spacing_mm)
picture = voxel_figures.two_grids(ct, coarse)
figures.show(picture, "A coronal slice on its own grid and on the plan's grid.")

# %% [markdown]
# **Write it**, for the label map. The child keeps its size in millimeters, so along each axis the new grid has *old
# number × old spacing / new spacing* voxels, rounded, and at least one. Each new voxel takes the label of the old voxel
# that lies nearest to its center.

# %% exercise
import numpy as np


def resample_labels(labels, spacing_mm, new_mm):
    """The label map (x, y, z) on voxels of `new_mm`, over the same box; no new numbers."""
    for axis in range(3):  # answer
        count = max(1, round(labels.shape[axis] * spacing_mm[axis] / new_mm[axis]))  # answer
        middles = (np.arange(count) + 0.5) / count * labels.shape[axis] - 0.5  # answer
        labels = np.take(labels, np.rint(middles).astype(int), axis)  # answer
    return labels  # answer


resample_labels = lesson.check("resample_labels", resample_labels)
by_hand = resample_labels(truth.voxels, ct.spacing_mm, plan.spacing_mm)
print(f"{truth.shape} voxels become {by_hand.shape}")

# %% [markdown] answer
# The center of old voxel i lies at i + 0.5. The center of new voxel j lies at the fraction (j + 0.5) / count of the
# whole length. So its old index is (j + 0.5) / count × old number - 0.5.

# %% [markdown]
# Images are interpolated linearly (nnU-Net uses cubic splines). Label maps must not be: halfway between liver (1) and
# pancreas (3) there is no spleen (2)! *Stretch goal:* resample the image, too. Why must a scan be blurred before it is
# made much coarser, but not a label map?
#
# ## Clip and normalize: numbers around zero
#
# Metal and dense bone have thousands of HU, but none of our organs do. So values are clipped to the range of the
# organs. Then the plan's mean is subtracted, and the result is divided by its standard deviation.
#
# **Question.** Air has -1000 HU. Which number does the network see?

# %% exercise
low, high = plan.clip_hu
air = (max(-1000, low) - plan.mean_hu) / plan.sd_hu  # answer
given = {"hu": -1000, "clip_hu": (low, high), "mean_hu": plan.mean_hu}
air = lesson.check("normalized", air, sd_hu=plan.sd_hu, **given)

# %% [markdown] answer
# The order matters: clip, shift, scale. For CT, *all* scans use the same mean and standard deviation, because HU are
# measurements: air and water have the same values on every scanner. (In MR, gray values mean nothing by themselves, and
# each scan is normalized by the median and the spread of its own body.)

# %% [markdown]
# ## All of it at once, and back again
#
# `prepare` does these steps, and two more. It crops the box to the body, since air around the child costs time and
# teaches nothing. And it rounds each side up to a multiple of 8 voxels, because the network halves its grid three
# times.

# %%
from pedseg.learning.preprocessing import prepare, restore

tensor = prepare(ct, plan, truth)
print(f"the scan: {ct.shape}, on the plan's grid: {coarse.shape}")
print(f"cut to the body: {tensor.image.shape}")
level = figures.fullest(tensor.labels)
pictures = {"what the network sees": tensor.image}
picture = voxel_figures.patches(pictures, plan.spacing_mm, index=level)
figures.show(picture, "An axial slice of the prepared scan.")

# %% [markdown]
# The network predicts on *this* grid, but a physician needs contours on the grid of the scan. `restore` brings them
# back. What is lost on the way? Suppose a network were perfect: we send the true labels to the plan's grid and back,
# and measure. The **Dice coefficient** (DSC) is 1 for two equal contours and 0 for two that do not overlap; in chapter
# [[how_good_is_a_contour]] you will write it. And because voxel size is a choice, we also try voxels with edges twice
# as long.

# %%
from pedseg.metrics import score_case


def ceiling(plan):
    tensor = prepare(ct, plan, truth)
    perfect = np.eye(len(plan.organs) + 1, dtype=np.float32)[tensor.labels]
    returned = restore(np.moveaxis(perfect, -1, 0), tensor, ct, plan)
    marks = score_case(truth.voxels, returned, ct.spacing_mm, plan.organs)
    return {mark.organ: (mark.dsc, mark.dsc, mark.dsc) for mark in marks if mark.present}


# %%
twice = replace(plan, spacing_mm=tuple(2 * mm for mm in plan.spacing_mm))
ceilings = {"our plan": ceiling(plan), "voxels of twice the edge": ceiling(twice)}
picture = charts.dots(ceilings, x="DSC of a perfect answer")
figures.show(picture, "DSC by organ after going to the grid and back, for two grids.")

# %% [markdown]
# This is a ceiling: with such a plan, no network can do better on this child. Our voxels cost 0.01 to 0.03 in the thin
# organs and less in the others. With edges twice as long, training would be eight times as fast. But even the liver
# would get worse, and the esophagus, the portal vein, and the adrenal glands would lose 0.4 to 0.6. If you ever wonder
# why a small organ scores badly, look at the ceiling first.
#
# ## Augmentation: other children from the same child
#
# A few dozen children are not many. So in training, each scan may be changed at random into one that *could* exist:
# rotated a little, rotated onto its side (some children are scanned that way), noisier, or blurred. Here is one child
# and four variants.

# %%
from pedseg.learning.augmentation import augment

clinic = make_plan(merged, "clinic")
pictures = {"as scanned": tensor.image}
for seed in (1, 2, 3, 4):
    pictures[f"variant {seed}"], _ = augment(tensor.image, tensor.labels, clinic, seed=seed)
picture = voxel_figures.patches(pictures, plan.spacing_mm, index=level)
figures.show(picture, "One slice and four augmented variants of it.")

# %% [markdown]
# Two remarks:
#
# **The lesson trains without augmentation.** It learns a lot faster that way, and we have only minutes. The price: such
# a network has never seen a child on its side, and fails there. Chapter [[on_their_side]] is about that.
#
# **We never mirror.** In a photograph, a mirrored cat is still a cat. Here is the mirrored child:

# %%
pictures = {"as scanned": tensor.image, "mirrored": tensor.image[::-1]}
picture = voxel_figures.patches(pictures, plan.spacing_mm, index=level)
figures.show(picture, "A slice and its mirror image: the liver is on the wrong side.")

# %% [markdown]
# The liver is on the left, the heart points to the right, and the kidney labeled "left" is where the right one should
# be. A network trained with such pictures learns that left and right do not matter. For us they do.
#
# ## What to remember
#
# - Fingerprints describe the scans, and can be merged and sent. Scans stay.
# - One plan for all: spacing, clip, normalization, patch.
# - Resample images linearly, and labels by the nearest voxel. Know the ceiling.
# - Augment with scans that could exist. A mirrored child could not.
#
# **Further reading.** Isensee et al., *nnU-Net: a self-configuring method for deep learning-based biomedical image
# segmentation*, Nature Methods 2021 ([doi:10.1038/s41592-020-01008-z](https://doi.org/10.1038/s41592-020-01008-z)).

# %%
lesson.finish()
