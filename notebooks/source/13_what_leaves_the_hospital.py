# %% [markdown]
# # 13 · What leaves the hospital?
#
# *50 minutes · students, clinicians, researchers · the computer works for about two of them*
#
# **You will be able to**
# - read the disclosure log of everything that left a hospital, byte by byte,
# - show what one unprotected update can reveal about one child, with controls and a hit rate,
# - say what clipping and noise promise, and why two hospitals cannot afford them,
# - hide every single update behind masks that cancel in the sum, and say what this does not solve.

# %%
from pedseg.workbook import charts, figures, lesson

lesson.setup()

# %% [markdown]
# ## The disclosure log
#
# "No scan leaves the hospital" is true, but it does not say what *does* leave. A federation through a mailbox (chapter
# [[across_the_firewall]]) keeps a **disclosure log** at each hospital: every reply, and its bytes by kind. Here are two
# short rounds with a few children of each hospital, and Polder's log after them.

# %%
from pedseg.federation import transports
from pedseg.federation.config import FederationConfig
from pedseg.federation.privacy.disclosure_log import FILE, DisclosureLog

data, out = lesson.few_children(), lesson.runs() / "disclosure"
config = FederationConfig(data=data, out=out, rounds=2, local_steps=lesson.budget(10, test=2))
federation = transports.federate(config, "mailbox")
rounds = list(lesson.progress(federation, config.rounds, "federation"))
entries = DisclosureLog(out / "mailbox" / "Polder" / FILE).entries()
for entry in entries:
    content = entry.weights_bytes, entry.metrics_bytes, entry.text_bytes
    print(f"round {entry.round}  {entry.message_type:18}", *content)

# %% [markdown]
# The three columns are weights, other numbers, and text. The first reply is the fingerprint from chapter
# [[from_scan_to_tensor]]. It has sums and counts over all children, and for each scan its grid and the size of the body
# in it. It also has the contrast phases, and the ages of the youngest and the oldest child in whole years. Then come
# the updates: weights, the number of scans, and the mean loss.
#
# **Question.** What fraction of the content is weights?

# %% exercise
weights = sum(entry.weights_bytes for entry in entries)
everything = weights + sum(entry.metrics_bytes + entry.text_bytes for entry in entries)
share = weights / everything  # answer
share = lesson.check("share of the weights", share, weights=weights, everything=everything)

# %% [markdown] answer
# Nearly everything is weights. So the question "what leaves?" becomes: what do weights reveal?

# %% [markdown]
# ## What one update tells
#
# Suppose that a hospital trains one round on **one** child and sends the update. We play a curious coordinator. We have
# the network before and after, and our own scan of a child with both kidneys. We let both networks draw it. The child
# that was trained on has lost a kidney to its tumor. We do not know which one.

# %%
from pedseg.evaluation.trained_models import find_weights
from pedseg.learning.network import build
from pedseg.learning.training import load_cases, train
from pedseg.learning.weights import get_weights, load_weights, set_weights

before, plan, _ = load_weights(find_weights(lesson.study(), "federated"))


def update_of(child, hospital):
    network = build(plan)
    set_weights(network, before)
    steps = lesson.budget(40, test=2)
    schedule = {"steps": steps, "total_steps": 5 * steps, "first_step": 2 * steps}
    for _ in train(network, load_cases(hospital, [child], plan), plan, seed=0, **schedule):
        pass
    return get_weights(network)


# %%
from attribute_inference import predicted_volumes_ml, volume_ratios  # beside this notebook

from pedseg.datasets.loading import load_image

kidneys = {"Kidney_L", "Kidney_R"}
home, own = lesson.centers()[0], lesson.samples()[0]
whole = next(c for c in own.split("test") if not kidneys & set(c.absent))
scan = load_image(whole)
first = predicted_volumes_ml(before, plan, scan, sorted(kidneys))
operated = [c for c in home.split("train") if len(kidneys & set(c.absent)) == 1]
controls = [c for c in home.split("train") if not kidneys & set(c.absent)]
children = operated[: lesson.budget(2, test=1)] + controls[: lesson.budget(2, test=1)]
updates = [update_of(c, home) for c in lesson.progress(children, len(children), "updates")]
after = [predicted_volumes_ml(update, plan, scan, sorted(kidneys)) for update in updates]
ratios = [volume_ratios(then, first) or dict.fromkeys(kidneys, 1) for then in after]
print({name: f"{ratio:.0%} of what was drawn before" for name, ratio in ratios[0].items()})

