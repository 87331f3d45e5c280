# %% [markdown]
# # 11 · CT meets MR
#
# *45 minutes · students, clinicians, researchers · the computer works for less than one of them*
#
# **You will be able to**
# - say why liver and spleen differ in brightness between CT and MR, and compute how bright they are,
# - apply random convolutions (GIN) to a scan, and say what they keep and what they change,
# - say why air around the body disturbs them, and what helps,
# - judge from a table whether a CT hospital and an MR hospital should train together.

# %%
from pedseg.workbook import charts, figures, lesson, scores, voxel_figures

lesson.setup()

# %% [markdown]
# ## One child, three machines
#
# The hospital *Fjord* brings only scans by magnetic resonance (MR) to this federation. Here is one child in Polder's CT
# and in two MR protocols. The organs are the same. (MR slices are thicker, and the table is not visible.)

# %%
from pedseg.phantoms.centers import POLDER_PORTAL
from pedseg.phantoms.mr_scanner import RELAXATION, T1W_3T, T2W_1_5T, scan_mr
from pedseg.phantoms.anatomy import Tissue
from pedseg.phantoms.child import Child
from pedseg.phantoms.phantom import make_phantom
from pedseg.phantoms.ct_scanner import scan_ct

child = make_phantom(Child(age_years=5, seed=8, tumor="neuroblastoma", side="left"))
ct, truth = scan_ct(child, POLDER_PORTAL, seed=8)
scans = {"CT, portal venous": (ct, truth)}
for protocol in (T2W_1_5T, T1W_3T):
    scans[f"MR, {protocol.name}"] = scan_mr(child, protocol, seed=8)

# %% slide
shown = ["Liver", "Spleen", "Kidney_L", "Kidney_R", "Gallbladder"]
pictures = {}
for name, (image, labels) in scans.items():
    level = figures.fullest(labels.voxels, organs=shown)
    gray = image if image is ct else figures.rescale_to_window(image)
    pictures[name] = (gray, {"truth": labels.voxels, "index": level})
picture = figures.slices_figure(pictures, organs=shown)
figures.show(picture, "One child in CT and in two kinds of MR, with contours of five organs.")

# %% [markdown]
# On CT, liver and spleen look alike; kidneys are bright (contrast agent), and so are bones. In the T2-weighted scan,
# the liver is dark, spleen and kidneys are bright, and fluid is very bright. In the T1-weighted scan, the liver is
# brighter than the spleen, fat is very bright, and fluid is dark. A network that has learned "the spleen is bright" is
# right in one picture and wrong in another.
#
# ## How bright is a tissue?
#
# In MR a tissue has no fixed gray value. Its magnetization **recovers** after each pulse, with the time constant T1,
# and **decays** until the echo, with the time constant T2. The scanner chooses how long it waits for each: the
# repetition time TR and the echo time TE. For a spin echo:
#
# > signal = density · (1 − e^(−TR / T1)) · e^(−TE / T2)
#
# **Question.** How bright is the spleen in Fjord's T2-weighted protocol at 1.5 T?

# %% exercise
import numpy as np

tr_ms, te_ms = T2W_1_5T.tr_ms, T2W_1_5T.te_ms
t1_ms, _, t2_ms, _, density = RELAXATION[Tissue.SPLEEN]
signal = density * (1 - np.exp(-tr_ms / t1_ms)) * np.exp(-te_ms / t2_ms)  # answer
times = {"t1_ms": t1_ms, "t2_ms": t2_ms, "tr_ms": tr_ms, "te_ms": te_ms}
signal = lesson.check("spin echo", signal, density=density, **times)

# %% [markdown] answer
# It is about a quarter of the signal of fully recovered water. TR is long, so nearly everything has recovered and T1
# hardly matters; TE is as long as T2, so T2 decides. That is what "T2-weighted" means.

# %%
from pedseg.phantoms.mr_scanner import tissue_signals

for protocol in (T2W_1_5T, T1W_3T):
    bright = tissue_signals(protocol)
    liver, spleen = bright[Tissue.LIVER], bright[Tissue.SPLEEN]
    print(f"{protocol.name}: the liver is {liver / spleen:.1f} times as bright as the spleen")

