"""Function exercises: every slip is refused, every right answer accepted in three spellings, whatever it is fed."""

from __future__ import annotations

import hashlib
import math
import warnings
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage, stats
from torch.nn import functional

from pedseg.workbook import function_checks, lesson
from pedseg.workbook.function_checks import Check, FunctionExercise, agrees, is_open

FUNCTIONS = {name: found for name, found in lesson.exercises().items() if isinstance(found, FunctionExercise)}
SLIPS = [(name, sentence) for name, exercise in FUNCTIONS.items() for sentence in exercise.slips]


# --- three spellings of each right answer: a loop, NumPy or SciPy, and torch where it can be one -------------------


def gray_loop(hu, center, width):
    lowest, gray = center - width / 2, []
    for value in hu.ravel():
        gray.append(min(max((float(value) - lowest) / width, 0.0), 1.0))
    return np.array(gray).reshape(hu.shape)


def gray_where(hu, center, width):
    low, high = center - width / 2, center + width / 2
    return np.where(hu < low, 0.0, np.where(hu > high, 1.0, (hu - low) / (high - low)))


def gray_torch(hu, center, width):
    return ((torch.from_numpy(hu).float() - center) / width + 0.5).clamp(0, 1)


def percentile_numpy(value, skewness, median, variation):
    power = np.log(value / median) if skewness == 0 else ((value / median) ** skewness - 1) / skewness
    return 100 * stats.norm(0, variation).cdf(power)


def percentile_loop(value, skewness, median, variation):
    def one(x):
        z = math.log(x / median) if not skewness else math.expm1(skewness * math.log(x / median)) / skewness
        return NormalDist().cdf(z / variation) * 100

    return [one(x) for x in value] if np.ndim(value) else one(value)


def percentile_torch(value, skewness, median, variation):
    ratio = torch.as_tensor(value, dtype=torch.float64) / median
    z = ratio.log() if skewness == 0 else (ratio**skewness - 1) / skewness
    return 50 * (1 + torch.erf(z / variation / math.sqrt(2)))


def resample_loop(labels, spacing_mm, new_mm):
    counts = [max(1, round(n * old / new)) for n, old, new in zip(labels.shape, spacing_mm, new_mm, strict=True)]
    out = np.empty(counts, labels.dtype)
    for place in np.ndindex(*counts):
        old = [int((i + 0.5) / m * n) for i, m, n in zip(place, counts, labels.shape, strict=True)]
        out[place] = labels[tuple(old)]
    return out


def resample_scipy(labels, spacing_mm, new_mm):
    counts = np.maximum(1, np.round(np.multiply(labels.shape, spacing_mm) / new_mm)).astype(int)
    zoom = counts / np.array(labels.shape)
    return ndimage.zoom(labels, zoom, order=0, grid_mode=True, mode="nearest")


def resample_torch(labels, spacing_mm, new_mm):
    counts = [max(1, round(n * old / new)) for n, old, new in zip(labels.shape, spacing_mm, new_mm, strict=True)]
    image = torch.from_numpy(labels.astype(np.float32))[None, None]
    return functional.interpolate(image, size=counts, mode="nearest-exact")[0, 0].byte()


def dice_loop(truth, prediction):
    shared = both = 0
    for t, p in zip(truth.ravel(), prediction.ravel(), strict=True):
        shared, both = shared + (t and p), both + int(t) + int(p)
    return 2 * shared / both if truth.any() else float("nan")


def dice_numpy(truth, prediction):
    with np.errstate(invalid="ignore"):
        quotient = 2 * np.sum(truth * prediction) / (np.sum(truth) + np.sum(prediction))
    return np.where(truth.any(), quotient, np.nan)


def dice_torch(truth, prediction):
    t, p = torch.from_numpy(truth).float(), torch.from_numpy(prediction).float()
    return 2 * (t * p).sum() / (t + p).sum() if t.max() > 0 else torch.tensor(torch.nan)


def hd95_rules(truth, prediction, spacing_mm):
    if not truth.any():
        return np.nan
    return None if prediction.any() else math.dist([0, 0, 0], np.multiply(truth.shape, spacing_mm))