# %% [markdown]
# Which kidney has this child probably lost? It is the one of which less is drawn now: in forty steps the network has
# learned that there may be nothing on this side. Here are all the children that we tried, with what their records say.
# Some have both kidneys, because an attack needs **controls**.

# %%
removed = [next(iter(kidneys & set(c.absent)), None) for c in children]
bars = {}
for number, (ratio, lost) in enumerate(zip(ratios, removed), start=1):
    record = f"without {lost}" if lost else "with both kidneys"
    bars |= {f"child {number}, {record}: {name}": ratio[name] for name in sorted(ratio)}
alt = "Volume drawn after the update as a share of that before: "
alt += ", ".join(f"{name} {ratio:.0%}" for name, ratio in bars.items())
figures.show(charts.bars(bars, x="drawn after the update, as a share of before"), alt)

# %% [markdown]
# A picture like this is easily convincing. So say in numbers how good the attack is. The probe names the kidney with
# the smallest ratio if that is below a limit, and no kidney otherwise. Its **hit rate** is the fraction of operated
# children whose removed kidney it names. Its rate of **false alarms** is the fraction of controls in which it names any
# kidney.
#
# **Write it.**

# %% exercise
import numpy as np


def probe_rates(ratios, removed, limit):
    """Hit rate and rate of false alarms; NaN for a group without children.

    For each child: its ratios (organ -> ratio), and the organ removed, or None for a control.
    """
    named = []  # answer
    for ratio in ratios:  # answer
        smallest = min(ratio, key=ratio.get)  # answer
        named.append(smallest if ratio[smallest] < limit else None)  # answer
    hits = [name == lost for name, lost in zip(named, removed) if lost]  # answer
    alarms = [name is not None for name, lost in zip(named, removed) if not lost]  # answer
    return tuple(np.mean(group) if group else np.nan for group in (hits, alarms))  # answer


probe_rates = lesson.check("probe_rates", probe_rates)
for limit in (0.5, 0.8, 1.0):
    hit_rate, false_alarms = probe_rates(ratios, removed, limit)
    print(f"limit {limit}: hit rate {hit_rate:.0%}, false alarms {false_alarms:.0%}")

# %% [markdown] answer
# Naming the wrong kidney is not a hit, and neither is naming none. Without the second number, the first one means
# little: a probe that always names a kidney never misses an operation.

# %% [markdown]
# In a child with both kidneys, one of the two may shrink, too. So the update shows *which* kidney was removed better
# than *whether* one was. Two operated children and two controls prove little. *Stretch goal:* try all operated children
# of Polder and the same number of controls, choose the limit on half of them, and report the rates for the other half.
#
# With many children in a round, the update reveals something about a group: "here, left kidneys are missing". But
# nobody needs to break a seal for that. Anyone who may *read* an update can do it. And stronger attacks are known: from
# updates of a few cases, images close to the training images have been computed (Zhu et al. 2019).
#
# ## Clip, and add noise
#
# **Differential privacy** makes a promise: whatever the update looks like, it could almost as well have come from other
# children. How close that is, **ε** (epsilon) says: 0 is perfect, 1 is strong, and above 10 the promise is weak. (A
# second number, **δ**, is the probability that the promise fails; here it is 10⁻⁵.) It takes two steps. First, the
# update is shortened to a fixed length, so that nobody can move the model farther than that. Then random noise is added
# to every weight.

# %%
from pedseg.federation.privacy.differential_privacy import epsilon

for noise in (0.5, 2, 10, 40):
    promises = [f"rounds: {rounds:2}, ε = {epsilon(noise, rounds):8.2f}" for rounds in (1, 10)]
    print(f"noise {noise:>4} ×  ", "   ".join(promises))