# %% [markdown]
# There are no Hounsfield units, either: the gray scale of an MR scan is arbitrary, and it varies across the picture. So
# if a data set contains MR, `prepare` does not use HU. It separates the body from the air, subtracts the body's median,
# divides by the spread of its gray values, and sets everything outside to exactly 0. Why 0? We will see below.
#
# ## Random convolutions
#
# **GIN** (global intensity non-linear augmentation) sends each training scan through four small convolutions. Their
# weights are **random, and new each time**. Then it mixes the result with the scan and scales it back. Shapes stay.
# Gray values become something that no scanner makes.

# %%
from dataclasses import replace

from pedseg.learning.augmentation import body_of, random_gin
from pedseg.learning.preprocessing import prepare
from pedseg.learning.weights import load_weights
from pedseg.evaluation.trained_models import find_weights

_, ct_plan, _ = load_weights(find_weights(lesson.study(), "federated"))
by_body = {"intensity": "body", "clip_hu": (-3, 3), "mean_hu": 0, "sd_hu": 1}
plan = replace(ct_plan, **by_body, orientation="none")
case = prepare(ct, plan, truth)
looks = {"the scan": case.image}
for seed in (1, 5, 7, 10, 11):
    looks[f"chance {seed}"] = random_gin(case.image, replace(plan, gin_probability=1), seed)

# %% slide
level = figures.fullest(case.labels)
picture = voxel_figures.patches(looks, plan.spacing_mm, index=level, same_scale=False)
figures.show(picture, "One CT slice as prepared, and under five sets of random convolutions.")

# %% [markdown]
# Some look like MR, most like no scan at all. What stays in nearly all of them is the borders. A network that must draw
# the liver in all of these pictures cannot use its gray value. It has to use its shape, its place, and its neighbors.
#
# ## What air does to it
#
# The last step of GIN scales the result to the norm of the scan: the root of the sum of squares, over **all** voxels.
# In a CT that is prepared in the usual way, air is far below zero.
#
# **Question.** What fraction of the sum of squares is air? `usual` is the prepared CT, `inside` says where the body is.

# %% exercise
usual = prepare(ct, ct_plan).image
inside = body_of(usual, ct_plan)
share = np.sum(usual[~inside] ** 2) / np.sum(usual**2)  # answer
share = lesson.check("share of air", share, image=usual, inside=inside)

# %% [markdown] answer
# It is more than half, and nobody needs the air. So what the random layers make of *air* decides how bright the *body*
# is afterward. The remedy is simple: set air to 0 before the layers, use the norm of the body, and restore the air
# afterward. (With `inside`, our function does that; without it, it is GIN exactly as published.)

# %%
from pedseg.learning.gin import gin

batch, body = usual[None, None], inside[None]
changed = {"the scan": usual}
for seed in (1, 3):
    changed[f"as published, {seed}"] = gin(batch, seed=seed)[0, 0]
    changed[f"body only, {seed}"] = gin(batch, seed=seed, inside=body)[0, 0]
for name, voxels in changed.items():
    strength = np.sqrt(np.mean(voxels[inside] ** 2))
    print(f"{name:>15}: the body's root mean square is {strength:.2f}")
picture = voxel_figures.patches(changed, ct_plan.spacing_mm, index=level)
figures.show(picture, "GIN with and without air in its norm.")

# %% [markdown]
# ## Spot the difference
#
# There are two public versions of the code, and they differ in one detail. Ouyang's GIN draws kernels **for each scan**
# of a batch; FedGIN's code draws one set **for the whole batch**. Here is the same scan twice in one batch.

# %%
twice = np.stack([case.image, case.image])[:, None]
bodies = twice[:, 0] != 0
views = {}
for name, shared in (("its own", False), ("shared", True)):
    first, second = gin(twice, seed=12, inside=bodies, shared=shared)[:, 0]
    views |= {f"{name}, 1st": first, f"{name}, 2nd": second}
views = {"the scan": case.image, **views}
picture = voxel_figures.patches(views, plan.spacing_mm, index=level, same_scale=False)
figures.show(picture, "The same scan twice in a batch, with kernels of its own and shared.")

# %% [markdown]
# With shared kernels, both are mixtures of the same two pictures; only the proportions differ. So a batch looks as if
# it came from one strange scanner instead of several.
#
# **Write it**: one of the four layers. A convolution sums image times kernel over all input channels and over k × k × k
# neighbors, and adds the bias. Pad with zeros beyond the border, so that the size stays the same. Then a leaky ReLU
# keeps positive values as they are, and multiplies negative values by 0.01. `functional` has both.

# %% exercise
import torch
from torch.nn import functional


