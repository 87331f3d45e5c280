# %% [markdown]
# # 11 · CT meets MR
#
# *45 minutes · students, clinicians, researchers · the computer works for about three of them*
#
# **You will be able to**
# - say why liver and spleen change places between CT and MR, and compute how bright they are,
# - look at a scan through random convolutions (GIN), and say what they keep and what they change,
# - tell why air around a body spoils them, and what helps,
# - judge from a table whether a CT hospital and an MR hospital should learn together.

# %%
from pedseg.workbook import charts, figures, lesson, scores, voxel_figures

lesson.setup()

# %% [markdown]
# ## One child, three machines
#
# The hospital *Fjord* has no CT. It scans with magnetic resonance (MR). Here is one child as Polder's CT shows it, and
# as two MR protocols do. The organs are the same. (The slices of MR are thicker, and no table is seen.)

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
    mr, labels = scan_mr(child, protocol, seed=8)
    scans[f"MR, {protocol.name}"] = (figures.rescale_to_window(mr), labels)

# %% slide
shown = ["Liver", "Spleen", "Kidney_L", "Kidney_R", "Gallbladder"]
pictures = {}
for name, (image, labels) in scans.items():
    level = figures.fullest(labels.voxels, organs=shown)
    pictures[name] = (image, {"truth": labels.voxels, "index": level})
picture = figures.slices_figure(pictures, organs=shown)
figures.show(picture, "One child in CT and in two kinds of MR, with contours of five organs.")

# %% [markdown]
# On CT liver and spleen look alike, kidneys shine (contrast medium), and so do bones. In the T2-weighted scan the liver
# is dark, spleen and kidneys are bright, and everything that is fluid shines. In the T1-weighted scan the liver is
# brighter than the spleen, fat shines, fluid is dark. A network that has learned "the spleen is bright" is right in one
# picture and wrong in another.
#
# ## How bright is a tissue?
#
# In MR a tissue has no gray value of its own. Its magnetization **comes back** after each pulse, with the time T1, and
# **fades** until the echo, with the time T2. The scanner chooses how long it waits for either: the repetition time TR
# and the echo time TE. For a spin echo:
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
# About a quarter of what water would give that had time to recover fully. TR is long, so nearly everything has come
# back and T1 hardly matters; TE is as long as T2, so T2 decides. That is what "T2-weighted" means.

# %%
from pedseg.phantoms.mr_scanner import tissue_signals

for protocol in (T2W_1_5T, T1W_3T):
    bright = tissue_signals(protocol)
    liver, spleen = bright[Tissue.LIVER], bright[Tissue.SPLEEN]
    print(f"{protocol.name}: the liver is {liver / spleen:.1f} times as bright as the spleen")

# %% [markdown]
# There are no Hounsfield units to hold on to, either: the gray scale of an MR scan is arbitrary, and it drifts across
# the picture. So where MR is among the scans, `prepare` asks for no HU. It finds the body as what differs from the air,
# counts gray values from the body's median in units of their spread, and sets everything outside to exactly 0. Why 0?
# Wait.
#
# ## Random convolutions
#
# **GIN** (global intensity non-linear augmentation) sends each training scan through four small convolutions whose
# weights are **drawn at random, anew each time**, mixes the outcome with the scan and scales it back. Shapes stay. Gray
# values become something that no scanner makes.

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
# Some look like MR, most like nothing on earth. What has stayed in nearly all of them? Borders. Whoever must draw the
# liver in all of these pictures cannot go by its gray value. It has to be known by its shape, its place and its
# neighbors.
#
# ## What air does to it
#
# The last step of GIN scales the outcome to the norm of the scan: the root of the sum of all squares, over **all**
# voxels. Now take the usual way of preparing a CT: air is far below zero.
#
# **Question.** What fraction of the sum of squares is air? `usual` is the prepared CT, `inside` says where the body is.

# %% exercise
usual = prepare(ct, ct_plan).image
inside = body_of(usual, ct_plan)
share = np.sum(usual[~inside] ** 2) / np.sum(usual**2)  # answer
share = lesson.check("share of air", share, image=usual, inside=inside)

