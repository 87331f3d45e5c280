"""Exercises of the chapter "What leaves the hospital?"."""

from __future__ import annotations

import math

import numpy as np

from pedseg.workbook.exercise_checks import Exercise
from pedseg.workbook.function_checks import Check, FunctionExercise


def probe_rates(ratios, removed, limit):
    """The hit rate of the kidney probe among operated children, and its rate of false alarms among the controls."""
    named = []
    for ratio in ratios:
        smallest = min(ratio, key=ratio.get)
        named.append(smallest if ratio[smallest] < limit else None)
    hits = [name == lost for name, lost in zip(named, removed, strict=True) if lost]
    alarms = [name is not None for name, lost in zip(named, removed, strict=True) if not lost]
    return _mean(hits), _mean(alarms)


def _mean(values):
    return sum(values) / len(values) if values else math.nan


def _any_kidney(ratios, removed, limit):
    smallest = [min(ratio.values()) < limit for ratio in ratios]
    hits = [low for low, lost in zip(smallest, removed, strict=True) if lost]
    return _mean(hits), probe_rates(ratios, removed, limit)[1]


def _over_all(ratios, removed, limit):
    return tuple(
        rate * sum(bool(lost) == operated for lost in removed) / len(removed) if rate == rate else rate
        for rate, operated in zip(probe_rates(ratios, removed, limit), (True, False), strict=True)
    )


def _only_named(ratios, removed, limit):
    kept = [n for n, lost in enumerate(removed) if not lost or min(ratios[n].values()) < limit]
    return probe_rates([ratios[n] for n in kept], [removed[n] for n in kept], limit)


def _no_nan(ratios, removed, limit):
    return tuple(np.nan_to_num(probe_rates(ratios, removed, limit)))


def privatize(update, clipping_norm, noise_multiplier, rng, rounds=1, delta=1e-5):
    """The update (name -> array), clipped and with Gaussian noise, and the epsilon of so many rounds."""
    noisy = _noisy(update, clipping_norm, noise_multiplier * clipping_norm, rng)
    return noisy, _epsilon(noise_multiplier, rounds, delta)


def _noisy(update, clipping_norm, sd, rng, *, separately=False, lengthen=False):
    norms = {name: np.linalg.norm(array) for name, array in update.items()}
    if not separately:
        norms = dict.fromkeys(update, math.sqrt(sum(norm**2 for norm in norms.values())))
    factors = {
        name: clipping_norm / norm if norm > (0 if lengthen else clipping_norm) else 1.0 for name, norm in norms.items()
    }
    return {name: array * factors[name] + rng.normal(0, sd, np.shape(array)) for name, array in update.items()}


def _epsilon(noise_multiplier, rounds, delta, sensitivity=2.0):
    if noise_multiplier == 0:
        return math.inf
    rho = rounds * (sensitivity / noise_multiplier) ** 2 / 2
    return rho + 2 * math.sqrt(rho * math.log(1 / delta))


def _private(noise=None, epsilon=None):
    """`privatize` with another way to add noise (update, norm, multiplier, rng) or another epsilon."""

    def slip(update, clipping_norm, noise_multiplier, rng, rounds=1, delta=1e-5):
        noisy, right = privatize(update, clipping_norm, noise_multiplier, rng, rounds, delta)
        if noise:
            noisy = noise(update, clipping_norm, noise_multiplier, rng)
        return noisy, epsilon(noise_multiplier, rounds, delta) if epsilon else right

    return slip


def _one_number(update, norm, multiplier, rng):
    return {name: array + rng.normal(0, multiplier * norm) for name, array in _noisy(update, norm, 0.0, rng).items()}


def _rng():
    return np.random.default_rng(12)


def _long():
    return {"kernel": np.array([3.0, 0.0]), "bias": np.array([4.0])}


def _zeros():
    return {"kernel": np.zeros((100, 100)), "bias": np.zeros(100)}


def _update_of(privatize, *given):
    return privatize(*given)[0]


def _epsilon_of(privatize, *given):
    return privatize(*given)[1]


def _spread(privatize, *given):
    """The root mean square of the noise on 10 000 zeros, as a multiple of the wanted deviation, to a tenth."""
    noisy = np.asarray(_update_of(privatize, *given)["kernel"])
    return round(float(np.sqrt(np.mean(noisy**2))) / (given[1] * given[2]), 1)