def surface_points(mask, spacing_mm):
    padded = np.pad(mask, 1)
    inner = padded.copy()
    for axis in range(3):
        inner &= np.roll(padded, 1, axis) & np.roll(padded, -1, axis)
    return (np.argwhere(padded & ~inner) - 1) * np.array(spacing_mm, float)


def hd95_loop(truth, prediction, spacing_mm):
    if (ruled := hd95_rules(truth, prediction, spacing_mm)) is not None:
        return ruled
    a, b = surface_points(truth, spacing_mm), surface_points(prediction, spacing_mm)
    there = [min(math.dist(p, q) for q in b) for p in a]
    back = [min(math.dist(p, q) for q in a) for p in b]
    return max(np.percentile(there, 95), np.percentile(back, 95))


def hd95_tree(truth, prediction, spacing_mm):
    from scipy.spatial import KDTree

    if (ruled := hd95_rules(truth, prediction, spacing_mm)) is not None:
        return ruled
    a, b = surface_points(truth, spacing_mm), surface_points(prediction, spacing_mm)
    return max(np.quantile(KDTree(b).query(a)[0], 0.95), np.quantile(KDTree(a).query(b)[0], 0.95))


def hd95_torch(truth, prediction, spacing_mm):
    if (ruled := hd95_rules(truth, prediction, spacing_mm)) is not None:
        return ruled
    a, b = (torch.from_numpy(surface_points(mask, spacing_mm)) for mask in (truth, prediction))
    table = torch.cdist(a, b)
    return max(torch.quantile(table.min(dim=1).values, 0.95), torch.quantile(table.min(dim=0).values, 0.95))


def fit_by_hand(network, batches, epochs, learning_rate):
    network.train()
    losses = []
    for _ in range(epochs):
        total = 0.0
        for images, labels in batches:
            loss = functional.cross_entropy(network(images), labels)
            gradients = torch.autograd.grad(loss, list(network.parameters()))
            with torch.no_grad():
                for weights, gradient in zip(network.parameters(), gradients, strict=True):
                    weights -= learning_rate * gradient
            total += float(loss)
        losses.append(total / len(batches))
    return losses