# %% [markdown]
# Every round reveals a little more, so ε grows with the rounds. These values are exact (Balle and Wang 2018). A simpler
# formula gives an upper bound that is good enough for planning: *ρ = 2 · rounds / noise²* and *ε = ρ + 2 √(ρ ln(1/δ))*.
# (ρ is the "zero-concentrated" loss of Bun and Steinke 2016. The 2 is there because two clipped updates differ by at
# most twice the norm.)
#
# **Write it.** The update is a dictionary of arrays, and its length is that of *all* its weights together. If it is
# longer than the clipping norm, shorten it to the norm. Then add normal noise to each weight, with a standard deviation
# of noise multiplier × clipping norm.


# %% exercise
def privatize(update, clipping_norm, noise_multiplier, rng, rounds=1, delta=1e-5):
    """The clipped update with noise from `rng.normal`, and ε of all rounds (∞: no noise)."""
    length = np.sqrt(sum(np.sum(array**2) for array in update.values()))  # answer
    factor = clipping_norm / max(length, clipping_norm)  # answer
    sd = noise_multiplier * clipping_norm  # answer
    noisy = {name: factor * a + rng.normal(0, sd, a.shape) for name, a in update.items()}  # answer
    if noise_multiplier == 0:  # answer
        return noisy, np.inf  # answer
    rho = 2 * rounds / noise_multiplier**2  # answer
    return noisy, rho + 2 * np.sqrt(rho * np.log(1 / delta))  # answer


privatize = lesson.check("privatize", privatize)
for noise, rounds_ in ((10, 10), (20, 40)):
    _, promise = privatize({"w": np.ones(3)}, 1.0, noise, np.random.default_rng(), rounds_)
    print(f"noise {noise} ×, rounds: {rounds_}, ε at most {promise:.2f}")

# %% [markdown] answer
# `max(length, clipping_norm)` leaves a short update as it is, and never divides by zero. ρ adds up over rounds, so four
# times as many rounds need twice the noise.

# %% [markdown]
# *Stretch goal:* how much noise keeps ε below 1 over ten rounds? Try `epsilon` and your own formula.
#
# And what does noise do to the contours? First we look at one round: every hospital sends the same good update, each
# with its own noise. Averaging over many hospitals reduces the noise, by the square root of their number. We let the
# averaged network draw two validation children.

# %%
from pedseg.federation.privacy.differential_privacy import add_noise
from pedseg.federation.update_validation import update_norm
from pedseg.learning.inference import mean_dice

watched = load_cases(home, home.split("validation")[: lesson.budget(2, test=1)], plan)
length, rng = update_norm(updates[0], before), np.random.default_rng(0)


def dice_with(noise, hospitals):
    how = {"clipping_norm": length, "noise_multiplier": noise, "rng": rng}
    sent = [add_noise(updates[0], before, **how) for _ in range(hospitals)]
    mean = {name: np.mean([part[name] for part in sent], axis=0) for name in before}
    network = build(plan)
    set_weights(network, mean)
    return mean_dice(network, watched, plan)


# %%
levels = lesson.budget((0.0, 0.001, 0.003, 0.01, 0.03, 0.1), test=(0.0, 0.1))
counts = lesson.budget((2, 5, 20), test=(2,))
curves = {}
for hospitals in lesson.progress(counts, len(counts), "noise"):
    curves[f"{hospitals} hospitals"] = [(z, dice_with(z, hospitals)) for z in levels]
x = "noise, as a multiple of the bound"
chart = charts.learning_curves(curves, x=x, y="mean DSC", markers=True)
print(f"ε of a single round at the largest noise: {epsilon(max(levels), 1):.0f}")
figures.show(chart, "Mean DSC of the averaged network by noise, for 2, 5 and 20 hospitals.")

# %% [markdown]
# Noise is added in every round, and the next round starts from the noisy network. So here are recorded results of
# **whole trainings**: ten rounds, one mark for each seed, and three children per hospital, on coarse voxels.
# (`data_samples/noise.py` makes them again. For your own scans there is `pedseg federate --clipping-norm …
# --noise-multiplier …`.)

# %%
import pandas as pd

