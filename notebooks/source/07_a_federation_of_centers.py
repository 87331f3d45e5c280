# %% [markdown]
# # 07 · A federation of centers
#
# *50 minutes · students, lecturers, researchers · the computer works for about three of them*
#
# **You will be able to**
# - run a federation of two hospitals with Flower and follow it round by round,
# - say what leaves a hospital, and what does not,
# - read the table of four models: each hospital alone, federated, all scans in one place,
# - say when "as good as" is a finding and when it is only a failure to find a difference.

# %%
from pedseg.workbook import charts, figures, lesson, scores

lesson.setup()

# %% [markdown]
# ## Who does what
#
# A **coordinator** keeps the common network. It never sees a scan. Each hospital runs the same small program, the
# **client app**. It answers three requests:
#
# | request | the hospital's answer |
# |---|---|
# | Describe your scans. | the fingerprint of chapter [[from_scan_to_tensor]], and the number of scans |
# | Train this network for a while. | the trained weights, the number of scans, the mean loss |
# | Try this network on your validation children. | one number |
#
# In this notebook both hospitals and the coordinator run in one program. The hospitals train one after the other
# (`workers=1`) to save memory; in parallel they would get the same weights, bit for bit. If they were in Utrecht and
# Heidelberg, the apps would be the same, line by line.

# %%
centers = lesson.centers()
for center in centers:
    cases = center.split("train")
    children = len({case.patient for case in cases})
    print(center.center, "trains with", len(cases), "scans of", children, "children")

# %% [markdown]
# ## The federation runs
#
# In each round the network goes out, every hospital trains it for some steps, and the updates come back and are
# averaged, as you did by hand in chapter [[averaging_by_hand]]. The picture grows with each round. You can stop it (the
# square button above) and keep the rounds that are finished.

# %%
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds

rounds = lesson.budget(8, test=2)
steps = lesson.training_steps(40, test=2, networks=2 * rounds)
config = FederationConfig(rounds=rounds, local_steps=steps, out=None)
nodes = [{"data-dir": str(center.folder)} for center in centers]
grid = InProcessGrid(app, nodes, config.to_run_config(), workers=1)
federation = train_rounds(grid, config)

# %% [markdown] lecture
# ## Networks travel, scans stay
#
# Each round, both hospitals train the common network on their own scans; the weights are averaged.
#
# > **Question.** Neither hospital has seen a scan of the other. Why do both curves fall together?

# %% slide
picture, curves = figures.LiveFigure(), {center.center: [] for center in centers}
for round_ in lesson.progress(federation, rounds, "rounds"):
    for name, loss in round_.losses.items():
        curves[name].append((round_.number, loss))
    chart = charts.learning_curves(curves, x="round", markers=True)
    picture.show(chart, "Mean training loss of each hospital, round by round.")

# %% [markdown]
# Both curves fall, and they fall *together*, although neither hospital has seen one scan of the other.
#
# ## What left the hospitals?
#
# Here is the complete content of one hospital's reply in the last round.

# %%
weights = round_.weights
print(len(weights), "arrays, for example:")
for name in list(weights)[:3]:
    print(f"  {name}: {weights[name].shape}")
print("and three numbers: place in the list, scans, mean loss")

# %% [markdown]
# Nothing in it has one entry per scan: with twice as many scans, a reply would be just as large. But "no scan leaves"
# does not mean "nothing leaves". The weights were learned from the children, and a determined reader can learn
# something about the children from the weights. Chapter [[what_leaves_the_hospital]] is about that.
#
# ## The test
#
# The common network draws the test children of both hospitals.

# %%
from pedseg.evaluation.results import ModelKey
from pedseg.evaluation.scoring import load_labeled_scans, score
from pedseg.evaluation.trained_models import TrainedModel
from pedseg.learning.network import build
from pedseg.learning.weights import set_weights

plan = round_.plan
network = build(plan)
set_weights(network, weights)
model = TrainedModel(network, plan, ModelKey("federated", "Polder+Neckar"))
children = lesson.progress(load_labeled_scans(*centers), text="testing")
for center, mean in scores.means(score(model, children))[model.key].items():
    print(f"tested in {center}: mean DSC {mean:.3f}")

# %% [markdown]
# Is that good? Polder's own network in chapter [[one_hospital_learns_alone]] was trained for the same number of steps:
# compare. But one number says little. We need the competitors: each hospital's own network, the neighbor's network, and
# one network trained with all scans in one place, which is the ideal that is not allowed. Training all of them takes
# longer than a lesson, so we open a **recorded study**. It was made by `python3 run.py study`, with the same apps.