# %% [markdown] answer
# More than half, and air is what nobody wants to see. So what the random layers make of *air* decides how bright the
# *body* comes out. The remedy is simple: air is 0 before the layers, the norm is that of the body, and afterwards air
# is what it was. (With `inside`, our function does that; without, it is GIN exactly as published.)

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
# Two public codes, one word apart. Ouyang's GIN draws kernels **for each scan** of a batch; FedGIN's code draws one set
# **for the whole batch**. Here is the same scan twice in one batch.

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
# With shared kernels both are mixtures of the same two pictures; only how much of each is drawn anew. A batch then
# shows one strange scanner instead of several.
#
# **Write it**: one of the four layers. A convolution adds up, over all input channels and over k × k × k neighbors,
# image times kernel, and the bias; beyond the border lie zeros, so that the size stays. Then a leaky ReLU leaves
# what is positive as it is, and a hundredth of what is negative. `functional` has both.

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
# `conv3d` wants a batch: `image[None]` makes one of a single scan, and `[0]` takes it out again. For 8 scans with
# kernels of their own, all of size 3, four layers draw 8 × 331 numbers; they are thrown away after the step.

# %% [markdown]
# *Stretch goal:* put four such layers behind each other, mix the outcome with the scan, and scale it to the scan's
# norm: that is GIN. `pedseg/learning/gin.py` does it for a batch in one go; compare.
#
# ## A small experiment, live
#
# Polder has six children on CT, Fjord six others on T2-weighted MR. One network learns in each hospital, one in the
# federation, one in the federation with GIN, one from all scans in one place with GIN. Then all of them draw children
# they have never seen, in four ways of scanning. Two of these nobody has trained on: T1-weighted MR, and CT without
# contrast.
#
# **Guess first:** is the federation with GIN better where it has *not* trained? And where it *has*?

# %%
import json

from pedseg.evaluation import fedgin

children = lesson.budget(6, test=3)  # of each hospital
few = fedgin.Size((("limited-1:1", (children, children)),), validation=1, test=3)
steps = lesson.training_steps(20, test=1, networks=24)  # 3 rounds, 8 trainings in each
short = fedgin.fedgin_config(seeds=1, rounds=3, local_steps=steps)
here = lesson.runs() / f"fedgin-{lesson.size()}"
lesson.follow(fedgin.run_fedgin(here, short, data=here / "data", size=few))
live = json.loads((here / "summary.json").read_text("utf-8"))
chart = charts.table(scores.by_scenario(live["means"], "limited-1:1"))
figures.show(chart, "The live experiment: mean DSC by model and way of scanning.")

# %% [markdown]
# It is far too short: with GIN every scan looks strange, and a network needs more steps before it sees the liver in all
# of them. A short run tells who starts faster, not who arrives. So here is the long one, with three seeds; it took the
# computer the time that is printed below. (The recorded networks of this chapter were trained with AdamW. The live run
# trains with Muon, an optimizer that needs about half as many steps.)

# %% slide
summary = json.loads((lesson.recorded("fedgin") / "summary.json").read_text("utf-8"))
scenario = "limited-1:1"  # or "limited-1:2", "limited-1:5", "complete"
print(f"{summary['seconds']['total']['cpu'] / 60:.0f} minutes of one processor core")
chart = charts.table(scores.by_scenario(summary["means"], scenario), title=scenario)
figures.show(chart, "The recorded experiment: mean DSC by model and way of scanning.")

# %% [markdown]
# Read it column by column. *Fjord T1w 3 T* and *Polder plain* are what no network was trained on.
#
# Then change the scenario to `limited-1:5`. Fjord brings one child in six there, and the average of the federation
# follows Polder: what becomes of *Fjord*'s own kind of scan, without GIN and with it?
#
# Now `complete`, thirty children each. Compare the federation with GIN with *all scans in one place* with GIN: what
# does it cost to leave the scans where they are? And compare it, where scans of that kind *were* trained on, with the
# federation without GIN. It is behind there. We come back to that.
#
# **Guess:** which of the five organs gains most from GIN in T1-weighted MR? Think of how each looks in the three
# pictures at the top. Then look.

