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
# *Polder* and *Neckar* are invented hospitals; their children are grown by a program, each with organs in their
# places and of the size of their age, some after the removal of a kidney. The first time, growing them takes a minute
# or so. Each hospital keeps its children in three groups: for **training**, for **validation** (to look at while one
# works) and for the **test**, which nobody looks at before the end.

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
# The plan (chapter [[from_scan_to_tensor]]) follows from the merged fingerprints of both hospitals: the same voxels for
# both, so that only what the network has *learned* is put to the test. Then `build` makes a network, a small U-Net. Its
# weights are random numbers from a seed.

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
# One **step**: take one child, let the network draw, compare with the true contours (the *loss* says how wrong it
# was), and nudge every weight a little in the direction that would have been less wrong. That is all; the rest is
# repetition.
#
# **Write it.** In PyTorch a step has four lines: forget the last gradients (`optimizer.zero_grad()`), compute the
# loss, compute the gradients (`loss.backward()`), change the weights (`optimizer.step()`). Around them are two
# loops: over the epochs, and in each epoch over all batches.

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
# `zero_grad` matters: PyTorch *adds* gradients up. `loss.item()` matters, too: the loss itself holds on to everything
# that it was computed from, and the memory fills up.

# %% [markdown]
# Let it learn something small: from the HU of a voxel, whether it is liver or lung. The network has four weights.

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
# *Stretch goal:* give `fit` a momentum, or Adam in place of SGD. How many epochs does it save?
#
# The library's `train` is the same loop with more care: a loss that also knows Dice, a learning rate that falls, and
# numbers of 16 bits where the processor has them. It trains a network of several hundred thousand weights on all of
# Polder's children.

# %%
from pedseg.learning.training import load_cases, train

steps = lesson.training_steps(320, test=6, networks=2)  # chapter 07 trains two
children = load_cases(polder, polder.split("train"), plan)
training = train(network, children, plan, steps=steps, total_steps=steps, seed=0)
losses = [(step.number, step.loss) for step in lesson.progress(training, steps, "training")]

# %% [markdown] lecture
# ## A network practices
#
# One step: draw one child, compare with the true contours, and nudge every weight so that it would have been less
# wrong.
#
# > **Question.** The curve falls. What does it say about children that the network has never seen?

# %% slide
chart = charts.learning_curves({"Polder alone": losses}, smooth=20)
figures.show(chart, "Polder's training loss falls fast at first, then slowly.")

# %% [markdown]
# Each step sees another child, and some children are harder: hence the trembling (already smoothed here). The curve
# says that the network gets better *on the children it practices with*. Whether it has understood anything, only
# others can tell.
#
# ## A child the network has never seen
#
# It comes from the validation group. The test children stay untouched until the examination.

# %%
from pedseg.learning.inference import predict

child = polder.split("validation")[0]
ct, truth = load_image(child), load_labels(polder, child).voxels
predicted = predict(network, ct, plan)

# %% [markdown] lecture
# ## A child that it has never seen
#
# Solid lines are the true contours, dashed ones what the network drew. This child has lost its left kidney.
#
# > **Question.** What would you correct before you plan a treatment with these contours?

# %% slide
shown = ["Liver", "Spleen", "Kidney_L", "Kidney_R", "Bowel^Stomach"]
z = figures.fullest(truth, organs=shown)
picture = figures.slice_figure(ct, index=z, truth=truth, prediction=predicted, organs=shown)
figures.show(picture, "True contours (solid) and drawn ones (dashed), Polder.")

# %% [markdown]
# Most dashed lines follow the solid ones. But this child has lost its left kidney: a dashed green line is a kidney that
# is not there. Chapter [[how_good_is_a_contour]] asks what such a **false organ** counts, chapter [[one_kidney]] where
# it comes from.
#
# How good is it in numbers? By the Dice coefficient of chapter [[how_good_is_a_contour]], organ by organ:

# %%
from pedseg.metrics import score_case

for score_ in score_case(truth, predicted, ct.spacing_mm, shown):
    dsc = "absent" if score_.dsc is None else f"DSC {score_.dsc:.3f}"
    print(f"{score_.organ}: {dsc}, {score_.predicted_ml:.0f} mL drawn")

# %% [markdown]
# ## The examination: at home and away
#
# Now all test children of Polder, and then all of Neckar. Nobody has told the network that the second group comes
# from another hospital.

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
# How much is that? A mean over nine organs hides who pays: an organ that is lost altogether takes 0.11 from it, and
# so do nine organs that each lose a little. Look below which it is here.

# %%
homes = {"at home (Polder)": "Polder", "away (Neckar)": "Neckar"}
organs = {text: scores.by_organ(rows, name)[local] for text, name in homes.items()}
chart = charts.dots(organs, x="mean DSC with 95 % interval")
figures.show(chart, "DSC by organ for Polder's network at home and at Neckar.")

# %% [markdown]
# ## Chance or not?
#
# A few dozen children are not many, and children differ. Could the drop be the luck of the draw? For each organ, a
# **rank test** asks how often groups as different as these two would come about by chance, if the hospital did not
# matter. Nine organs are nine questions, and anyone who asks often enough gets a "significant" answer by luck;
# **Holm**'s rule corrects for it.

# %%
from pedseg.evaluation.statistics import summarize_rows

(line,) = summarize_rows(rows)["drops"]
worse = line["worse_than_at_home"]
print(f"significantly worse away in {len(worse)} of {line['organs']} organs", *worse)

# %% [markdown]
# If the list is shorter than the picture above made you expect: a few dozen children here against as many *other*
# children there is a blunt comparison, since children differ more than hospitals do. "Not significant" means "not
# shown", not "not there". Chapter [[a_federation_of_centers]] uses a sharper one: different networks on *the same*
# children.
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
# The same network, the same program: left a child of its own hospital, right one of the hospital next door.
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
# Three of four of Polder's children were scanned after an injection of contrast agent, when kidneys are brighter than
# everything around them. "Bright" is the easiest thing a network can learn about a kidney, and at home it mostly works.
# At Neckar it is one child in four. There are further differences: a sharper and noisier picture, a flat table, other
# ages, and another kidney that is usually gone. Which of them does the harm? Looking at one child cannot tell. Changing
# one cause at a time can, and here it is possible: each is one field of a center in `pedseg.phantoms.centers`. Chapter
# [[on_their_side]] does it. With real hospitals one can only guess.
#
# > The size of this drop is a property of two invented hospitals. That there *is* one is what real studies find, too,
# > and there it is small, as here: hospitals share more than they differ in. Chapter [[on_their_side]] shows two that
# > share less.
#
# ## What to remember
#
# - A learning curve tells about practice, a test about understanding, a test next door about medicine.
# - Report organ by organ; say how many were tested and correct for it.
# - Find the cause before the cure. One cure would be to gather all scans in one place. The next two notebooks are about
#   another.

# %%
lesson.finish()
