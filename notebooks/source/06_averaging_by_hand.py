# %% [markdown]
# # 06 · Averaging by hand
#
# *50 minutes · students, researchers · the computer works for about two of them*
#
# **You will be able to**
# - write federated averaging (FedAvg), and an average that is robust against a poisoned update,
# - say why networks must start from the same weights to be averaged,
# - say why each hospital is weighted by its number of scans,
# - show that a loop of ten lines and Flower, a production framework, give the same network, bit for bit.

# %%
from pedseg.workbook import charts, figures, lesson

lesson.setup()

# %% [markdown]
# ## Two hospitals, one number
#
# Before we average networks, let us average one number. Two hospitals have each learned a weight `w`, one from 30
# scans, the other from 10. What should the common weight be? If all 40 scans had been in one place, each scan would
# have counted once. So each hospital should be weighted by its **share** of the scans: here 30 / 40 and 10 / 40. Shares
# add up to one. (It is an easy mistake to count something else, for example training *batches* instead of scans; some
# published examples do. Then a hospital with smaller batches gets more weight.)
#
# A network is a dictionary of names, each with an array of weights. So is its update.
#
# **Write it**: the weighted mean of any number of updates, array by array.

# %% exercise
import numpy as np


def fedavg(updates, cases):
    """The weighted mean of updates (dictionaries of arrays) that have so many cases each."""
    shares = np.array(cases) / sum(cases)  # answer
    mean = {}  # answer
    for name in updates[0]:  # answer
        mean[name] = sum(share * u[name] for share, u in zip(shares, updates))  # answer
    return mean  # answer


fedavg = lesson.check("fedavg", fedavg)
polder = {"kernel": np.array([1.0, 2.0, 3.0]), "bias": np.array([0.5])}
neckar = {"kernel": np.array([5.0, 2.0, -1.0]), "bias": np.array([0.1])}
print(fedavg([polder, neckar], [30, 10]))

# %% [markdown] answer
# The dictionary is a new one. If you write `mean = updates[0]` and add to it, you change Polder's update, too.

# %% [markdown]
# That is already the core of federated learning. McMahan and colleagues called it *federated averaging*, **FedAvg**, in
# 2017. Everything else is transport, bookkeeping, and care. *Stretch goal:* the updates of a hundred hospitals do not
# all fit into memory. Average them as they arrive, one by one.
#
# ## Two real networks
#
# Now we do it with the hospitals Polder and Neckar. Both start from *the same* network, and each trains it on its own
# children for a while. The plan comes from their merged fingerprints (chapter [[from_scan_to_tensor]]).

# %%
from pedseg.learning.network import build
from pedseg.learning.weights import get_weights, set_weights, sha256_of
from pedseg.learning.fingerprint import fingerprint, merge
from pedseg.learning.plans import make_plan
from pedseg.learning.inference import mean_dice
from pedseg.learning.training import load_cases, train

centers = lesson.centers()
plan = make_plan(merge([fingerprint(center, center.split("train")) for center in centers]))
children = [load_cases(center, center.split("train"), plan) for center in centers]
start = get_weights(build(plan, seed=0))

# %%
steps = lesson.training_steps(120, test=3, networks=4)


def learn(weights, which, seed=0, **schedule):
    network = build(plan)
    set_weights(network, weights)
    schedule = {"steps": steps, "total_steps": steps, **schedule}
    for _ in train(network, children[which], plan, seed=seed, **schedule):
        pass
    return get_weights(network)


# %%
stranger_start = get_weights(build(plan, seed=1))
pupils = {"Polder": (start, 0), "Neckar": (start, 1), "stranger": (stranger_start, 1)}
trained = {}
for name, (weights, which) in lesson.progress(pupils.items(), len(pupils), "training"):
    trained[name] = learn(weights, which)

# %% [markdown]
# Three networks were trained. *Polder* and *Neckar* started from the same random weights. The *stranger* was trained on
# Neckar's children, too, but started from other random weights.
#
# ## From one network to the other
#
# We mix two networks: a share `a` of one and `1 - a` of the other, for shares from 0 to 1. In the middle is the mean.
# Every mixture draws some validation children, and we look at its mean Dice. Guess before you run: what will happen in
# the middle, for the pair with the same start, and for the pair with different starts?

# %%
watched = [case for c in centers for case in load_cases(c, c.split("validation")[:2], plan)]


def dice_along(first, second):
    network, points = build(plan), []
    for a in np.linspace(0, 1, lesson.budget(7, test=3)):
        set_weights(network, {name: (1 - a) * first[name] + a * second[name] for name in first})
        points.append((a, mean_dice(network, watched, plan)))
    return points


# %%
polder = trained["Polder"]
walks = {
    "Polder to Neckar (same start)": dice_along(polder, trained["Neckar"]),
    "Polder to stranger (different starts)": dice_along(polder, trained["stranger"]),
}
x = "share of the second network"
chart = charts.learning_curves(walks, x=x, y="mean DSC", markers=True)
figures.show(chart, "Mean DSC of mixtures of two networks, by share of the second.")

# %% [markdown]
# Halfway between networks with different starts, almost nothing works. What one learned in its third kernel, the other
# learned in its seventh, and the mean of both is neither. Networks with the same start have kept their kernels in the
# same places. Their mean is worse than either network, but it still draws organs, and it is a good starting point for
# more training. The longer both train apart, the worse their mean becomes.
#
# So there are three rules: **everybody starts from the same weights**; everybody follows **the same plan**; and nobody
# trains too long before the next averaging. That is why a federation works in **rounds**.
#
# ## The rounds
#
# Here is the complete loop: send the network out, train, send it back, average, repeat. The `first_step` keeps the
# learning rate on one schedule over all rounds. `round_seed` gives every hospital its own random seed in every round,
# which will matter in a moment.

