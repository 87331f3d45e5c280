# %% [markdown]
# # 08 · On their side
#
# *30 minutes · students, clinicians, researchers · the computer works for less than one of them*
#
# **You will be able to**
# - say why a network that is good on children on their back fails on a child on its side, and what helps,
# - write a function that finds out from a scan how the child was lying,
# - measure how much each difference between two hospitals costs, one cause at a time,
# - say why the same cause can cost more in other hospitals.

# %%
from pedseg.workbook import charts, figures, lesson, scores

lesson.setup()

# %% [markdown]
# ## A child on its side
#
# Most children are scanned on their back. Some cannot lie that way: they are in pain, or a line or a wound is in the
# way, or their treatment is planned in another position. Here is one child of Polder, on its back and on its right
# side. It is the same child, with the same organs in the same places.

# %%
from pedseg.phantoms.centers import POLDER_PORTAL
from pedseg.phantoms.phantom import Child, make_phantom
from pedseg.phantoms.ct_scanner import scan_ct

about = {"age_years": 3, "seed": 21, "tumor": "neuroblastoma", "side": "left"}
children = {"on the back": Child(**about), "on the side": Child(**about, roll_deg=-75)}
scans = {key: scan_ct(make_phantom(c), POLDER_PORTAL, seed=21) for key, c in children.items()}

# %% [markdown]
# > Two things change: gas rises to what is now the top, and the table touches another side. The organs of these
# > children do not sag. Real ones do, so a real child on its side is harder than what you see here.
#
# The federated network has never seen a child on its side. **Guess first:** will it draw the organs a little worse, or
# not at all? We let it draw both scans as they are.

# %%
from dataclasses import replace

import numpy as np

from pedseg.evaluation.trained_models import find_weights
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
# A person would tilt the head and go on. The network cannot. For every voxel, it is told **where in the body's bounding
# box it lies**, and it has learned that the liver is at the front on the right. That is why it learned so fast. It is
# also why it fails here: what it takes for the front is now a side.
#
# (The letters at the edge are right for a child on its back. In the right picture, A is where the child's left side
# is.)
#
# ## How far is the child turned?
#
# A trunk is wider than it is deep. Seen from the feet, the body's outline is long from side to side and short from back
# to front. So the **long axis** of the outline says how the child lies.
#
# **Write it.** `places_mm` has one row for every voxel of the body: its x and y. The covariance of x and y says how far
# the body extends in each direction, and its *eigenvectors* are the two axes. `eigh` gives the variance along each
# axis, the smaller first, and the directions in the same order, as columns with x and y.


# %% exercise
def long_axis_deg(places_mm):
    """Angle of the long axis of points (n, 2) from the x axis, in degrees, 0 to below 180."""
    _, directions = np.linalg.eigh(np.cov(places_mm.T))  # answer
    x, y = directions[:, 1]  # answer
    return np.rad2deg(np.arctan2(y, x)) % 180  # answer


long_axis_deg = lesson.check("long_axis_deg", long_axis_deg)

# %% [markdown] answer
# The first direction is the short one, from back to front. An axis has no front end, so 110 and -70 degrees are the
# same axis, and `% 180` makes one number of both.

# %%
from pedseg.learning.body_mask import coarse_body_mask

ct, truth = scans["on the side"]
mask, step = coarse_body_mask(ct)  # the child without the table, in every so many voxels
places_mm = np.argwhere(mask)[:, :2] * np.multiply(step, ct.spacing_mm)[:2]  # (voxels, 2)
angle_deg = long_axis_deg(places_mm)
print(f"the long axis is at {angle_deg:.0f}°")

# %% [markdown]
# For a child on its back, it is about 0 degrees, from one side of the table to the other. *Stretch goal:* let your
# function return how much longer the long axis is than the short one. For which bodies could it fail?
#
# The same line fits a child on its right side and one on its left. But the spine and the backs of the ribs are bone,
# and bone is bright. So the bones show where the back is. Then we turn the scan, let the network draw, and turn the
# contours back.

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
# It was the same network each time; not one weight was changed. It knows how organs look. It had looked in the wrong
# places.
#
# ## What remains
#
# Turned first, the contours are about as good as on the back. But the two scans are not the same. Here is the turned
# scan beside the same slice of the child on its back: look for the differences.

# %% slide
turned_ct, turned = to_supine(*scans["on the side"])
turned_drawn = predict(together, turned_ct, as_it_lies)
pictures = {"on the back": pictures["on the back"]}
pictures["turned"] = (turned_ct, {"truth": turned.voxels, "prediction": turned_drawn})
picture = figures.slices_figure(pictures, index=level, organs=shown, names=True)
figures.show(picture, "The child on its back, and on its side, turned: gas lies elsewhere.")