# %%
from pedseg.evaluation.results import read_rows, rows_file

rows = read_rows(rows_file(lesson.study()))
means = scores.means(rows)

# %% [markdown]
# ## Four models, two hospitals

# %% [markdown] lecture
# ## Four models, two hospitals
#
# Read a row from left to right: how good is this network in each hospital? Then read each column from top to bottom.
#
# > **Question.** Is the federated network as good as each hospital's own *in both columns*? What would "as good as"
# > have to mean?

# %% slide
chart = charts.table(means, title="mean DSC over nine organs")
figures.show(chart, "Mean DSC of each model (rows) in each hospital (columns).")

# %% [markdown]
# Read it like this. First, look at each hospital's own network: next door it is a little worse than the local one. Then
# look at the federated row: is it as good as the local one *in both columns*? Last, look at the centralized row, the
# ideal. How close does the federation get?
#
# **Question.** Look at Neckar's column. Polder's network is worse there than Neckar's own. What *fraction* of this drop
# does the federation win back? (1 is all of it; more than 1 means better than Neckar's own.)

# %% exercise
home = means[ModelKey("local", "Neckar")]["Neckar"]
away = means[ModelKey("local", "Polder")]["Neckar"]
federated = next(line for key, line in means.items() if key.model == "federated")["Neckar"]
recovered = (federated - away) / (home - away)  # answer
recovered = lesson.check("recovered", recovered, home=home, away=away, federated=federated)
print(f"{recovered:.2f} of the drop is won back")

# %% [markdown] answer
# The denominator is the whole drop, and the numerator is the gain. Such a ratio is easy to quote and easy to misuse:
# when the drop is small, it is unstable. So always report the two differences that it is made of, too.

# %% [markdown]
# ## Organ by organ
#
# A mean hides single organs. Here are the nine organs in Neckar's test children. The 95 % interval says how
# precisely these children determine the mean of all children of the hospital.

# %%
chart = charts.dots(scores.by_organ(rows, "Neckar"), x="mean DSC with 95 % interval")
figures.show(chart, "DSC by organ for all models in Neckar's test children.")

# %% [markdown]
# ## Better, worse, or as good as?
#
# For each organ, two models have drawn *the same* children. So we compare child by child (Wilcoxon's signed-rank test)
# and correct for testing nine organs (Holm).
#
# "Not significantly different" does **not** mean "as good as": with three children, nothing is ever significant. Anyone
# who claims *as good as* must state a **margin**, that is, how much worse would still be fine, and show that the
# difference lies within it. That is an **equivalence test**. It has two sides: a network that is *better* by more than
# the margin is not equivalent, either. A **noninferiority test** has one side: *not worse* by more than the margin.

# %%
from pedseg.evaluation.statistics import summarize_rows

statistics = summarize_rows(rows)
for line in statistics["drops"]:
    worse = len(line["worse_than_the_local_model_there"])
    print(f"{line['trained_on']} alone, in {line['tested_on']}: worse in {worse} of 9 organs")
for line in statistics["home"]:
    print(f"federated, beside {line['tested_on']}'s own; margin {line['margin']}")
    for claim in ("equivalent", "noninferior", "significantly_better", "significantly_worse"):
        print(f"  {claim.replace('_', ' ')}: {len(line[claim])} of 9 organs")

# %% [markdown]
# The simplest test of such pairs only asks *which network was better, and how often*. If both were equally good, each
# child would be like a coin toss: better or worse, half and half. The **sign test** says how often coins would be at
# least as one-sided as the children, in either direction. Ties say nothing and are left out.
#
# **Write it.** `math.comb(n, k)` is the number of ways in which k of n coins show heads; each way has probability 1 /
# 2^n.

# %% exercise
import math


def sign_test(first, second):
    """Two-sided p-value of the sign test: values of two models in the same children."""
    better = sum(a > b for a, b in zip(first, second))  # answer
    worse = sum(a < b for a, b in zip(first, second))  # answer
    count = better + worse  # answer
    tail = sum(math.comb(count, k) for k in range(max(better, worse), count + 1)) / 2**count  # answer
    return min(1.0, 2 * tail)  # answer