# %%
from pedseg.federation.client_app import round_seed

rounds, steps_a_round = 2, lesson.budget(25, test=2)
shares = [len(group) / sum(map(len, children)) for group in children]
weights = start
for number in range(1, rounds + 1):
    schedule = {"steps": steps_a_round, "total_steps": rounds * steps_a_round}
    schedule["first_step"] = (number - 1) * steps_a_round
    seeds = [round_seed(0, number, which) for which in (0, 1)]
    updates = [learn(weights, which, seeds[which], **schedule) for which in (0, 1)]
    weights = {n: shares[0] * updates[0][n] + shares[1] * updates[1][n] for n in start}
mine = sha256_of(weights)

# %% [markdown]
# ## The same with Flower
#
# [Flower](https://flower.ai) is a framework for federated learning: it carries messages between a server and hospitals,
# on one laptop or across the world. In a real federation, the same program, our *client app*, runs at each hospital.
# Here an in-process *grid* takes the place of the network between them. We run two rounds with the same seed.

# %%
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds

config = FederationConfig(rounds=rounds, local_steps=steps_a_round, seed=0, out=None)
nodes = [{"data-dir": str(center.folder)} for center in centers]
children = []  # each hospital reads its own
grid = InProcessGrid(app, nodes, config.to_run_config(), workers=1)
for round_ in lesson.progress(train_rounds(grid, config), rounds, "Flower's rounds"):
    print(f"round {round_.number}: training loss {round_.train_loss:.3f}")

# %% [markdown]
# Now compare. A **SHA-256** is a hash of bytes. If one weight of several hundred thousand differed in its last bit, the
# two lines below would be completely different.

# %%
print("mine:  ", mine)
print("Flower:", round_.sha256)
print("the same network, to the last bit" if mine == round_.sha256 else "they differ!")

# %% [markdown]
# Why is that worth the trouble? Because "about the same" hides mistakes. A hospital that is counted twice, a forgotten
# seed, a late update: all of them give networks that are *about* the same.
#
# It also takes care. Computers round, so `(a + b) + c` need not equal `a + (b + c)`:

# %%
a, b, c = np.float32(1e8), np.float32(-1e8), np.float32(1)
print((a + b) + c, a + (b + c))

# %% [markdown]
# If the server added updates in the order in which they arrive, the fastest hospital would change the result. So this
# workbook's strategy (`OrderedFedAvg`) puts them into a fixed order first.
#
# ## One hospital sends nonsense
#
# A mean follows the largest values. One broken or hacked computer is enough to ruin the common network. A **robust**
# aggregation tolerates one such update. There are many such rules; find your own.
#
# **Write it.** The check sends you the updates of three or five hospitals, one of them poisoned. No weight of the
# result may lie outside the range of the honest updates.


# %% exercise
def robust_average(updates):
    """An average of updates (dictionaries of arrays) that survives one poisoned update."""
    average = {}  # answer
    for name in updates[0]:  # answer
        average[name] = np.median([update[name] for update in updates], axis=0)  # answer
    return average  # answer


robust_average = lesson.check("robust_average", robust_average)
sent = [{"w": np.array([1.0 + place / 10])} for place in range(4)] + [{"w": np.array([1e6])}]
print("the mean:", fedavg(sent, [1] * 5)["w"], " robust:", robust_average(sent)["w"])

# %% [markdown] answer
# This is the median of each weight (Yin et al. 2018). A mean without the smallest and the largest value works, too. So
# does Krum, which takes the one update that is closest to the others. `pedseg federate --strategy` has all three.

# %% [markdown]
# It has a price. All hospitals count the same here, however many children they have. And a hospital that is merely
# *different*, perhaps the only one with MR, looks like a poisoned one. With only two hospitals, nobody can tell which
# one is right. *Stretch goal:* find a poison that your rule lets through: small, the same in two hospitals, or not a
# number.
#
# ## What does it cost to send networks around?
#
# **Question.** Each weight takes four bytes. In every round, every hospital receives the network and sends it back. How
# many **megabytes** are sent in a federation of two hospitals and ten rounds?

# %% exercise
size = sum(array.size for array in start.values())
megabytes = size * 4 * 2 * 2 * 10 / 1e6  # answer
megabytes = lesson.check("traffic", megabytes, weights=size, centers=2, rounds=10)

# %% [markdown] answer
# Weights × 4 bytes × 2 ways × 2 hospitals × 10 rounds. A single CT scan in full resolution is larger than one of our
# small networks. Clinical networks are a hundred times larger, but even they are sent quickly compared with the time
# that training takes.

# %% [markdown]
# ## What to remember
#
# - FedAvg is a mean, weighted by the number of scans. (A child who was scanned twice counts twice.)
# - It needs the same start, the same plan, and rounds that are not too long.
# - A mean trusts everybody. A median tolerates a poisoned update, but gives hospitals that differ less weight.
# - "The same" can be tested bit for bit, if order and seeds are fixed.
#
# **Further reading.** McMahan et al., *Communication-efficient learning of deep networks from decentralized data*, 2017
# ([arXiv:1602.05629](https://arxiv.org/abs/1602.05629)).

# %%
lesson.finish()
