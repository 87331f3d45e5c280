# %% [markdown]
# # 05 · One hospital learns alone
#
# *50 minutes · students, lecturers, researchers · the computer works for about three of them*
#
# **You will be able to**
# - train a network on one hospital's scans and read its learning curve,
# - write a training loop in PyTorch,
# - test a network at home and next door, and say what the difference means,
# - name a cause for it.

# %%
from pedseg.workbook import charts, figures, lesson, scores

lesson.setup()

# %% [markdown]
# ## The hospital and its children
#
# *Polder* and *Neckar* are invented hospitals. A program makes their children: each has its organs in the right places
# and sizes for its age, and some have lost a kidney. The first time, making them takes a minute or so. Each hospital
# keeps its children in three groups. One is for **training**, one for **validation** (to look at while you work), and
# one for the **test**, which nobody looks at before the end.

# %%
polder, neckar = lesson.centers()
for center in (polder, neckar):
    for split in ("train", "validation", "test"):
        cases = center.split(split)
        children = len({case.patient for case in cases})
        print(f"{center.center}, {split}: {len(cases)} scans of {children} children")

# %% [markdown]
# ## A plan and a network
#
# The plan (chapter [[from_scan_to_tensor]]) follows from the merged fingerprints of both hospitals. Both get the same
# voxels, so that we test only what the network has *learned*. Then `build` makes a network, a small U-Net. Its weights
# are random numbers from a seed.

# %%
from pedseg.organs import organ
from pedseg.learning.network import build
from pedseg.learning.weights import get_weights
from pedseg.learning.fingerprint import fingerprint, merge
from pedseg.learning.plans import make_plan

prints = [fingerprint(center, center.split("train")) for center in (polder, neckar)]
plan = make_plan(merge(prints))
network = build(plan, seed=0)
numbers = sum(weights.size for weights in get_weights(network).values())
print(f"{numbers:,} weights to be learned")

# %% [markdown]
# ## Training
#
# One training **step**: take one child, let the network draw, and compare with the true contours: the *loss* says how
# wrong it was. Then change every weight a little, in the direction that makes the loss smaller. That is all; the rest
# is repetition.
#
# **Write it.** In PyTorch a step has four lines: reset the gradients (`optimizer.zero_grad()`), compute the loss,
# compute the gradients (`loss.backward()`), and change the weights (`optimizer.step()`). Around them are two loops: one
# over the epochs, and in each epoch one over all batches. Before them, `network.train()` switches the network from
# prediction to training.

# %% exercise
import torch


def fit(network, batches, epochs, learning_rate):
    """Train a network in place with `torch.optim.SGD`; the mean loss of each epoch, as numbers.

    `batches` is a list of (images, labels); the loss is `torch.nn.functional.cross_entropy`.
    """
    optimizer = torch.optim.SGD(network.parameters(), lr=learning_rate)  # answer
    network.train()  # answer
    losses = []  # answer
    for _ in range(epochs):  # answer
        seen = []  # answer
        for images, labels in batches:  # answer
            optimizer.zero_grad()  # answer
            loss = torch.nn.functional.cross_entropy(network(images), labels)  # answer
            loss.backward()  # answer
            optimizer.step()  # answer
            seen.append(loss.item())  # answer
        losses.append(sum(seen) / len(seen))  # answer
    return losses  # answer


fit = lesson.check("fit", fit)

# %% [markdown] answer
# `zero_grad` matters: PyTorch *adds* gradients up. `loss.item()` matters, too: the loss itself keeps everything that it
# was computed from, and the memory would fill up.

# %% [markdown]
# Let it learn something small: whether a voxel is liver or lung, from its HU. The network has four weights.

# %%
from pedseg.datasets.loading import load_image, load_labels

