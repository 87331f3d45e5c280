# %% [markdown]
# # 08 · On their side, one kidney
#
# *50 minutes · students, clinicians, researchers · the computer works for less than two of them*
#
# **You will be able to**
# - say why a network that is good at children on their back fails on a child on its side, and what helps,
# - find out from a scan how the child lies,
# - tell how much each difference between two hospitals costs, one cause at a time,
# - judge a network where an organ is gone, and not be taken in by a blind one,
# - call failures by their kind, and find the worst without scrolling through every scan.

# %%
from pedseg.workbook import charts, figures, lesson, scores

lesson.setup()

# %% [markdown]
# ## A child on its side
#
# Most children are scanned on their back. Some cannot lie so: they have pain, or a line or a wound in the way, or
# their treatment is planned in another position. Here is one child of Polder, on its back and on its right side. It is
# the same child: the same organs in the same places of its body.

# %%
from pedseg.phantoms.centers import POLDER_PORTAL
from pedseg.phantoms.phantom import Child, make_phantom
from pedseg.phantoms.ct_scanner import scan_ct

about = {"age_years": 3, "seed": 21, "tumor": "neuroblastoma", "side": "left"}
children = {"on the back": Child(**about), "on the side": Child(**about, roll_deg=-75)}
scans = {key: scan_ct(make_phantom(c), POLDER_PORTAL, seed=21) for key, c in children.items()}

# %% [markdown]
# > Two things change: gas rises to what is now the top, and the table touches another side. The organs of these
# > children do not sag. Real ones do: a real child on its side is harder than what you see here.
#
# The federated network has never met a child on its side. **Guess first:** will it draw the organs a little worse, or
# not at all? We let it draw both scans as they are.

# %%
from dataclasses import replace

import numpy as np

from pedseg.evaluation.trained_models import find_weights, weight_files
from pedseg.learning.inference import predict
from pedseg.learning.weights import load_network
from pedseg.metrics import score_case
from pedseg.organs import EVALUATED

study = lesson.study()
together, plan = load_network(find_weights(study, "federated"))
as_it_lies = replace(plan, orientation="none")
predicted = {name: predict(together, ct, as_it_lies) for name, (ct, _) in scans.items()}

# %% slide
shown = ["Liver", "Spleen", "Kidney_L", "Kidney_R", "Bowel^Stomach"]
level, pictures = figures.fullest(scans["on the back"][1].voxels, organs=shown), {}
for name, (ct, truth) in scans.items():
    pictures[name] = (ct, {"truth": truth.voxels, "prediction": predicted[name]})
picture = figures.slices_figure(pictures, index=level, organs=shown, names=True)
figures.show(picture, "A child on its back and on its side: truth solid, drawn dashed.")

# %% [markdown]
# A person would turn the head and read on. The network does not: it was told, for every voxel, **where in the body's
# box it lies**, and it learned that the liver is at the front on the right. That is why it learned so fast. It is also
# why it is lost here: what it calls front is now a side.
#
# (The letters at the edge are true for a child on its back. On the right picture, A is where the child's left side is.)
#
# ## How far is the child turned?
#
# A trunk is wider than deep. Seen from the feet, the body's outline is long from side to side and short from back to
# front. So the **long axis** of the outline says how the child lies.
#
# **Question.** At which angle does the long axis lie? `places_mm` has one row for every voxel of the body: its x and y.
# The covariance of x and y says how far the body reaches in which direction; its *eigenvectors* are the two axes.
# `eigh` gives how far the body spreads along each, the smaller first, and the two directions in the same order, each
# as (x, y). Answer in degrees from the x axis, between 0 and 180: an axis has no front end.

# %% exercise
from pedseg.learning.body_mask import coarse_body_mask

ct, truth = scans["on the side"]
mask, step = coarse_body_mask(ct)  # the child without the table, in every so many voxels
places_mm = np.argwhere(mask)[:, :2] * np.multiply(step, ct.spacing_mm)[:2]  # (voxels, 2)
spreads, directions = np.linalg.eigh(np.cov(places_mm.T))
first, second = directions.T
angle_deg = np.rad2deg(np.arctan2(second[1], second[0])) % 180  # answer
angle_deg = lesson.check("long axis", angle_deg, places_mm=places_mm)

# %% [markdown] answer
# The first direction is the short one, from back to front. For a child on its back the long axis lies at about 0
# degrees, from side to side of the table.