sign_test = lesson.check("sign_test", sign_test)
spleens = rows[(rows["organ"] == "Spleen") & (rows["tested_on"] == "Neckar")]
spleens = spleens[spleens["seed"] == spleens["seed"].min()]
dsc = spleens.pivot(index="case", columns=["model", "trained_on"], values="dsc")
together, centralized = dsc["federated"].iloc[:, 0], dsc["centralized"].iloc[:, 0]
p = sign_test(list(together), list(centralized))
print(f"spleen, federated and centralized, {len(together)} scans: p = {p:.3f}")

# %% [markdown] answer
# Three children out of three give p = 0.25: with so few, nothing is ever significant. Doubling counts both sides; if
# better and worse are equal, it would exceed 1.

# %% [markdown]
# Wilcoxon's test also asks *by how much*, so it usually finds more with the same children. *Stretch goal:* If all
# children are better, how many do you need for p below 0.05? And for nine organs, with Holm?
#
# ## How many children does a claim need?
#
# The networks of the recorded study drew 30 test children per hospital, and later 150: the same networks, five times as
# many children. **Guess first:** with more children, are more organs significantly worse next door, or fewer? And are
# more of them equivalent at home, or fewer?

# %%
import json

for name, children in (("study", 30), ("evaluate", 150)):
    summary = json.loads((lesson.recorded(name) / "summary.json").read_text("utf-8"))
    statistics = summary["statistics"]
    print(f"{children} test children each, {len(statistics['seeds'])} seeds, of 9 organs:")
    for line in statistics["drops"]:
        worse = len(line["worse_than_the_local_model_there"])
        print(f"  {line['trained_on']}'s network in {line['tested_on']}: worse in {worse}")
    for line in statistics["home"]:
        claims = ("equivalent", "significantly_better", "significantly_worse")
        equal, better, worse = (len(line[claim]) for claim in claims)
        counts = f"equivalent in {equal}, better in {better}, worse in {worse}"
        print(f"  federated in {line['tested_on']}: {counts}")

# %% [markdown]
# More are worse next door, and at home more are equivalent and more are better. In one, Polder's right kidney, the
# federated network is now significantly worse than home, by 0.006. No network became better or worse: the same networks
# met more children, so the test has more power. A lung that loses 0.003 next door is significantly worse with 150
# children, and shown to be equivalent within 0.01 by the same children. So the number of significant organs says as
# much about the number of patients as about the networks. Look at the differences and their intervals, and ask which of
# them would matter.

# %% [markdown]
# ## When does a hospital need the others?
#
# Each of these hospitals learned from thirty children. Suppose it had ninety. **Guess:** would it gain more from the
# federation then, or less? What happens to its network next door?

# %%
values = {}
for name, children in (("evaluate", 30), ("evaluate_extra60", 90)):
    summary = json.loads((lesson.recorded(name) / "summary.json").read_text("utf-8"))
    statistics = summary["statistics"]
    table = statistics["table"]
    dsc = {(line["tested_on"], line["role"]): line["dsc"]["mean"] for line in table}
    for center in statistics["centers"]:
        line = {role: dsc[center, role] - dsc[center, "home"] for role in ("away", "federated")}
        values[f"{center}, {children} children"] = line
    equal = {line["tested_on"]: len(line["equivalent"]) for line in statistics["home"]}
    print(f"{children} children a hospital: federated as good as home in {equal} of 9 organs")
title = "mean DSC minus home, 150 test children"
chart = charts.table(dict(sorted(values.items())), title=title)
figures.show(chart, "Mean DSC away and federated, minus home, learned from 30 and 90 children.")

# %% [markdown]
# With ninety children, a hospital gains *less* from the federation. With enough children of its own, there is less to
# learn from others, and "better" becomes "as good as". The two hospitals of the published study had 272 patients
# together, and "as good as" is what they found. Next door, most of the loss remains: more children of the same kind do
# not teach a network what the other kind looks like. (All networks of the ninety trained for twice as many steps.)

# %% [markdown]
# ## Better than averaging?
#
# Two hospitals pull the common network in two directions; the more steps they train in a round, the further they pull
# it apart. Many methods promise to mend that. All were recorded with the same number of rounds and steps as averaging,
# on coarse voxels of children of an earlier anatomy, with three seeds. How strong each one acts was chosen on
# validation children (`python3 run.py methods`).
#
# | method | what is different |
# |---|---|
# | FedProx | the hospitals' weights are held near the common ones |
# | FedAvgM, FedAdam | the coordinator steps with momentum, or with Adam |
# | SCAFFOLD | a hospital corrects each step by what pulls it away from the others |
# | FedBN, FedPer | the norms, or the last layer, never leave their hospital |
# | fine-tuned at home | each hospital trains the common network further by itself, for 75 more steps |
#
# The hospitals differ in three ways: as in the study, in one contrast phase each, and in the number of children.
# **Guess:** which method helps most where each hospital has its own phase?