first = polder.split("train")[0]
hu, labels = load_image(first).voxels, load_labels(polder, first).voxels
liver, lung = organ("Liver").id, organ("Lung_R").id
either = (labels == liver) | (labels == lung)
points = torch.tensor(hu[either][::20, None] / 1000).float()  # every 20th voxel of both
is_lung = torch.tensor(labels[either][::20] == lung).long()
torch.manual_seed(0)
tiny = torch.nn.Linear(1, 2)
losses = fit(tiny, [(points, is_lung)], epochs=300, learning_rate=1.0)
right = (tiny(points).argmax(1) == is_lung).float().mean()
print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f}; right in {right:.1%} of the voxels")

# %% [markdown]
# *Stretch goal:* give `fit` momentum, or use Adam instead of SGD. How many epochs does it save?
#
# The library's `train` is the same loop with five changes. The optimizer is Muon instead of SGD, the loss includes
# Dice, and gradients are clipped. The learning rate rises briefly and then decreases, and numbers have 16 bits if the
# processor can compute with them. It trains a network of several hundred thousand weights on all of Polder's children.

# %%
from pedseg.learning.training import load_cases, train

steps = lesson.training_steps(320, test=6, networks=2)  # chapter 07 trains two
children = load_cases(polder, polder.split("train"), plan)
training = train(network, children, plan, steps=steps, total_steps=steps, seed=0)
losses = [(step.number, step.loss) for step in lesson.progress(training, steps, "training")]

# %% [markdown] lecture
# ## A network trains
#
# One step: draw one child, compare with the true contours, and change every weight a little so that the loss gets
# smaller.
#
# > **Question.** The curve falls. What does it say about children that the network has never seen?

# %% slide
chart = charts.learning_curves({"Polder alone": losses}, smooth=20)
figures.show(chart, "Polder's training loss falls fast at first, then slowly.")

# %% [markdown]
# Each step sees another child, and some children are harder. So the curve is noisy, although it is smoothed here. It
# says that the network gets better *on the children that it trains with*. Whether it has learned anything useful, only
# other children can tell.
#
# ## A child the network has never seen
#
# It comes from the validation group. The test children stay untouched until the test.

# %%
from pedseg.learning.inference import predict

child = polder.split("validation")[0]
ct, truth = load_image(child), load_labels(polder, child).voxels
predicted = predict(network, ct, plan)

# %% [markdown] lecture
# ## A child that it has never seen
#
# Solid lines are the true contours, and dashed lines are what the network drew. This child has lost its left kidney.
#
# > **Question.** What would you correct before you plan a treatment with these contours?

# %% slide
shown = ["Liver", "Spleen", "Kidney_L", "Kidney_R", "Bowel^Stomach"]
z = figures.fullest(truth, organs=shown)
picture = figures.slice_figure(ct, index=z, truth=truth, prediction=predicted, organs=shown)
figures.show(picture, "True contours (solid) and drawn ones (dashed), Polder.")

# %% [markdown]
# Most dashed lines follow the solid ones. This child has lost its left kidney: if there is a dashed green line, it is a
# kidney that does not exist. Chapter [[how_good_is_a_contour]] asks how to count such a **false organ**, and chapter
# [[one_kidney]] where it comes from.
#
# How good is it in numbers? Here is the Dice coefficient from chapter [[how_good_is_a_contour]], organ by organ:

# %%
from pedseg.metrics import score_case

for score_ in score_case(truth, predicted, ct.spacing_mm, shown):
    dsc = "absent" if score_.dsc is None else f"DSC {score_.dsc:.3f}"
    print(f"{score_.organ}: {dsc}, {score_.predicted_ml:.0f} mL drawn")

# %% [markdown]
# ## The test: at home and next door
#
# Now the network draws all test children of Polder, and then all of Neckar. Nobody has told it that the second group
# comes from another hospital.

# %%
from pedseg.evaluation.results import ModelKey
from pedseg.evaluation.scoring import load_labeled_scans, score
from pedseg.evaluation.trained_models import TrainedModel

local = ModelKey("local", "Polder")
test_children = lesson.progress(load_labeled_scans(polder, neckar), text="testing")
rows = score(TrainedModel(network, plan, local), test_children)
means = scores.means(rows)[local]
print(f"home (Polder): {means['Polder']:.3f}   away (Neckar): {means['Neckar']:.3f}")