def fit_with_a_criterion(network, batches, epochs, learning_rate):
    optimizer, criterion = torch.optim.SGD(network.parameters(), learning_rate), torch.nn.CrossEntropyLoss()
    network.train()
    history = np.zeros((epochs, len(batches)))
    for epoch in range(epochs):
        for number, (images, labels) in enumerate(batches):
            loss = criterion(network(images), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            history[epoch, number] = loss.item()
    return history.mean(axis=1).tolist()


def fit_log_softmax(network, batches, epochs, learning_rate):
    optimizer = torch.optim.SGD(params=network.parameters(), lr=learning_rate)

    def step(images, labels):
        network.zero_grad()
        loss = -functional.log_softmax(network(images), dim=1)[torch.arange(len(labels)), labels].mean()
        loss.backward()
        optimizer.step()
        return loss.detach().item()

    network.train()
    return [float(np.mean([step(*batch) for batch in batches])) for _ in range(epochs)]


def fedavg_loop(updates, cases):
    mean = {}
    for name in updates[0]:
        mean[name] = np.zeros_like(updates[0][name])
        for update, n in zip(updates, cases, strict=True):
            mean[name] = mean[name] + update[name] * n / sum(cases)
    return mean


def fedavg_numpy(updates, cases):
    return {name: np.average([u[name] for u in updates], axis=0, weights=cases) for name in updates[0]}


def fedavg_torch(updates, cases):
    shares = torch.tensor(cases) / sum(cases)
    stacked = {name: torch.stack([torch.as_tensor(u[name]) for u in updates]) for name in updates[0]}
    return {name: torch.tensordot(shares.double(), array, dims=1) for name, array in stacked.items()}


def trimmed_mean(updates):
    stacked = {name: np.sort([update[name] for update in updates], axis=0) for name in updates[0]}
    return {name: array[1:-1].mean(axis=0) for name, array in stacked.items()}


def krum(updates):
    flat = [np.concatenate([array.ravel() for array in update.values()]) for update in updates]
    near = [sum(sorted(np.linalg.norm(a - b) for b in flat)[: len(flat) - 1]) for a in flat]
    return updates[int(np.argmin(near))]


def median_loop(updates):
    average = {}
    for name, array in updates[0].items():
        average[name] = np.empty(array.shape)
        for place in np.ndindex(*array.shape):
            values = sorted(float(update[name][place]) for update in updates)
            average[name][place] = values[len(values) // 2]
    return average


def median_torch(updates):
    return {n: torch.stack([torch.from_numpy(u[n]) for u in updates]).median(dim=0).values for n in updates[0]}


def sign_loop(first, second):
    up = down = 0
    for a, b in zip(first, second, strict=True):
        up, down = up + (a > b), down + (a < b)
    n, k = int(up + down), int(min(up, down))
    return min(1, 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n)


def sign_scipy(first, second):
    better, worse = np.sum(np.array(first) > second), np.sum(np.array(first) < second)
    return stats.binomtest(int(better), int(better + worse)).pvalue if better + worse else 1.0


def sign_torch(first, second):
    signs = torch.sign(torch.tensor(first) - torch.tensor(second))
    n = int(signs.abs().sum())
    return min(1.0, 2 * stats.binom.cdf(min(int((signs > 0).sum()), int((signs < 0).sum())), n, 0.5))


def kind_counting(truth, prediction, other, voxel_ml):
    there, count = np.count_nonzero(truth), np.count_nonzero(prediction)
    if there == 0:
        return "false" if count * voxel_ml >= 1 else "none"
    if count == 0:
        return "missed"
    if np.count_nonzero(prediction & other) / count > 0.1:
        return "swapped"
    return "displaced" if np.count_nonzero(prediction & ~truth) / count > 0.5 else "none"


def axis_formula(places_mm):
    x, y = (values - np.mean(values) for values in places_mm.T)
    return float(np.degrees(0.5 * np.arctan2(2 * np.mean(x * y), np.mean(x * x) - np.mean(y * y))) % 180)


def axis_svd(places_mm):
    _, _, axes = np.linalg.svd(places_mm - places_mm.mean(0), full_matrices=False)
    x, y = axes[0]
    return (math.degrees(math.atan2(y, x)) + 360) % 180


def axis_torch(places_mm):
    variances, directions = torch.linalg.eigh(torch.cov(torch.tensor(places_mm).T))
    x, y = directions[:, variances.argmax()]
    return torch.rad2deg(torch.atan2(y, x)) % 180


def kind_loop(truth, prediction, other, voxel_ml):
    inside = swapped = count = there = 0
    for t, d, o in zip(truth.ravel(), prediction.ravel(), other.ravel(), strict=True):
        there, count = there + t, count + d
        inside, swapped = inside + (t and d), swapped + (o and d)
    if not there:
        return ("none", "false")[bool(count * voxel_ml >= 1.0)]
    kinds = {"missed": count == 0, "swapped": 10 * swapped > count, "displaced": 2 * inside < count}
    return next((kind for kind, applies in kinds.items() if applies), "none")


def kind_torch(truth, prediction, other, voxel_ml):
    t, d, o = (torch.from_numpy(mask) for mask in (truth, prediction, other))
    if not bool(t.any()):
        return "false" if float(d.sum()) * voxel_ml >= 1 else "none"
    if not bool(d.any()):
        return "missed"
    if o[d].float().mean() > 0.1:
        return "swapped"
    return "displaced" if t[d].float().mean() < 0.5 else "none"


def gin_torch(image, kernel, bias):
    convolved = functional.conv3d(image.unsqueeze(0), kernel, bias, padding="same").squeeze(0)
    return torch.where(convolved > 0, convolved, 0.01 * convolved)


def gin_scipy(image, kernel, bias):
    outputs = []
    for weights, offset in zip(kernel.numpy(), bias.numpy(), strict=True):
        channels = [
            ndimage.correlate(i, w, mode="constant", cval=0) for i, w in zip(image.numpy(), weights, strict=True)
        ]
        total = np.sum(channels, axis=0) + offset
        outputs.append(np.maximum(total, 0) + 0.01 * np.minimum(total, 0))
    return np.stack(outputs)


def gin_loop(image, kernel, bias):
    image, kernel = image.numpy(), kernel.numpy()
    k = kernel.shape[-1]
    padded = np.pad(image, [(0, 0), *[(k // 2, k // 2)] * 3])
    out = np.empty((len(kernel), *image.shape[1:]), np.float32)
    for o, x, y, z in np.ndindex(*out.shape):
        value = np.sum(padded[:, x : x + k, y : y + k, z : z + k] * kernel[o]) + float(bias[o])
        out[o, x, y, z] = value if value > 0 else 0.01 * value
    return out


def accept_nested(message, run, round_, seen, verify):
    header = message["header"]
    if verify(header, message["signature"]):
        whole = hashlib.sha256(message["weights"]).hexdigest() == header["sha256"]
        if whole and header["run"] == run and header["round"] == round_:
            place = f"{run}/{round_}/{header['sender']}"
            if place not in seen:
                seen.add(place)
                return True
    return False


def accept_signatures(message, run, round_, seen, verify):
    header, signature = message["header"], message["signature"]
    expected = {"run": run, "round": round_, "sha256": hashlib.sha256(message["weights"]).hexdigest()}
    good = verify(header, signature) and all(header[name] == value for name, value in expected.items())
    new = good and (header["sender"], header["round"]) not in seen
    if new:
        seen |= {(header["sender"], header["round"])}
    return new


def accept_count(message, run, round_, seen, verify):
    checks = (
        lambda h: verify(h, message["signature"]),
        lambda h: h["sha256"] == hashlib.sha256(message["weights"]).digest().hex(),
        lambda h: [h["run"], h["round"]] == [run, round_],
    )
    if not all(passes(message["header"]) for passes in checks):
        return 0
    before = len(seen)
    seen.add((message["header"]["sender"], round_))
    return int(len(seen) > before)


def epsilon_zcdp(noise_multiplier, rounds, delta):
    with np.errstate(divide="ignore"):
        rho = 2 * rounds / np.square(np.float64(noise_multiplier))
    return rho + np.sqrt(4 * rho * -np.log(delta))


def private_numpy(update, clipping_norm, noise_multiplier, rng, rounds=1, delta=1e-5):
    length = np.sqrt(sum(np.sum(array**2) for array in update.values()))
    factor = min(1.0, clipping_norm / length) if length else 1.0
    sd = noise_multiplier * clipping_norm
    noisy = {name: factor * array + sd * rng.standard_normal(array.shape) for name, array in update.items()}
    return noisy, epsilon_zcdp(noise_multiplier, rounds, delta)


def private_flat(update, clipping_norm, noise_multiplier, rng, rounds=1, delta=1e-5):
    flat = np.concatenate([array.ravel() for array in update.values()])
    flat = flat / max(1.0, np.linalg.norm(flat) / clipping_norm)
    flat = flat + rng.normal(0, noise_multiplier * clipping_norm, flat.size)
    parts = np.split(flat, np.cumsum([array.size for array in update.values()])[:-1])
    return dict(zip(update, parts, strict=True)) | {
        name: part.reshape(update[name].shape) for name, part in zip(update, parts, strict=True)
    }, epsilon_zcdp(noise_multiplier, rounds, delta)


def private_torch(update, clipping_norm, noise_multiplier, rng, rounds=1, delta=1e-5):
    tensors = {name: torch.from_numpy(array) for name, array in update.items()}
    length = torch.linalg.vector_norm(torch.cat([t.flatten() for t in tensors.values()]))
    factor = torch.clamp(clipping_norm / (length + 1e-12), max=1.0)
    chance = torch.Generator().manual_seed(int(rng.integers(2**31)))
    noise = {n: torch.randn(t.shape, generator=chance) * noise_multiplier * clipping_norm for n, t in tensors.items()}
    return {n: t * factor + noise[n] for n, t in tensors.items()}, epsilon_zcdp(noise_multiplier, rounds, delta)


def rates_loop(ratios, removed, limit):
    hits = operated = alarms = controls = 0
    for ratio, lost in zip(ratios, removed, strict=True):
        names = sorted(ratio, key=lambda name: ratio[name])
        named = names[0] if ratio[names[0]] < limit else None
        if lost is None:
            controls, alarms = controls + 1, alarms + (named is not None)
        else:
            operated, hits = operated + 1, hits + (named == lost)
    return hits / operated if operated else math.nan, alarms / controls if controls else math.nan


def rates_numpy(ratios, removed, limit):
    names = list(ratios[0])
    table = np.array([[ratio[name] for name in names] for ratio in ratios])  # (children, kidneys)
    named = np.where(table.min(axis=1) < limit, np.array(names)[table.argmin(axis=1)], "")
    lost = np.array([name or "" for name in removed])
    hits, alarms = (named == lost)[lost != ""], (named != "")[lost == ""]
    return np.array([group.mean() if group.size else np.nan for group in (hits, alarms)])


def rates_torch(ratios, removed, limit):
    names = list(ratios[0])
    table = torch.tensor([[ratio[name] for name in names] for ratio in ratios], dtype=torch.float64)
    smallest, place = table.min(dim=1)
    named = torch.where(smallest < limit, place, -1)
    lost = torch.tensor([names.index(name) if name else -1 for name in removed])
    return (named == lost)[lost >= 0].double().mean(), (named >= 0)[lost < 0].double().mean()


def audit_loop(children):
    named = []
    for child in children:
        if child["dsc"]["Liver"] < 0.75:
            named.append("mirrored sides")
        else:
            enhanced = child["hu"]["A_Aorta"] > 75
            named += ["wrong phase"] * (enhanced is not (child["phase"] != "none"))
        named += ["swapped label"] * (child["x_mm"]["Lung_L"] - child["x_mm"]["Lung_R"] > 0)
        named += ["thick slices"] * (child["slice_mm"] >= 8)
    lacking = [name for name in children[0]["absent"] if all(name in child["absent"] for child in children)]
    named += ["unequal organ list"] * bool(lacking)
    volumes = [(c["volume_ml"]["Bowel^Stomach"], c["predicted_ml"]["Bowel^Stomach"]) for c in children]
    return set(named) | (
        {"contouring habit"} if sum(v for v, _ in volumes) < 0.88 * sum(p for _, p in volumes) else set()
    )


def audit_pandas(children):
    table = pd.json_normalize(children, sep=" ")
    upright = table[(table["dsc Liver"] > 0.7) & (table["dsc Spleen"] > 0.2)]
    bowel = table["volume_ml Bowel^Stomach"] / table["predicted_ml Bowel^Stomach"]
    rules = {
        "mirrored sides": (table["dsc Liver"] < 0.7).any(),
        "wrong phase": ((upright["hu V_Venacava_I"] < 85) == (upright["phase"] == "portal venous")).any(),
        "swapped label": (table["x_mm Lung_L"] > table["x_mm Heart"]).any(),
        "thick slices": table["slice_mm"].max() > 1.5 * 4,
        "contouring habit": bowel.quantile(0.75) < 0.9,
        "unequal organ list": set.intersection(*map(set, table["absent"])) != set(),
    }
    return tuple(flaw for flaw, there in rules.items() if there)


def audit_torch(children):
    def numbers(measure, name):
        return torch.tensor([float(child[measure].get(name, torch.nan)) for child in children])

    liver, stated = numbers("dsc", "Liver"), torch.tensor([child["phase"] == "portal venous" for child in children])
    mirrored = liver < 0.7
    bowel = numbers("volume_ml", "Bowel^Stomach") / numbers("predicted_ml", "Bowel^Stomach")
    flaws = {
        "mirrored sides": mirrored.any(),
        "wrong phase": (((numbers("hu", "A_Aorta") > 80) != stated) & ~mirrored).any(),
        "swapped label": (numbers("x_mm", "Lung_L") > numbers("x_mm", "Lung_R")).any(),
        "thick slices": any(child["slice_mm"] > 5 for child in children),
        "contouring habit": bowel.median() < 0.88,
        "unequal organ list": numbers("x_mm", "Pancreas").isnan().all(),
    }
    return [flaw for flaw in flaws if flaws[flaw]]


SPELLINGS = {
    "to_gray": (gray_loop, gray_where, gray_torch),
    "growth_percentile": (percentile_loop, percentile_numpy, percentile_torch),
    "resample_labels": (resample_loop, resample_scipy, resample_torch),
    "dice": (dice_loop, dice_numpy, dice_torch),
    "hd95": (hd95_loop, hd95_tree, hd95_torch),
    "fit": (fit_by_hand, fit_with_a_criterion, fit_log_softmax),
    "fedavg": (fedavg_loop, fedavg_numpy, fedavg_torch),
    "robust_average": (median_loop, trimmed_mean, median_torch, krum),
    "sign_test": (sign_loop, sign_scipy, sign_torch),
    "long_axis_deg": (axis_formula, axis_svd, axis_torch),
    "kind_of_failure": (kind_loop, kind_counting, kind_torch),
    "gin_layer": (gin_loop, gin_scipy, gin_torch),
    "accept": (accept_nested, accept_signatures, accept_count),
    "privatize": (private_numpy, private_flat, private_torch),
    "probe_rates": (rates_loop, rates_numpy, rates_torch),
    "audit": (audit_loop, audit_pandas, audit_torch),
}


@pytest.fixture(autouse=True)
def untried(monkeypatch):
    monkeypatch.delenv("PEDSEG_STRICT", raising=False)
    monkeypatch.setattr(lesson, "_tried", {})


def test_there_are_twelve_or_more_with_four_checks_or_more_and_three_spellings():
    assert len(FUNCTIONS) >= 12 and set(SPELLINGS) == set(FUNCTIONS)
    for name, exercise in FUNCTIONS.items():
        assert len(exercise.checks) >= 4 and len(exercise.hints) >= 3 and len(exercise.slips) >= 4, name
        assert len(SPELLINGS[name]) >= 3 and exercise.reference.__doc__, name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_reference_passes_its_own_checks_and_twins(name):
    assert function_checks.first_problem(FUNCTIONS[name], FUNCTIONS[name].reference) == ""


@pytest.mark.parametrize(
    ("name", "spelling"), [pytest.param(n, s, id=s.__name__) for n, spellings in SPELLINGS.items() for s in spellings]
)
def test_a_right_answer_is_accepted_however_it_is_spelled(name, spelling, capsys):
    assert lesson.check(name, spelling) is spelling
    assert capsys.readouterr().out == f"Right: all {len(FUNCTIONS[name].checks)} checks pass.\n"


@pytest.mark.parametrize(("name", "sentence"), SLIPS)
def test_every_slip_is_refused_with_its_own_sentence(name, sentence, capsys):
    exercise = FUNCTIONS[name]
    assert lesson.check(name, exercise.slips[sentence]) is exercise.reference
    said, advice = capsys.readouterr().out.splitlines()
    assert said.startswith("Not quite. Check ") and "expected is" in said and advice == sentence


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda *given: print(end=""), "returns nothing"),
        (lambda *given: 1 / 0, "stops with ZeroDivisionError"),
        (lambda: 0, "stops with TypeError"),
        (lambda *given: exit(), "stops with SystemExit"),
        (lambda *given: np.zeros((7, 7)), "Check "),
        (lambda *given: "a word", "Check "),
        (lambda *given: {"a": {}}, "Check "),
        (lambda *given: [[], None], "Check "),
        (lambda *given: object(), "Check "),
        (lambda *given: torch.zeros(2, requires_grad=True), "Check "),
        (0.5, "This is no function"),
        (None, "This is no function"),
    ],
)
def test_nothing_that_a_learner_writes_breaks_the_lesson(name, wrong, said, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a learner's own making
        assert lesson.check(name, wrong) is FUNCTIONS[name].reference
    assert said in (out := capsys.readouterr().out) and out.startswith("Not quite. ")


def dotted(*given):
    """As it is handed out."""
    ...


def not_implemented(*given):
    """As it is handed out."""
    raise NotImplementedError


def bare(*given): ...


@pytest.mark.parametrize("stub", [dotted, not_implemented, bare, ...])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_untouched_stub_is_open_and_gets_no_hint(name, stub, capsys):
    for _ in range(2):  # Run All, and again
        assert lesson.check(name, stub) is FUNCTIONS[name].reference
        assert capsys.readouterr().out.startswith("Still open") and lesson._tried == {}


def one(x):
    return 0.5


def forward(x):
    return x


@pytest.mark.parametrize("begun", [one, forward, lambda: print(), lambda: f"{1}", lambda: [], 3])
def test_what_was_begun_is_no_stub(begun):
    assert not is_open(begun)


def test_hints_go_further_with_each_new_version_and_stay_with_the_same(capsys):
    hints, tries = (
        FUNCTIONS["dice"].hints,
        [lambda t, p: 2, lambda t, p: 2, lambda t, p: 3, lambda t, p: 4, one, forward],
    )
    given = []
    for attempt in [tries[0], *tries]:
        lesson.check("dice", attempt)
        given.append(int(capsys.readouterr().out.splitlines()[1].split()[1]))
    assert len(hints) == 3 and given == [1, 1, 2, 3, 3, 3, 3]


def test_strict_mode_raises_for_what_is_open_or_wrong(monkeypatch):
    monkeypatch.setenv("PEDSEG_STRICT", "1")
    for answer in (dotted, one):
        with pytest.raises(lesson.NotSolved, match="dice"):
            lesson.check("dice", answer)
    assert lesson.check("dice", dice_torch) is dice_torch


def double(x):
    return 2 * x


def double_in_place(x):
    x *= 2
    return x


def drop_a_name(x):
    return {name: 2 * x.pop(name) for name in list(x)}


ARRAY = FunctionExercise(double, [Check("an array", lambda: (np.ones(3),), [2, 2, 2])], ["Twice."])
TENSOR = FunctionExercise(double, [Check("a tensor", lambda: (torch.ones(3),), [2, 2, 2])], ["Twice."])
NAMES = FunctionExercise(
    lambda x: {n: 2 * v for n, v in x.items()}, [Check("names", lambda: ({"a": 1.0},), {"a": 2})], ["Twice."]
)


@pytest.mark.parametrize(
    ("exercise", "function"), [(ARRAY, double_in_place), (TENSOR, double_in_place), (NAMES, drop_a_name)]
)
def test_changed_inputs_are_told(exercise, function):
    assert function_checks.first_problem(exercise, exercise.reference) == ""
    assert "changes its inputs (work on a copy)" in function_checks.first_problem(exercise, function)


def test_the_message_names_the_input_what_came_out_and_what_was_expected():
    def problem(expected, function, says=""):
        check = Check("two numbers", lambda: (1, 2), expected, says)
        return function_checks.first_problem(FunctionExercise(max, [check], ["Larger."]), function)

    assert problem(2, min) == "Check 1 of 1: for two numbers, your function gives 1; expected is 2."
    assert problem(lambda a, b: b, min, "the larger") == (
        "Check 1 of 1: for two numbers, your function gives 1; expected is the larger."
    )
    assert "gives [0., 0.]; expected" in problem(2, lambda a, b: np.zeros(2))
    assert "an array of the shape (3, 4); expected" in problem(2, lambda a, b: np.zeros((3, 4)))
    assert "of which 1 of 12 numbers differ" in problem(np.ones(12), lambda a, b: np.arange(12) > 0)
    assert "gives 3 for 'b'; expected is 1 for 'a'" in problem({"a": 1, "b": 2}, lambda a, b: {"a": 1, "b": 3})
    assert "gives 'no'; expected is 'yes'" in problem("yes", lambda a, b: "no")
    assert "stops with KeyError ('x')" in problem(2, lambda a, b: {}["x"])


@pytest.mark.parametrize(
    ("answer", "expected", "same"),
    [
        (np.float32(0.1), 0.1, True),
        (torch.tensor([1.0, 2.0], requires_grad=True), [1, 2], True),
        ((1, 2), np.array([1, 2]), True),
        (math.nan, math.nan, True),
        (0.0, math.nan, False),
        (None, math.nan, False),
        (0.1001, 0.1, False),
        (1e-8, 0, True),
        (np.zeros((1, 2)), np.zeros(2), False),
        ({"a": torch.ones(2)}, {"a": [1, 1]}, True),
        ({"a": 1, "b": 1}, {"a": 1}, False),
        ([True, False], [1, 0], True),
        ([True], [True, False], False),
        ("Left", "left", False),
        ([np.ones(2), "x"], (np.ones(2), "x"), True),
        (set(), {1}, False),
        (np.array(["a"]), [1.0], False),
    ],
)
def test_when_two_answers_are_the_same(answer, expected, same):
    assert agrees(answer, expected) is same