# %% [markdown]
# An axis has no front end: the same line fits a child on its right side and one on its left. But the spine and the
# backs of the ribs are bone, and bone is bright. So the bones say where the back is. Then we turn the scan, let the
# network draw, and turn the contours back.

# %%
from pedseg.learning.orientation import to_supine, roll_deg

print(f"by {angle_deg:.0f}° or {angle_deg - 180:.0f}°; the bones say: {roll_deg(ct):.0f}°")
reoriented = "on the side, turned first"
scans[reoriented] = ct, truth
predicted[reoriented] = predict(together, ct, replace(plan, orientation="reorient"))
marks = {}
for name, (ct, truth) in scans.items():
    scored = score_case(truth.voxels, predicted[name], ct.spacing_mm, EVALUATED)
    marks[name] = {mark.organ: (mark.dsc, mark.dsc, mark.dsc) for mark in scored}
    print(f"{name}: mean DSC {np.mean([dsc for dsc, *_ in marks[name].values()]):.2f}")
chart = charts.dots(marks, x="DSC of one child")
figures.show(chart, "DSC of nine organs: low on the side, high again if turned first.")

# %% [markdown]
# It was the same network each time; not one weight was changed. It had not forgotten how organs look. It had looked in
# the wrong places.
#
# ## What remains
#
# Turned first is about as good as on the back. But the two scans are not the same. Look for the differences: here is
# the turned scan beside the same slice of the child on its back.

# %% slide
turned_ct, turned = to_supine(*scans["on the side"])
turned_drawn = predict(together, turned_ct, as_it_lies)
pictures = {"on the back": pictures["on the back"]}
pictures["turned"] = (turned_ct, {"truth": turned.voxels, "prediction": turned_drawn})
picture = figures.slices_figure(pictures, index=level, organs=shown, names=True)
figures.show(picture, "The child on its back, and on its side, turned: gas lies elsewhere.")

# %% [markdown]
# **Gas.** The black gas in stomach and bowel lies at the child's left now, and its level stands upright. No child in
# training looked like that.
#
# **The table.** In the turned scan it would stand at the child's side, so it is taken out before. That was not planned.
# When this workbook was built, the first turned scans kept their table, and the network drew lungs into its foam: foam
# is as dark as lung, and at a child's side there is lung. Networks find ways to fail that nobody thought of. Look at
# pictures.
#
# **Real children.** These ones are rotated rigidly, by one angle from head to foot. Real patients twist, bend
# their knees, put an arm in the way, lie on cushions, and their organs sag. One angle will not do for all of them.
#
# The study that this workbook re-enacts took another way: **it taught the network**. In training, scans were turned at
# random, by -120 to -60 degrees or by up to 30 degrees to either side. Its network must then be good at more, and needs
# longer to learn it. And **no mirroring**: many recipes mirror scans in training, to get more examples for nothing. But
# a mirrored child has its liver on the left and its left kidney on the right, labeled *left*. A network that learns
# from mirrored children learns that left and right cannot be told apart. Turning keeps right and left what they are.
#
# One child is an anecdote. Here is what posture costs over the study's test children, if every one of them lay on its
# side: the mean DSC over nine organs that is lost, with its interval. (Zero: lying on the side costs nothing.)

# %%
center = "Polder"  # or "Neckar"
costs = scores.shift_costs(study)
lying = scores.by_factor(costs, center, only="on the side")
chart = charts.dots(lying, x="mean DSC lost", zero=True)
figures.show(chart, "What lying on the side costs each model, turned first and as they lie.")

# %% [markdown]
# ## One cause at a time
#
# In notebook 05 a network stumbled next door, and there were many reasons to choose from: contrast agent, noise, table,
# ages. With real hospitals one can only guess. Here each difference is one field of a center. So every test child was
# scanned again and again, each time with **one** thing changed, and the same networks drew all of it.
#
# **Guess first.** Which cost most: no contrast agent where there used to be some (or the other way round), slices
# twice as thick, twice the noise, a lower tube voltage (80 kV)? Which costs nothing at all? Write your order down.
# (Children who are drawn as they lie on their side are left out here: they would squeeze all others against zero.)

