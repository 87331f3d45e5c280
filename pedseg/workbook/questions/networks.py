"""What notebooks 03 and 05 to 08 ask: preparing, training, averaging, and where a network fails."""

from __future__ import annotations

import numpy as np

from pedseg.workbook.exercise_checks import Question


def _resampled(shape, spacing_mm, new_mm):
    return np.maximum(1, np.round(np.asarray(shape) * np.asarray(spacing_mm) / np.asarray(new_mm)))


def _average(updates, cases):
    shares = np.asarray(cases, dtype=float) / np.sum(cases)
    return {name: sum(s * u[name].astype(float) for s, u in zip(shares, updates, strict=True)) for name in updates[0]}


def _axis_deg(places_mm, *, column=1):
    _, directions = np.linalg.eigh(np.cov(np.transpose(places_mm)))
    x, y = directions[:, column]
    return np.rad2deg(np.arctan2(y, x)) % 180


NETWORKS: dict[str, Question] = {
    "size after resampling": Question(
        answer=lambda shape, spacing_mm, new_mm: _resampled(shape, spacing_mm, new_mm),
        nudge="The child keeps its size in millimeters: number × spacing is the same before and after.",
        slips={
            "The ratio is upside down: coarser voxels must become fewer.": lambda shape, spacing_mm, new_mm: _resampled(
                shape, new_mm, spacing_mm
            ),
            "Almost: a grid has whole voxels, so round.": lambda shape, spacing_mm, new_mm: (
                np.asarray(shape) * np.asarray(spacing_mm) / np.asarray(new_mm)
            ),
        },
        rtol=1e-9,
    ),
    "normalized": Question(
        answer=lambda hu, clip_hu, mean_hu, sd_hu: (np.clip(hu, *clip_hu) - mean_hu) / sd_hu,
        nudge="First clip, then subtract the mean, then divide by the standard deviation.",
        slips={
            "Clip first: the network never sees values beyond the limits.": lambda hu, clip_hu, mean_hu, sd_hu: (
                (hu - mean_hu) / sd_hu
            ),
            "Only shifted so far: divide by the standard deviation too.": lambda hu, clip_hu, mean_hu, sd_hu: (
                np.clip(hu, *clip_hu) - mean_hu
            ),
        },
    ),
    "drop": Question(
        answer=lambda home, away: home - away,
        nudge="Home minus away, so that a loss is a positive number.",
        slips={"Turn the sign: home minus away.": lambda home, away: away - home},
    ),
    "weighted mean": Question(
        answer=lambda updates, cases: _average(updates, cases),
        nudge="Each center's weights, times its share of the cases, added up.",
        slips={
            "This is the plain mean. A center with more children should count more.": lambda updates, cases: _average(
                updates, np.ones(len(cases))
            ),
            "This is the sum. The shares must add up to one.": lambda updates, cases: {
                name: array * len(cases) for name, array in _average(updates, np.ones(len(cases))).items()
            },
        },
    ),
    "shares": Question(
        answer=lambda cases: np.asarray(cases) / np.sum(cases),
        nudge="A center's number of children over everyone's.",
        slips={
            "These are equal shares; the centers do not have equally many children.": lambda cases: (
                np.ones(len(cases)) / len(cases)
            )
        },
    ),
    "traffic": Question(
        answer=lambda weights, centers, rounds: 2 * 4 * weights * centers * rounds / 1e6,
        nudge="Four bytes a weight, down and up again, for each center, in each round; a megabyte is 10⁶ bytes.",
        slips={
            "That is one way only: the model travels down and comes back up.": lambda weights, centers, rounds: (
                4 * weights * centers * rounds / 1e6
            ),
            "These are bytes; divide by a million.": lambda weights, centers, rounds: (
                2 * 4 * weights * centers * rounds
            ),
            "These are numbers, not bytes: each takes four.": lambda weights, centers, rounds: (
                2 * weights * centers * rounds / 1e6
            ),
        },
    ),
    "recovered": Question(
        answer=lambda home, away, federated: (federated - away) / (home - away),
        nudge="The whole drop is home - away. Which part of it does the federation win back?",
        slips={
            "This is the part that is still missing.": lambda home, away, federated: (home - federated) / (home - away),
            "This is the gain itself; set it in relation to the drop.": lambda home, away, federated: federated - away,
        },
    ),
    "false volume": Question(
        answer=lambda voxels, spacing_mm: voxels * np.prod(spacing_mm) / 1000,
        nudge="The number of voxels times the volume of one; 1000 cubic millimeters are a milliliter.",
        slips={
            "These are cubic millimeters.": lambda voxels, spacing_mm: voxels * np.prod(spacing_mm),
            "These are voxels. How large is one?": lambda voxels, spacing_mm: voxels,
        },
    ),
    "long axis": Question(
        answer=lambda places_mm: _axis_deg(places_mm),
        nudge="Which of the two directions is the long one? `np.arctan2(y, x)` is its angle, in radians.",
        slips={
            "This is the short axis, from back to front. `eigh` puts the smaller spread first.": lambda places_mm: (
                _axis_deg(places_mm, column=0)
            ),
            "These are radians; `np.rad2deg` makes degrees of them.": lambda places_mm: np.deg2rad(
                _axis_deg(places_mm)
            ),
            "This is counted from the y axis: `np.arctan2` takes y first, then x.": lambda places_mm: (
                (90 - _axis_deg(places_mm)) % 180
            ),
            "The same line, seen from its other end: `% 180` brings it between 0 and 180.": lambda places_mm: (
                _axis_deg(places_mm) - 180
            ),
        },
    ),
    "explained share": Question(
        answer=lambda cost, drop: cost / drop,
        nudge="The part over the whole: what this cause costs, over the whole drop.",
        slips={
            "Upside down: the part over the whole.": lambda cost, drop: drop / cost,
            "This is what the cause costs; set it in relation to the drop.": lambda cost, drop: cost,
            "This is the share that is left for all other causes.": lambda cost, drop: 1 - cost / drop,
        },
    ),
    "pieces that stay": Question(
        answer=lambda volumes_ml, mean_ml: np.count_nonzero(volumes_ml >= mean_ml / 10),
        nudge="The limit is a tenth of the mean volume. Count the pieces that reach it.",
        slips={
            "These are the pieces that go.": lambda volumes_ml, mean_ml: np.count_nonzero(volumes_ml < mean_ml / 10),
            "These are all pieces. Which of them are too small?": lambda volumes_ml, mean_ml: len(volumes_ml),
            "That is the other idea, to keep the largest piece; here the volume decides.": lambda **given: 1,
        },
    ),
    "kind of failure": Question(
        answer=lambda: "swapped",
        nudge="Answer with a word of the column `kind`, in quotation marks.",
        slips={
            "There is a dashed line, so it was drawn.": lambda: "missed",
            "There is a solid line, so the organ is there.": lambda: "false",
            "The drawn kidney is in one piece; a part elsewhere would be one of two.": lambda: "part",
            "A leak begins at the border of the true organ and spreads from there.": lambda: "leaking",
            "True, but there is a better word: which organ lies inside the dashed line?": lambda: "displaced",
        },
    ),
}
