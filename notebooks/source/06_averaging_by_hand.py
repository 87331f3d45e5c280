# %% [markdown]
# # 06 · Averaging by hand
#
# *50 minutes · students, researchers · the computer works for about two of them*
#
# **You will be able to**
# - write federated averaging (FedAvg), and an average that survives a poisoned update,
# - say why networks must start from the same weights to be averaged,
# - say why each hospital counts by its number of scans,
# - show that a loop of ten lines and Flower, a production framework, give the same network, to the last bit.

# %%
from pedseg.workbook import charts, figures, lesson

lesson.setup()

# %% [markdown]
# ## Two hospitals, one number
#
# Before we average networks, let us average one number. Two hospitals have each learned a weight `w`; one from 30
# scans, the other from 10. What should the common weight be? If all 40 scans had been in one place, each scan
# would have counted once. So each hospital should count by its **share** of the scans: here 30 / 40 and 10 / 40.
# Shares add up to one. (It is an easy slip to count something else, for example training *batches* in place of scans;
# published examples do it. Then a hospital that chops its data into smaller batches gets more say.)
#
# A network is a dictionary: names, each with an array of weights. Its update is one, too.
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
# The dictionary is a new one: who writes `mean = updates[0]` and adds to it has changed Polder's update, too.

# %% [markdown]
# That is already the heart of federated learning. McMahan and colleagues called it *federated averaging*, **FedAvg**,
# in 2017. Everything else is transport, bookkeeping and care. *Stretch goal:* the updates of a hundred hospitals do not
# fit into memory together. Average them while they come in, one after the other.
#
# ## Two real networks
#
# Now with the hospitals Polder and Neckar. Both get *the same* network to start with, and each trains it on its own
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
# Three networks were trained. *Polder* and *Neckar* started from the same random weights. The *stranger* learned from
# Neckar's children too, but started from other random weights.
#
# ## Walking from one network to the other
#
# Mix two networks: a share `a` of one, `1 - a` of the other, for shares from 0 to 1. In the middle lies the mean. For
# every mixture, we let it draw some validation children and look at its mean Dice. Guess before you run: what will
# happen in the middle, for the pair with the same start, and for the pair with different ones?

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
# In the middle between networks with different starts lies next to nothing: what one keeps in its third kernel, the
# other keeps in its seventh, and the mean of both is neither. Networks that started together have kept their kernels
# in the same places. There is a valley between them, too, but the mean is still a network that draws organs, and a
# good place to go on from. The longer they had walked apart, the deeper the valley would be.
#
# So three rules follow: **everybody starts from the same weights**; everybody follows **the same plan**; and nobody
# walks too far alone before the next averaging. That is why a federation works in **rounds**.
#
# ## The rounds
#
# Here is the whole of it: out to the hospitals, train, back, average, again. The `first_step` keeps the learning
# rate on one schedule over all rounds; `round_seed` gives every hospital and round a random seed of its own, which
# will matter in a moment.

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
# [Flower](https://flower.ai) is a framework for federated learning: it carries messages between a server and
# hospitals, on one laptop or across the world. The same program, our *client app*, runs at each hospital in the real
# case; here an in-process *grid* plays the network cable. We run two rounds with the same seed.

# %%
from pedseg.federation.client_app import app
from pedseg.federation.config import FederationConfig
from pedseg.federation.in_process import InProcessGrid
from pedseg.federation.rounds import train_rounds

config = FederationConfig(rounds=rounds, local_steps=steps_a_round, seed=0, out=None)
nodes = [{"data-dir": str(center.folder)} for center in centers]
grid = InProcessGrid(app, nodes, config.to_run_config(), workers=1)
for round_ in lesson.progress(train_rounds(grid, config), rounds, "Flower's rounds"):
    print(f"round {round_.number}: training loss {round_.train_loss:.3f}")

# %% [markdown]
# Now compare. A **SHA-256** is a fingerprint of bytes: if one weight of several hundred thousand differed in its last
# bit, the two lines below would have nothing in common.

# %%
print("mine:  ", mine)
print("Flower:", round_.sha256)
print("the same network, to the last bit" if mine == round_.sha256 else "they differ!")

# %% [markdown]
# Why is that worth the trouble? Because "about the same" hides mistakes. A hospital counted twice, a seed forgotten,
# an update that came too late: all of them give networks that are *about* the same.
#
# It takes care, too. Computers round, so `(a + b) + c` need not equal `a + (b + c)`:

# %%
a, b, c = np.float32(1e8), np.float32(-1e8), np.float32(1)
print((a + b) + c, a + (b + c))

# %% [markdown]
# If the server added updates in the order in which they arrive, the fastest hospital would change the result. So this
# workbook's strategy (`OrderedFedAvg`) puts them into a fixed order first.
#
# ## One hospital sends nonsense
#
# A mean follows whoever shouts loudest. One broken computer, or one that somebody has taken over, and the network of
# all is lost. A **robust** aggregation stands one such update. Many rules do; find one of your own.
#
# **Write it.** The check sends you the updates of three or five hospitals, one of them poisoned. No weight of the
# result may lie outside the range of the honest ones.


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
# The median of each weight (Yin et al. 2018). A mean without the smallest and the largest value does it, too, and so
# does Krum, which takes the one update that lies nearest to the others. `pedseg federate --strategy` knows all three.

# %% [markdown]
# It has a price. All hospitals count alike here, however many children they have; and a hospital that is merely
# *different*, the only one with MR perhaps, looks like a poisoned one. With two hospitals nobody can tell which of
# them is right. *Stretch goal:* find a poison that your rule lets through: small, the same in two hospitals, or not
# a number.
#
# ## What does it cost to send networks around?
#
# **Question.** Each weight takes four bytes. In every round, every hospital receives the network and sends it back.
# How many **megabytes** travel in a federation of two hospitals and ten rounds?

# %% exercise
size = sum(array.size for array in start.values())
megabytes = size * 4 * 2 * 2 * 10 / 1e6  # answer
megabytes = lesson.check("traffic", megabytes, weights=size, centers=2, rounds=10)

# %% [markdown] answer
# Weights × 4 bytes × 2 ways × 2 hospitals × 10 rounds. A single CT scan in full resolution is larger than one of our
# small networks. The networks of the clinic are a hundred times larger, and even so the way is short compared with
# the time that training takes.

# %% [markdown]
# ## What to remember
#
# - FedAvg is a mean, weighted by the number of scans. (A child who was scanned twice counts twice.)
# - The same start, the same plan, rounds that are not too long.
# - A mean trusts everybody; a median survives a poisoned update, and makes outsiders count less.
# - "The same" can be tested to the last bit, if order and seeds are fixed.
#
# **Further reading.** McMahan et al., *Communication-efficient learning of deep networks from decentralized data*, 2017
# ([arXiv:1602.05629](https://arxiv.org/abs/1602.05629)).

# %%
lesson.finish()