# %%
summary = json.loads((lesson.recorded("methods") / "summary.json").read_text("utf-8"))
lines = [line for line in summary["comparisons"] if line["tested_on"] == "both" and "p" in line]
done = [line for line in lines if line["model"] != "fedadam"]
chart = charts.dots(scores.method_gains(done), x="DSC minus federated averaging", zero=True)
figures.show(chart, "What each method adds to averaging, in three kinds of difference.")

# %% [markdown]
# A row is a method. Left of the line it is worse than plain averaging, in the same children. FedAdam is not shown:
# after ten rounds it is 0.38 to 0.39 behind. With so many comparisons, some would look like a gain by chance.
#
# **Question.** Each line has a `difference`, `p`, and `p_holm`, which is corrected for the methods. In how many
# comparisons is a method, or each hospital alone, significantly *better* than averaging?

# %% exercise
paying = sum(line["difference"] > 0 and line["p_holm"] < 0.05 for line in lines)  # answer
paying = lesson.check("paying", paying, lines=lines)
print(f"{paying} of {len(lines)} comparisons")

# %% [markdown] answer
# Now look at how *large* these gains are, and in which kind of difference. Where each hospital has its own phase, even
# each alone is better at home than the average of both. Most methods also cost a setting that somebody must choose, and
# weights that stay at home help no hospital that joins later.

# %% [markdown]
# ## When hospitals draw different organs
#
# So far both hospitals drew all organs. In a recorded run they do not: both draw the liver, only Polder draws spleen,
# lungs, and bowel, and only Neckar draws kidneys, pancreas, and heart. What does the network make of organs that one of
# its teachers left blank?
#
# - `naive`: what nobody drew is background. Each hospital teaches that the other's organs do not exist.
# - `marginal`: what nobody drew is *unknown*. In the background of Polder, a kidney is as right as nothing.
# - `head`: the same, and what belongs to an organ in the last layer is averaged only over those who draw it.
# - `complete`: both hospitals draw everything, for comparison.

# %%
summary = json.loads((lesson.recorded("partial_labels") / "summary.json").read_text("utf-8"))
values = {method: {} for method in ("naive", "marginal", "head", "complete")}
for line in summary["means"]:
    if line["drawn_by"] == "only the other":
        interval = line["mean"], line["low"], line["high"]
        values[line["method"]][f"children of {line['tested_on']}"] = interval
chart = charts.dots(values, x="mean DSC of organs that only the other hospital draws")
figures.show(chart, "The naive loss is far below the others; complete contours are best.")

# %% [markdown]
# Saying "nobody looked" instead of "nothing is there" costs no contour and brings back most of what is lost. Averaging
# the last layer organ by organ adds next to nothing to these organs.
# (`federate` always uses the marginal loss; the third is `--head-average annotating`.) So write down what was
# *annotated*: the network can work with that.

# %% [markdown]
# ## The kidney that is gone
#
# There is one more thing that no Dice shows. Some of these children have lost a kidney. Where there is none, none
# should be drawn. How many milliliters of kidney did each model draw there?

# %%
scores.shown(scores.false_kidneys(rows)[:8], "The largest false kidneys")

# %% [markdown]
# A hospital where mostly *left* kidneys are removed has taught its network little about missing right ones. Together,
# the hospitals have seen both. The list tells you, child by child, whether that is enough.
#
# > Remember what these numbers are: two invented hospitals, a few minutes of training. In the real studies the network
# > is a hundred times larger, and the gain in Dice over the better local network is a few thousandths. There, the
# > statistics that you have just read decide everything.
#
# ## What to remember
#
# - Networks travel, scans stay. What leaves is weights, a few counts, a fingerprint, and a digest of the files.
# - Compare with each hospital's own network, the one next door, and the ideal, organ by organ, on the same children.
# - "As good as" needs a margin.
# - Presence comes before quality: look for organs that should not be there.
#
# **Further reading.** Ding et al., the study in two hospitals that this workbook re-enacts
# ([arXiv:2605.06820](https://arxiv.org/abs/2605.06820)).

# %%
lesson.finish()