def _different(privatize, *given):
    """The fraction of different numbers in the update, to a hundredth: float32 has equal ones by chance."""
    numbers = np.concatenate([np.ravel(array) for array in _update_of(privatize, *given).values()])
    return round(len(np.unique(numbers)) / numbers.size, 2)


def _at_least_exact(privatize, *given):
    from pedseg.federation.privacy.differential_privacy import epsilon

    exact = epsilon(given[2], given[4])
    return exact <= _epsilon_of(privatize, *given) <= 2 * exact


EXERCISES = {
    "privatize": FunctionExercise(
        reference=privatize,
        checks=[
            Check(
                "an update of length 5, clipping norm 1, and no noise",
                lambda: (_long(), 1.0, 0.0, _rng()),
                {"kernel": [0.6, 0], "bias": [0.8]},
                "a fifth of it: [0.6, 0] and [0.8]",
                _update_of,
            ),
            Check(
                "an update of length 5, clipping norm 10, and no noise",
                lambda: (_long(), 10.0, 0.0, _rng()),
                _long(),
                "the update as it is: it is short enough",
                _update_of,
            ),
            Check(
                "an update of zeros and no noise",
                lambda: (_zeros(), 1.0, 0.0, _rng()),
                _zeros(),
                "zeros",
                _update_of,
            ),
            Check(
                "the spread of the noise, norm 0.5 and multiplier 3",
                lambda: (_zeros(), 0.5, 3.0, _rng()),
                1.0,
                "1.0 times noise multiplier × clipping norm",
                _spread,
            ),
            Check(
                "the fraction of different numbers that come of 10 100 zeros with noise",
                lambda: (_zeros(), 1.0, 1.0, _rng()),
                1.0,
                "1.0: each weight gets its own noise",
                _different,
            ),
            Check(
                "epsilon of one round at a noise multiplier of 2",
                lambda: (_long(), 1.0, 2.0, _rng(), 1, 1e-5),
                0.5 + 2 * math.sqrt(0.5 * math.log(1e5)),
                "5.299: rho is 0.5",
                _epsilon_of,
            ),
            Check(
                "epsilon of four rounds at a noise multiplier of 4",
                lambda: (_long(), 1.0, 4.0, _rng(), 4, 1e-5),
                0.5 + 2 * math.sqrt(0.5 * math.log(1e5)),
                "5.299 again: twice the noise for four times the rounds",
                _epsilon_of,
            ),
            Check(
                "epsilon without noise", lambda: (_long(), 1.0, 0.0, _rng(), 1, 1e-5), math.inf, "infinite", _epsilon_of
            ),
            Check(
                "epsilon of ten rounds at 20, beside the exact one of Balle and Wang (`pedseg.federation.privacy`)",
                lambda: (_long(), 1.0, 20.0, _rng(), 10, 1e-5),
                True,
                "not smaller than that, and less than twice as large",
                _at_least_exact,
            ),
        ],
        hints=[
            "The length is that of *all* weights together: the root of the sum of all squares.",
            "Multiply by clipping norm / length, but only where the update is longer than the norm.",
            "Noise: `rng.normal(0, noise_multiplier * clipping_norm, array.shape)` for each array.",
            "rho = rounds × 2 / noise_multiplier²; epsilon = rho + 2 √(rho ln(1 / delta)); infinite without noise.",
        ],
        slips={
            "Each array was clipped by itself; the norm is that of the whole update.": _private(
                lambda update, norm, multiplier, rng: _noisy(update, norm, multiplier * norm, rng, separately=True)
            ),
            "A short update must not be made longer.": _private(
                lambda update, norm, multiplier, rng: _noisy(update, norm, multiplier * norm, rng, lengthen=True)
            ),
            "The noise is proportional to the norm: multiply both.": _private(
                lambda update, norm, multiplier, rng: _noisy(update, norm, multiplier, rng)
            ),
            "All weights got the same noise; subtract one from the next, and it is gone.": _private(_one_number),
            "There is no noise.": _private(lambda update, norm, multiplier, rng: _noisy(update, norm, 0.0, rng)),
            "Noise without clipping promises nothing.": _private(
                lambda update, norm, multiplier, rng: _noisy(update, math.inf, multiplier * norm, rng)
            ),
            "Two clipped updates can differ by twice the norm.": _private(
                epsilon=lambda multiplier, rounds, delta: _epsilon(multiplier, rounds, delta, sensitivity=1.0)
            ),
            "Every round reveals a little more: rho grows with the rounds.": _private(
                epsilon=lambda multiplier, rounds, delta: _epsilon(multiplier, 1, delta)
            ),
            "Epsilon without noise is infinite, not 0.": _private(
                epsilon=lambda multiplier, rounds, delta: _epsilon(multiplier, rounds, delta) if multiplier else 0.0
            ),
        },
    ),
    "probe_rates": FunctionExercise(
        reference=probe_rates,
        checks=[
            Check(
                "a child without its left kidney, of which half is drawn",
                lambda: ([{"L": 0.5, "R": 1.0}], ["L"], 0.8),
                (1, math.nan),
                "(1, NaN): a hit, and no control",
            ),
            Check(
                "the same child, and the probe names the other kidney",
                lambda: ([{"L": 0.9, "R": 0.6}], ["L"], 0.8),
                (0, math.nan),
                "(0, NaN): the wrong kidney is not a hit",
            ),
            Check(
                "a control of which one kidney shrinks to 0.7",
                lambda: ([{"L": 1.1, "R": 0.7}], [None], 0.8),
                (math.nan, 1),
                "(NaN, 1): a false alarm",
            ),
            Check(
                "three operated children, of whom one stays above the limit, and two controls",
                lambda: (
                    [
                        {"L": 0.3, "R": 0.9},
                        {"L": 1.0, "R": 0.4},
                        {"L": 0.9, "R": 0.95},
                        {"L": 0.7, "R": 1},
                        {"L": 1, "R": 1.2},
                    ],
                    ["L", "R", "L", None, None],
                    0.8,
                ),
                (2 / 3, 1 / 2),
                "(0.6667, 0.5)",
            ),
            Check(
                "the same ratio as the limit",
                lambda: ([{"L": 0.8, "R": 1.0}, {"L": 0.8, "R": 1.0}], ["L", None], 0.8),
                (0, 0),
                "(0, 0): it must be smaller than the limit",
            ),
            Check(
                "the limit 10, under which the probe always names a kidney",
                lambda: ([{"L": 0.5, "R": 1.0}, {"L": 0.9, "R": 1.0}, {"L": 1.0, "R": 0.9}], ["L", None, None], 10),
                (1, 1),
                "(1, 1): all hits, and every control is a false alarm",
            ),
        ],
        hints=[
            "The probe names the kidney with the smallest ratio, if that is below the limit, and no kidney otherwise.",
            "A hit: an operated child, and the probe names the kidney that was removed.",
            "Two means over two groups: operated children (`removed` is a name) and controls (None).",
        ],
        slips={
            "The wrong kidney is not a hit.": _any_kidney,
            "Each rate is a fraction of its own group.": _over_all,
            "A group without a child has no rate: NaN, not 0.": _no_nan,
            "The probe names the kidney that is drawn *smaller*.": lambda ratios, removed, limit: probe_rates(
                [dict(zip(r, [*r.values()][::-1], strict=True)) for r in ratios], removed, limit
            ),
            "Below the limit: a ratio that equals it does not count.": lambda ratios, removed, limit: probe_rates(
                ratios, removed, math.nextafter(limit, math.inf)
            ),
            "The controls are missing: their false alarms tell what a hit means.": lambda ratios, removed, limit: (
                probe_rates(ratios, removed, limit)[0],
                math.nan,
            ),
            "A probe that names no kidney has missed: it is not a hit.": _only_named,
        },
    ),
    "share of the weights": Exercise(
        answer=lambda weights, everything: weights / everything,
        hint="The bytes that are weights, divided by all bytes.",
        mistakes={
            "This is the fraction of everything else.": lambda weights, everything: 1 - weights / everything,
            "That is a percentage; a fraction lies between 0 and 1.": lambda weights, everything: (
                100 * weights / everything
            ),
        },
    ),
    "pairs of masks": Exercise(
        answer=lambda centers: centers * (centers - 1) // 2,
        hint="How many pairs can they form?",
        mistakes={
            "Every pair was counted twice.": lambda centers: centers * (centers - 1),
            "That is how many masks one center shares.": lambda centers: centers - 1,
        },
    ),
}