# %%
unseen = "Fjord T1w 3 T"  # or "Fjord", "Polder", "Polder plain"
lines = scores.gains(summary["gains"], scenario, unseen)
values = {f"{unseen}: with GIN minus without": lines}
chart = charts.dots(values, x="difference in DSC", zero=True)
figures.show(chart, "What GIN changes in each organ, with its interval over patients.")

# %% [markdown]
# **Question.** Which one gains most (by the dots above)?

# %% exercise
gained = {organ: values[0] for organ, values in lines.items()}
most = max(gained, key=gained.get)  # answer
most = lesson.check("who gains most", most, gains=gained)

# %% [markdown] answer
# Not the liver: it is the largest and always in the same place, and a network that knows *where* needs no gray value.
# GIN helps where a network had relied on brightness: what shines in one kind of scan and is dull in the next.

# %% [markdown]
# ## Slower, or worse?
#
# Where scans of the kind *were* trained on (*Fjord* and *Polder*), GIN cost something. There are two ways to understand
# that. It may be **slower**: it hides every second plain scan, so the federation has seen each of them half as often.
# Or it may arrive at a **worse** place. A table made at one moment cannot tell the two apart. So here is the complete
# scenario again, trained four times as long: the validation children of both hospitals, round by round.
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
figures.show(chart, "DSC on validation children without and with GIN, over 8000 steps.")

# %%
organs = "five"  # or "all"
shorter = json.loads((lesson.recorded("fedgin_complete") / "summary.json").read_text("utf-8"))
values = {
    f"{steps} steps": scores.overall(result["overall"], "complete", organs)
    for steps, result in ((2000, shorter), (8000, longer))
}
chart = charts.dots(values, x="with GIN minus without: difference in DSC", zero=True)
figures.show(chart, "What GIN changes in each way of scanning after 2000 and 8000 steps.")

# %% [markdown]
# They meet. Without GIN the federation learns most of what it ever learns early, and later steps mostly teach it its
# own training children; with GIN half of the samples are never the same twice, and it goes on learning. (Forty test
# children in each way of scanning met these networks: the eight from above cannot tell such differences from nothing.)
#
# Set `organs = "all"`: what had looked like a loss is a gain after 8000 steps, on CT and on MR. Without GIN the small
# and thin organs (adrenal glands, esophagus, portal vein) get worse with so much training, with GIN much less or not at
# all. Over the five organs most of the loss on MR and half of that on CT was impatience. What stays is 0.03 on CT; on
# MR it is 0.01, and its interval holds zero. There is a price where the gray value is a good witness, above all in the
# gallbladder and the pancreas. What GIN gives in exchange, on *Fjord T1w 3 T*, does not shrink with time.
#
# Anyone who compares two methods after the same number of steps has chosen the winner, in part, by choosing the number.

# %% [markdown]
# ## What to remember
#
# - Between CT and MR, and between two MR protocols, gray values turn round. Shapes do not.
# - GIN makes a network distrust gray values. It pays where a scan is unlike all training scans. Where the gray value is
#   a good witness it costs, and it takes longer.
# - "After as many steps" is not "trained to the end".
# - Look at what a formula does to *your* scans: a norm over all voxels is a norm of air.
# - A hospital with another machine can teach, too. Its children count, although their scans look nothing like yours.
#
# **Further reading.** Nagaraju et al., *FedGIN* ([arXiv:2508.05137](https://arxiv.org/abs/2508.05137)); Ouyang et al.,
# *Causality-inspired single-source domain generalization for medical image segmentation*, IEEE Transactions on Medical
# Imaging 2022 ([doi:10.1109/TMI.2022.3224067](https://doi.org/10.1109/TMI.2022.3224067)).

# %%
lesson.finish()