from pedseg.workbook import scores

by_noise, labels = scores.by_noise(pd.read_csv(lesson.recorded("noise") / "noise.csv"))
chart = charts.by_level(by_noise, labels, x=x, y="mean DSC of seven organs")
means = {n: {z: f"{np.mean(v):.2f}" for z, v in line.items()} for n, line in by_noise.items()}
figures.show(chart, f"Mean DSC after whole trainings by hospitals and noise: {means}.")

# %% [markdown]
# Read the values below the axis. Two hospitals lose Dice even where ε is in the millions, where twenty hospitals lose
# hardly any. At an ε of two hundred thousand, two hospitals lose more than half of it, and twenty lose a seventh. None
# of this promises anything. A network has hundreds of thousands of weights, each with its own noise, and together the
# noise is much longer than the update. More hospitals help, but slowly: for ten times as much noise, you need a hundred
# times as many. Smartphone keyboards are trained in this way, by millions of phones. For two hospitals, it shows what
# privacy costs, and does not protect.
#
# And ε is about the weights only. The fingerprint at the beginning and the mean loss of each round leave without noise.
#
# ## Masks
#
# There is another way: let the coordinator see only the **sum**. Each pair of hospitals shares a secret row of random
# numbers, which follows from their keys. One adds it to its update, and the other subtracts it.
#
# **Question.** How many such rows are there among five hospitals?

# %% exercise
pairs = 5 * 4 // 2  # answer
pairs = lesson.check("pairs of masks", pairs, centers=5)

# %% [markdown] answer
# One for each pair. Each hospital uses four of them: it adds some and subtracts the others.

# %%
from pedseg.federation.keys import make_keys
from pedseg.federation.privacy.secure_aggregation import mask_update, sum_masked

names = ("Polder", "Neckar", "Fjord")
keys = {name: make_keys(name) for name in names}
members = [keys[name].member for name in names]
changes = {name: {"w": np.full(4, 0.1 * place)} for place, name in enumerate(names, start=1)}
context = members, "round 1"
hidden = {name: mask_update(changes[name], 1 / 3, keys[name], *context) for name in names}
for name in names:
    print(f"{name:>7} sends {hidden[name]['w']}")
print("the sum says", sum_masked(hidden, names, "round 1")["w"])

# %% [markdown]
# What each hospital sends looks random to everybody else; the sum is the mean of 0.1, 0.2, and 0.3, to within a
# millionth. There are four things to know:
#
# - With only **two** hospitals, each one subtracts its own part from the sum and has the other's. So you need at least
#   three.
# - If one **drops out**, the masks of the others do not cancel. The round is void, and the next one runs without it.
# - The coordinator can no longer **refuse** a bad update, because it sees none. You gain privacy, and lose protection
#   against poisoned updates.
# - The **sum** still reveals something about all hospitals together. Masks and noise combine well: then each hospital
#   is protected by the noise of all of them.
#
# `pedseg coordinate --secure-aggregation` does all this. Every center takes the keys of the others from its own folder,
# so the coordinator cannot insert false ones, and it answers each round only once. `pedseg join
# --secure-aggregation-only` sends nothing without masks. A center that was missing sits out one round; the second time
# two, then four. `--secure-aggregation` together with `--strategy krum` or `--max-update-norm` is refused, because both
# have to look at single updates.
#
# ## What to remember
#
# - What leaves is weights. Weights can reveal which kidney is gone, even with a scan of another child.
# - Seals keep strangers out, but not those who are allowed to read.
# - Noise protects, but with few hospitals it ruins the network. Masks cost no quality, but need at least three
#   hospitals.
# - The simplest protection: many children in a round, updates only for people who are bound by contract, and a
#   disclosure log that can be read.
#
# **Further reading.** Zhu et al., *Deep leakage from gradients*, 2019
# ([arXiv:1906.08935](https://arxiv.org/abs/1906.08935)); Bonawitz et al., *Practical secure aggregation for
# privacy-preserving machine learning*, 2017 ([doi:10.1145/3133956.3133982](https://doi.org/10.1145/3133956.3133982)).

# %%
lesson.finish()