def gin_layer(image, kernel, bias):
    """image (inputs, x, y, z), kernel (outputs, inputs, k, k, k) with k odd, bias (outputs,)"""
    convolved = functional.conv3d(image[None], kernel, bias, padding=kernel.shape[-1] // 2)  # answer
    return functional.leaky_relu(convolved[0], 0.01)  # answer


gin_layer = lesson.check("gin_layer", gin_layer)
torch.manual_seed(1)
layered = gin_layer(torch.tensor(case.image[None]), torch.randn(2, 1, 3, 3, 3), torch.randn(2))
print("one channel became", len(layered), "- and not a single weight was learned")

# %% [markdown] answer
# `conv3d` expects a batch: `image[None]` makes a batch of one scan, and `[0]` takes the scan out again. For 8 scans
# with their own kernels, all of size 3, four layers need 8 × 331 random numbers. They are discarded after the step.

# %% [markdown]
# *Stretch goal:* apply four such layers one after the other, mix the result with the scan, and scale it to the scan's
# norm: that is GIN. `pedseg/learning/gin.py` does it for a whole batch at once; compare.
#
# ## Four networks, one child
#
# In the complete scenario of the recorded experiment, Polder has thirty children on CT and Fjord thirty others on
# T2-weighted MR. One network was trained in each hospital, one in the federation, and one in the federation with GIN.
# Each of these four networks draws the child from above, which none of them has seen: on CT, on T2-weighted MR, and on
# T1-weighted MR, which nobody has trained on.
#
# **Guess first:** which network can draw which scan?

# %%
from pedseg.learning.inference import predict
from pedseg.learning.weights import load_network
from pedseg.metrics import score_case

recorded, four = lesson.recorded("fedgin"), shown[:4]  # without the gallbladder
networks = {"Polder alone": ("local", "Polder"), "Fjord alone": ("local", "Fjord")}
networks |= {"federated": ("federated",), "federated with GIN": ("federated_gin",)}
strips = {}
for name, model in networks.items():
    network, own_plan = load_network(find_weights(recorded, *model))
    for scan, (image, labels) in scans.items():
        predicted = predict(network, image, own_plan)
        scored = score_case(labels.voxels, predicted, image.spacing_mm, four)
        gray, view = pictures[scan]
        dsc = np.mean([organ.dsc for organ in scored])
        strips[f"{name}; {scan}: DSC {dsc:.2f}"] = (gray, {**view, "prediction": predicted})

# %% slide
picture = figures.slices_figure(strips, columns=len(scans), organs=four)
alt = "Rows are networks, columns scans. A hospital's network follows organs on its own kind"
alt += " of scan only, the federated one on both, the one with GIN on T1-weighted MR, too."
figures.show(picture, alt)

# %% [markdown]
# Each row is one network; the DSC is the mean over the four organs. Read it row by row. A hospital's own network works
# on its own kind of scan and fails on the others. The federated network works on both kinds that it was trained on. On
# T1-weighted MR it does much worse: it has learned two ways in which a liver can look, and this is a third one. With
# GIN, the federated network has learned not to rely on the gray value, and it draws all three.
#
# One child is an anecdote. Here is the whole experiment, with three seeds and all test children. It took the computer
# the time printed below. The fourth column is CT without contrast agent, which nobody has trained on, either.
#
# **Guess first:** is the federation with GIN better where it has *not* trained? And where it *has*?

# %% slide
import json

summary = json.loads((recorded / "summary.json").read_text("utf-8"))
scenario = "limited-1:1"  # or "limited-1:2", "limited-1:5", "complete"
print(f"{summary['seconds']['total']['cpu'] / 60:.0f} minutes of one processor core")
chart = charts.table(scores.by_scenario(summary["means"], scenario), title=scenario)
figures.show(chart, "The recorded experiment: mean DSC by model and way of scanning.")

# %% [markdown]
# Read it column by column. No network was trained on *Fjord T1w 3 T* and *Polder plain*.
#
# Then change the scenario to `limited-1:5`. There, only one child in six is from Fjord, and Polder dominates the
# average of the federation. What happens on *Fjord*'s own kind of scan, without GIN and with it?
#
# Now choose `complete`, with thirty children each. Compare the federation with GIN to *all scans in one place* with
# GIN: what does it cost to leave the scans where they are? Then compare it to the federation without GIN, on the kinds
# of scans that *were* trained on. There it is worse. We will come back to that.
#
# **Guess:** which of the five organs gains the most from GIN in T1-weighted MR? Think of how each one looks in the
# three pictures at the top.

# %%
unseen = "Fjord T1w 3 T"  # or "Fjord", "Polder", "Polder plain"
lines = scores.gains(summary["gains"], scenario, unseen)
values = {f"{unseen}: with GIN minus without": lines}
chart = charts.dots(values, x="difference in DSC", zero=True)
figures.show(chart, "What GIN changes in each organ, with its interval over patients.")

# %% [markdown]
# **Question.** Which one gains the most (by the dots above)?

# %% exercise
gained = {organ: values[0] for organ, values in lines.items()}
most = max(gained, key=gained.get)  # answer
most = lesson.check("who gains most", most, gains=gained)

# %% [markdown] answer
# It is not the liver, which is the largest organ and always in the same place: a network that knows *where* needs no
# gray value. GIN helps where a network had relied on brightness, in organs that are bright in one kind of scan and dark
# in another.

# %% [markdown]
# ## Slower, or worse?
#
# On the kinds of scans that *were* trained on (*Fjord* and *Polder*), GIN cost something. There are two possible
# reasons. It may be **slower**: it changes every second scan, so the federation has seen each original scan half as
# often. Or it may end up **worse**. A table for one number of steps cannot tell the two apart. So here is the complete
# scenario again, and trained four times as long. The curves are from the validation children of both hospitals, round
# by round.
#
# **Guess first:** do the curves meet?

# %%
first = "complete_seed0_"
longer = json.loads((lesson.recorded("fedgin_long") / "summary.json").read_text("utf-8"))
curves = {
    name: [(p["step"], p["dsc"]) for p in longer["curves"][first + key][5:]]
    for name, key in (("without GIN", "federated"), ("with GIN", "federated_gin"))
}
chart = charts.learning_curves(curves, x="steps of each center", y="DSC, all organs")
figures.show(chart, "DSC on validation children without and with GIN, over 4000 steps.")

# %%
organs = "five"  # or "all"
shorter = json.loads((lesson.recorded("fedgin_complete") / "summary.json").read_text("utf-8"))
values = {
    f"{steps} steps": scores.overall(result["overall"], "complete", organs)
    for steps, result in ((1000, shorter), (4000, longer))
}
chart = charts.dots(values, x="with GIN minus without: difference in DSC", zero=True)
figures.show(chart, "What GIN changes in each way of scanning after 1000 and 4000 steps.")

# %% [markdown]
# They do not quite meet. Both are level after some 1500 steps, and the federation with GIN stays about 0.01 below. So
# GIN is not only slower: where such scans were trained on, it ends up a little worse. Over the five organs, it costs
# 0.03 on CT and 0.02 on MR after 4000 steps, no less than after 1000. GIN takes away the gray value in every second
# sample, and where that is a reliable cue, the network misses it. Kidneys and pancreas on CT and the gallbladder on MR
# pay most. (These networks were tested on forty children for each kind of scan, because eight are too few to show such
# small differences.)
#
# Set `organs = "all"`: over nineteen organs, no price is shown after 4000 steps, neither on CT nor on MR. The gain from
# GIN on *Fjord T1w 3 T* does not shrink with more training. And more training is not always better: the adrenal glands
# and the esophagus got worse by 0.06 to 0.14 in both federations, a sign of overfitting.
#
# Two methods that are compared after the same number of steps may still be on their way. Had the curves met, the table
# above would have told more about that number than about the methods. You know only after you have trained on.

# %% [markdown]
# ## What to remember
#
# - Between CT and MR, and between two MR protocols, bright becomes dark. Shapes stay the same.
# - GIN makes a network rely less on gray values. It pays off where a scan is unlike all training scans. Where the gray
#   value is a reliable cue, it costs something.
# - "After the same number of steps" does not mean "trained to the end".
# - Look at what a formula does to *your* scans: a norm over all voxels is a norm of air.
# - A hospital with another kind of scanner can teach your network, too, although its scans look nothing like yours.
#
# **Further reading.** Nagaraju et al., *FedGIN* ([arXiv:2508.05137](https://arxiv.org/abs/2508.05137)); Ouyang et al.,
# *Causality-inspired single-source domain generalization for medical image segmentation*, IEEE Transactions on Medical
# Imaging 2022 ([doi:10.1109/TMI.2022.3224067](https://doi.org/10.1109/TMI.2022.3224067)).

# %%
lesson.finish()