# %% [markdown]
# These are means over the nine evaluated organs; each organ counts the same, however small it is.
#
# **Question.** How large is the drop from home to away?

# %% exercise
drop = means["Polder"] - means["Neckar"]  # answer
drop = lesson.check("drop", drop, home=means["Polder"], away=means["Neckar"])

# %% [markdown] answer
# Is that a lot? A mean over nine organs hides where it comes from. If one organ is lost completely, the mean falls by
# up to 0.11. It falls just as much if all nine organs lose a little. Which is it here?

# %%
homes = {"at home (Polder)": "Polder", "away (Neckar)": "Neckar"}
organs = {text: scores.by_organ(rows, name)[local] for text, name in homes.items()}
chart = charts.dots(organs, x="mean DSC with 95 % interval")
figures.show(chart, "DSC by organ for Polder's network at home and at Neckar.")

# %% [markdown]
# ## Chance or not?
#
# A few dozen children are not many, and children differ. Could the drop be chance? For each organ, a **rank test** asks
# how often groups as different as these two would occur by chance if the hospital did not matter. Nine organs are nine
# tests, and if you test often enough, something will be "significant" by chance. **Holm**'s rule corrects for that.

# %%
from pedseg.evaluation.statistics import summarize_rows

(line,) = summarize_rows(rows)["drops"]
worse = line["worse_than_at_home"]
print(f"significantly worse away in {len(worse)} of {line['organs']} organs", *worse)

# %% [markdown]
# Is the list shorter than you expected from the picture above? A few dozen children here against a few dozen *other*
# children there is a weak comparison, since children differ more than hospitals do. "Not significant" means "not
# shown", not "not there". Chapter [[a_federation_of_centers]] uses a more powerful one: different networks on *the
# same* children.
#
# ## Why?
#
# Look at the child from Neckar whose right kidney this network drew worst.

# %%
abroad = rows[(rows["organ"] == "Kidney_R") & (rows["tested_on"] == "Neckar")]
worst = abroad.loc[abroad["dsc"].idxmin()]
case = next(case for case in neckar.cases if case.name == worst["case"])
away, away_truth = load_image(case), load_labels(neckar, case).voxels
away_drawn = predict(network, away, plan)

# %% [markdown] lecture
# ## At home and away
#
# The same network, the same program: on the left a child of its own hospital, on the right one of the hospital next
# door.
#
# > **Question.** Name three causes that could explain the difference. How would you find out which of them it was?

# %% slide
z_away = figures.fullest(away_truth, organs=["Kidney_R"])
pictures = {
    "home": (ct, {"index": z, "truth": truth, "prediction": predicted}),
    "away": (away, {"index": z_away, "truth": away_truth, "prediction": away_drawn}),
}
picture = figures.slices_figure(pictures, organs=shown)
figures.show(picture, "Contours at home and away: solid true, dashed drawn.")

# %% [markdown]
# Three out of four of Polder's children were scanned after an injection of contrast agent, when kidneys are brighter
# than everything around them. "Bright" is the easiest thing for a network to learn about a kidney, and at home it
# mostly works. At Neckar, only one child in four had contrast agent. There are more differences: sharper pictures with
# finer-grained noise, a flat table, other ages, and the other kidney is usually the removed one. Which of them does the
# harm? One child cannot tell. Changing one cause at a time can, and here it is possible: each cause is one field of a
# center in `pedseg.phantoms.centers`. Chapter [[on_their_side]] does it. With real hospitals you can only guess.
#
# > The size of this drop is a property of two invented hospitals. That there *is* a drop is what real studies find,
# > too. There it is small, as here, because hospitals have more in common than not. Chapter [[on_their_side]] shows two
# > hospitals that have less in common.
#
# ## What to remember
#
# - The training loss says how well a network knows its training children. A test says how well it draws others, and a
#   test next door how well it travels.
# - Report organ by organ; say how many tests you made, and correct for them.
# - Find the cause before the remedy. One remedy would be to gather all scans in one place. The next two chapters are
#   about another one.

# %%
lesson.finish()