# %% [markdown]
# **Gas.** The black gas in stomach and bowel is now at the child's left, and its level is vertical. No child in
# training looked like that.
#
# **The table.** In the turned scan it would be at the child's side, so it is removed first. That was not planned. In
# the first turned scans, the table was still there, and the network drew lungs into its foam. Foam is as dark as lung,
# and it was at the child's side, where lungs are. Networks fail in ways that nobody expects. Look at pictures.
#
# **Real children.** These children are rotated rigidly, by one angle from head to foot. Real patients twist, bend their
# knees, put an arm in the way, and lie on cushions, and their organs sag. One angle is not enough for all of them.
#
# The study that this workbook re-enacts did it differently: **it taught the network**. In training, scans were rotated
# at random, by -120 to -60 degrees or by up to 30 degrees to either side. Such a network has more to learn, and needs
# longer. And there was **no mirroring**. Many recipes mirror scans in training, to get more examples for free. But a
# mirrored child has its liver on the left and its left kidney on the right, labeled *left*. A network that learns from
# mirrored children learns that left and right are the same. Rotation does not change left and right.
#
# One child is an anecdote. Here is what posture costs in the study's test children, if all of them lie on their side.
# The chart shows the loss of mean DSC over nine organs, with its interval. (Zero means that lying on the side costs
# nothing.)

# %%
center = "Polder"  # or "Neckar"
costs = scores.shift_costs(study)
lying = scores.by_factor(costs, center, only="on the side")
chart = charts.dots(lying, x="mean DSC lost", zero=True)
figures.show(chart, "What lying on the side costs each model, turned first and as they lie.")

# %% [markdown]
# ## One cause at a time
#
# In chapter [[one_hospital_learns_alone]] a network did worse next door, and there were many possible reasons: contrast
# agent, noise, table, ages. With real hospitals you can only guess. Here each difference is one field of a center. So
# every test child was scanned again and again, each time with **one** thing changed, and the same networks drew all the
# scans.
#
# **Guess first.** Which costs the most: the other contrast phase, oral contrast (a bright drink that fills stomach and
# bowel), slices twice as thick, twice the noise, or a lower tube voltage (80 kV)? Which costs nothing at all? Write
# down your ranking. (The chart leaves out children who are drawn as they lie on their side. They cost even more than
# all of these.)

# %% slide
alone = scores.by_factor(costs, center, without="on the side; as they lie")
chart = charts.dots(alone, x="mean DSC lost", zero=True)
apart = lesson.recorded("single_phase")
strict = scores.by_factor(scores.shift_costs(apart), center)
print({str(key): round(float(costs["contrast phase"][0]), 3) for key, costs in strict.items()})
figures.show(chart, f"What each cause alone costs each model in the children of {center}.")

# %% [markdown]
# A network learns what its hospital's scans show, even if only one child in four shows it: both hospitals have both
# contrast phases. Oral contrast costs the most, and the federated network loses by it, too. Neither hospital uses it,
# so neither can teach it. A federation knows only what its members know.
#
# Look at the contrast phase. The federated network has learned both phases from many children. Still, it loses a little
# without contrast agent (and gains a little with it, in the children of Neckar), because there is less to see. What the
# local network loses *beyond* that is what it has not learned.
#
# So the cost of a cause is not a constant. The numbers above the chart are the cost of the contrast phase in the same
# hospitals if each scans in its own phase *only* (`study --single-phase` makes such hospitals). There the federation
# gains more, because neither hospital's own network knows the other phase.
#
# **Question.** Polder's network loses some DSC between its own children and Neckar's. *The contrast phase alone* costs
# it something, too. What fraction of the whole drop is that?

# %% exercise
from pedseg.evaluation.results import ModelKey, read_rows, rows_file

rows, polder_alone = read_rows(rows_file(study)), ModelKey("local", "Polder")
means = scores.means(rows)[polder_alone]
drop = means["Polder"] - means["Neckar"]
cost, *interval = scores.by_factor(costs, "Polder")[polder_alone]["contrast phase"]
print(f"the whole drop: {drop:.3f}; the contrast phase alone: {cost:.3f}")
share = cost / drop  # answer
share = lesson.check("explained share", share, cost=cost, drop=drop)
print(f"{share:.2f} of the drop")

# %% [markdown] answer
# A fraction above one is possible, and fractions need not add up to one. The cost compares *all* children with contrast
# agent to *all* without; the hospitals differ by half of that. The drop compares two groups of *different* children:
# those of Neckar are older and larger, which helps. And causes can be worse together than one by one, or hide each
# other.

# %% [markdown]
# ## What to remember
#
# - A network knows what it was shown. If training lacks a posture or a contrast phase, either change the scan first
#   (turn it) or change the training (rotate its scans). Mirroring teaches the wrong thing.
# - Change one cause at a time, on the same children, before you blame it.
# - What a cause costs depends on what the network has seen. It is not a constant.
#
# Chapter [[one_kidney]] asks which contours fail, and how to find them.
#
# **Further reading.** Ding et al., the study in two hospitals that this workbook re-enacts, with children on their side
# ([arXiv:2605.06820](https://arxiv.org/abs/2605.06820)).

# %%
lesson.finish()