# %% slide
alone = scores.by_factor(costs, center, without="on the side; as they lie")
chart = charts.dots(alone, x="mean DSC lost", zero=True)
apart = lesson.recorded("single_phase")
strict = scores.by_factor(scores.shift_costs(apart), center)
print({str(key): round(float(costs["contrast phase"][0]), 3) for key, costs in strict.items()})
figures.show(chart, f"What each cause alone costs each model in the children of {center}.")

# %% [markdown]
# What a hospital has in its scans, its network learns, and be it in one child of four: both hospitals have both
# contrast phases. What neither has, nobody can teach. A federation knows what its members know.
#
# Look at the contrast phase. The federated network has learned both phases from many children, and still it loses
# without contrast (and gains with it, in the children of Neckar): there is less to see. What the local network loses
# *beyond* that is what it never learned.
#
# So what a cause costs is no constant of nature. The numbers above the chart tell what the contrast phase costs in
# the same hospitals if each scans in its own phase *only* (`study --single-phase` makes such hospitals). There the
# federation earns more: neither hospital alone knows what the other scans.
#
# **Question.** Polder's network loses some DSC between its own children and Neckar's. *The contrast phase alone* costs
# it something, too. What fraction of the whole drop is that?

# %% exercise
from pedseg.evaluation.results import ModelKey, Results, read_rows

rows, polder_alone = read_rows(study / "cases.csv"), ModelKey("local", "Polder")
means = scores.means(rows)[polder_alone]
drop = means["Polder"] - means["Neckar"]
cost, *interval = scores.by_factor(costs, "Polder")[polder_alone]["contrast phase"]
print(f"the whole drop: {drop:.3f}; the contrast phase alone: {cost:.3f}")
share = cost / drop  # answer
share = lesson.check("explained share", share, cost=cost, drop=drop)
print(f"{share:.2f} of the drop")

# %% [markdown] answer
# A share above one is possible, and shares need not add up to one. The cost compares *all* children with contrast to
# *all* without; the hospitals differ by half of that. The drop compares two groups of *different* children: those of
# Neckar are older and larger, which helps. And causes can be worse together than one by one, or hide each other.

# %% [markdown]
# ## One kidney
#
# Where a kidney was taken out, bowel, spleen and liver move in (notebook 02). What do networks draw there? A false
# kidney is not a bad contour, it is a contour of nothing, and no DSC counts it (notebook 04). So here is its own table,
# over all seeds of the study. In brackets: the interval in which the share would probably lie for other children.

# %%
import pandas as pd

from pedseg.evaluation.statistics import kidney_detection

studies = {"in both phases": rows, "in its own phase only": read_rows(apart / "cases.csv.xz")}
tables = {text: scores.kidneys(kidney_detection(Results(r))) for text, r in studies.items()}
table = pd.concat(tables, names=["each scans"]).reset_index("each scans")
scores.shown(table, "Where a kidney is gone, and where it is not")

# %% [markdown]
# **Before you choose the best network:** read the last column, too. In the upper half every network finds the kidneys
# that are there. That is not to be taken for granted. The lower half is of the same children and the same training, but
# each hospital has scanned in its own contrast phase *only*. Look for a network that draws few false kidneys *and*
# misses true ones. It does not know that a kidney is gone. It does not see kidneys.
#
# ## Crumbs
#
# Here is a sample child of Neckar without its right kidney, and what two networks take for one.

# %% slide
from pedseg.organs import organ
from pedseg.datasets.loading import load_image, load_labels

polder, neckar = lesson.samples()
gone = next(case for case in neckar.cases if "Kidney_R" in case.absent)
ct, truth = load_image(gone), load_labels(neckar, gone).voxels
local, _ = load_network(find_weights(study, "local", "Polder"))
networks = {"federated": together, "Polder alone": local}
bare = replace(plan, min_component_ml={})  # every piece stays
raw = {name: predict(network, ct, bare) for name, network in networks.items()}
view = {"truth": truth, "organs": ["Kidney_L", "Kidney_R"], "names": True}
view["index"] = figures.fullest(raw["Polder alone"], organs=["Kidney_R"])
picture = figures.slices_figure({name: (ct, {**view, "prediction": raw[name]}) for name in raw})
figures.show(picture, "A child without its right kidney; dashed, what two networks draw.")

# %% [markdown]
# Networks leave **crumbs**: single voxels that looked like kidney for a moment. A person would wipe them away. The
# usual rule is to *keep the largest piece* of each organ. Where an organ is gone, that rule keeps the largest crumb. So
# the plan of this workbook has another: *a piece that is smaller than a tenth of the organ's mean volume is no organ*
# (unless the edge of the scan cuts it).
#
# **Question.** `volumes_ml` holds the pieces of right kidney that the federated network drew into this child. How many
# of them stay by the rule? (The plan takes the mean of the training children; here it is that of the test children.)

# %% exercise
from scipy import ndimage


def pieces_ml(voxels, name, ct):
    pieces, count = ndimage.label(voxels == organ(name).id)
    return np.bincount(pieces.ravel(), minlength=count + 1)[1:] * ct.voxel_ml


volumes_ml = pieces_ml(raw["federated"], "Kidney_R", ct)
mean_ml = rows[(rows["organ"] == "Kidney_R") & rows["present"]]["volume_ml"].mean()
print("pieces in mL:", *np.round(volumes_ml, 2), "- mean right kidney:", round(mean_ml))
stay = np.count_nonzero(volumes_ml >= mean_ml / 10)  # answer
stay = lesson.check("pieces that stay", stay, volumes_ml=volumes_ml, mean_ml=mean_ml)

# %% [markdown] answer
# `ndimage.label` gives every piece a number of its own, from 1; `np.bincount` counts the voxels of each. The rule asks
# nothing about which piece is the largest, so it can say "none of them", and it lets an organ be in two pieces.

# %% [markdown]
# The rule wipes crumbs away and lets larger false kidneys pass. Why a tenth, then, and not a half? A higher limit would
# take larger ones, too. Here are all six sample children, drawn by Polder's network, under one limit after the other.

# %%
from pedseg.evaluation.scoring import find_misplaced, load_labeled_scans

sides, lines = [], []  # of each child and side: is the kidney gone, and which pieces were drawn
for child in lesson.progress(load_labeled_scans(polder, neckar), text="children"):
    voxels = predict(local, child.image, bare)
    for name in ("Kidney_L", "Kidney_R"):
        sides.append((name in child.record.absent, pieces_ml(voxels, name, child.image)))
for share in (0, 0.1, 0.25, 0.5, 1):
    kept = [(gone, ml[ml >= share * mean_ml].sum()) for gone, ml in sides]
    false_ml = sum(ml for gone, ml in kept if gone)
    detected = [ml > 0 for gone, ml in kept if not gone]
    line = {"limit": f"{share:.0%} of the mean", "false kidney (mL)": round(false_ml, 1)}
    lines.append(line | {"true kidneys left": f"{sum(detected)} of {len(detected)}"})
scores.shown(lines, "Polder's network in six children")

# %% [markdown]
# That is the trap. A limit that is high enough makes every false kidney vanish, and the true kidneys of small children
# with them. A network that draws nothing at all has no false kidney either. So whoever shows you false volumes must
# show you, beside them, **how many true kidneys were found**.
#
# ## Failures, found by rule
#
# Anyone who looks for failures by scrolling through scans finds the expected ones. So in this workbook rules look
# through
# *all* contours, and sort what they find by kind:
#
# | kind | rule |
# |---|---|
# | `missed` | the organ is there, and nothing was drawn |
# | `false` | the organ is not there, and 1 mL or more was drawn |
# | `swapped` | what was drawn as a left organ lies in the true right one, or the other way round |
# | `displaced` | more than half of the drawn organ lies outside, and its middle beside the true one |
# | `part` | a second piece lies apart |
# | `leaking` | more than a rim lies beyond the true border |
# | `worst` | among the worst tenth of this organ and network: no kind of its own, but worth a look |
#
# One contour may fail in more than one way.

# %%
from pedseg.evaluation.failures import read_failures, worst

files = weight_files(study)
test_children = lesson.progress(load_labeled_scans(polder, neckar), text="children")
here = find_misplaced(files, test_children)  # the six sample children, predicted now
failures = read_failures(study) or here
scores.shown(scores.kinds(failures), "How often, by network")

# %% [markdown]
# A count by kind says more than a mean DSC. A network that swaps has a problem with sides, one that leaks has one with
# borders, and they need different cures. Here are the worst, in words. The sentence names what is known of the child
# and makes such an error likely. It is a suspicion, not a proof.

# %%
scores.shown(scores.sentences(worst(failures, 6)), "The worst failures")

# %% [markdown]
# Every failure carries the **voxel** where it is worst, so nobody has to search. Here is the worst one among the sample
# children, in the three planes through its voxel. A person would look for an organ where it can be. A rule looks
# everywhere, in the lungs and in the air beside the child, too.

# %% slide
failure = worst(here, 1)[0]
home = polder if failure.tested_on == "Polder" else neckar
case = next(case for case in home.cases if case.name == failure.case)
scan = load_image(case)
view = {"truth": load_labels(home, case).voxels, "organs": [failure.organ]}
network, own_plan = load_network(files[failure.model_key])
view["prediction"] = predict(network, scan, own_plan)
lesson.show_message(failure.sentence)
picture = figures.planes_figure(scan, failure.voxel, **view)
figures.show(picture, f"Three planes through the place. {failure.sentence}")

# %% [markdown]
# ## Which kind is it?
#
# One more. A clerk, a program or a wrong header can exchange the right and the left of a scan, and nobody notices. We
# do it to a sample child of Polder, contours and all, and let the federated network draw. Look at its left kidney only:
# which kind of failure is it?

# %% slide
case = next(case for case in polder.cases if not {"Kidney_L", "Kidney_R"} & {*case.absent})
ct, truth = load_image(case), load_labels(polder, case).voxels
mirrored, truth = replace(ct, voxels=ct.voxels[::-1].copy()), truth[::-1].copy()
view = {"truth": truth, "prediction": predict(together, mirrored, plan), "organs": ["Kidney_L"]}
level = figures.fullest(truth, organs=["Kidney_L"])
picture = figures.slice_figure(mirrored, index=level, **view)
figures.show(picture, "A mirrored child: the true left kidney solid, the drawn one dashed.")

# %% [markdown]
# **Write it**: a rule that names the kind of failure, from three masks (true and false for each voxel): the true
# organ, what was drawn, and the true organ of the other side. The first that applies, in this order: the organ is
# absent and 1 mL or more was drawn, `"false"`; it is there and nothing was drawn, `"missed"`; more than a tenth of
# what was drawn lies in the other organ, `"swapped"`; more than half of it lies outside the true one, `"displaced"`;
# else `"none"`.


# %% exercise
def kind_of_failure(truth, prediction, other, voxel_ml):
    """The kind in one word; `voxel_ml` is the volume of one voxel."""
    if not truth.any():  # answer
        return "false" if np.count_nonzero(prediction) * voxel_ml >= 1 else "none"  # answer
    if not prediction.any():  # answer
        return "missed"  # answer
    if np.mean(other[prediction]) > 0.1:  # answer
        return "swapped"  # answer
    return "displaced" if np.mean(truth[prediction]) < 0.5 else "none"  # answer


kind_of_failure = lesson.check("kind_of_failure", kind_of_failure)
left, right = organ("Kidney_L").id, organ("Kidney_R").id
masks = truth == left, view["prediction"] == left, truth == right
print("the left kidney of the mirrored child:", kind_of_failure(*masks, ct.voxel_ml))

# %% [markdown] answer
# `other[prediction]` holds true or false for each drawn voxel, and the mean is the fraction of true ones. The order
# matters: a swapped organ lies outside its own place, too.

# %% [markdown]
# The dashed contour goes around the other kidney. The network draws the left kidney where left kidneys lie, and what
# lies there is, by its label, the right one. The rules find the right kidney and both lungs swapped, too, and the
# spleen far from its place. So many failures in one child: suspect the scan before the network. (About one person in
# ten thousand really is built the other way round. Our networks would fail there, too.) *Stretch goal:* add `"part"`, a
# second piece that lies apart, and `"leaking"`. `scipy.ndimage.label` finds pieces.
#
# ## What to remember
#
# - A network knows what it was shown. What training lacks, posture or a contrast phase, must be met before
#   (turn the scan) or taught (turn the training), and mirroring teaches the wrong thing.
# - Change one cause at a time, on the same children, before you blame one.
# - False kidneys and found kidneys belong in one table: a blind network makes no false ones.
# - Let rules find failures and people look at them. In notebook 09 you can.
#
# **Further reading.** Ding et al., the study in two hospitals that this workbook re-enacts
# ([arXiv:2605.06820](https://arxiv.org/abs/2605.06820)).

# %%
lesson.finish()
