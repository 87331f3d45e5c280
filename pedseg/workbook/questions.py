"""What the notebooks ask: for each question the right answer, the usual slips and what to say to them.

An answer is computed from what the notebook gives with it, so that questions stay true when data
or sizes change. `judging` compares, `lesson.check` does the talking.
"""

from __future__ import annotations

import numpy as np

from pedseg.organs import EVALUATED, ORGANS
from pedseg.workbook.judging import Question
from pedseg.workbook.questions_federation import FEDERATION


def _resampled(shape, spacing_mm, new_mm):
    return np.maximum(1, np.round(np.asarray(shape) * np.asarray(spacing_mm) / np.asarray(new_mm)))


def _average(updates, cases):
    shares = np.asarray(cases, dtype=float) / np.sum(cases)
    return {name: sum(s * u[name].astype(float) for s, u in zip(shares, updates, strict=True)) for name in updates[0]}


def _dice(truth, prediction):
    return 2 * np.count_nonzero(truth & prediction) / (np.count_nonzero(truth) + np.count_nonzero(prediction))


def _jaccard(truth, prediction):
    return np.count_nonzero(truth & prediction) / np.count_nonzero(truth | prediction)


def _axis_deg(places_mm, *, column=1):
    _, directions = np.linalg.eigh(np.cov(np.transpose(places_mm)))
    x, y = directions[:, column]
    return np.rad2deg(np.arctan2(y, x)) % 180


QUESTIONS: dict[str, Question] = {
    "number of organs": Question(
        answer=lambda: len(ORGANS),
        nudge="Python counts with `len(...)`; the organs stand in `ORGANS`.",
        slips={"This is the number of evaluated organs; there are more in the list.": lambda: len(EVALUATED)},
    ),
    "darkest shade": Question(
        answer=lambda center, width: center - width / 2,
        nudge="Half of the window lies below its center.",
        slips={
            "That is the brightest end: it lies above the center.": lambda center, width: center + width / 2,
            "The width spans the whole window; only half of it lies below the center.": lambda center, width: (
                center - width
            ),
        },
    ),
    "voxel volume": Question(
        answer=lambda spacing_mm: np.prod(spacing_mm) / 1000,
        nudge="A voxel is a small box: width × depth × height. How many cubic millimeters make a milliliter?",
        slips={
            "These are cubic millimeters. A milliliter holds 1000 of them.": lambda spacing_mm: np.prod(spacing_mm),
            "The edges must be multiplied, not added.": lambda spacing_mm: np.sum(spacing_mm) / 1000,
        },
    ),
    "side of the liver": Question(
        answer=lambda: "right",
        nudge="Look where the liver lies and which letter stands on that rim of the picture.",
        slips={"It is on the left of the picture. On which side of the child is that?": lambda: "left"},
    ),
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
    "dice": Question(
        answer=lambda truth, prediction: _dice(truth, prediction),
        nudge="Twice the shared voxels over the sum of both volumes.",
        slips={
            "This is Jaccard (shared over united); Dice counts the shared part twice.": lambda truth, prediction: (
                _jaccard(truth, prediction)
            ),
            "The shared part counts twice.": lambda truth, prediction: _dice(truth, prediction) / 2,
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
    "hd95": Question(
        answer=lambda there, back: max(np.percentile(there, 95), np.percentile(back, 95)),
        nudge="One percentile for each direction, then the larger one.",
        slips={
            "Both directions in one pot: that is another definition, and mostly smaller.": lambda there, back: (
                np.percentile(np.concatenate([there, back]), 95)
            ),
            "That is the Hausdorff distance itself, without the 95th percentile.": lambda there, back: max(
                there.max(), back.max()
            ),
        },
    ),
    "surface dice": Question(
        answer=lambda there, back, tolerance_mm: np.mean(np.concatenate([there, back]) <= tolerance_mm),
        nudge="Put both directions together; comparing gives true and false, and the mean of those is a share.",
        slips={
            "This is the share of the true surface only; the drawn one counts.": lambda there, back, tolerance_mm: (
                np.mean(there <= tolerance_mm)
            ),
            "This is the share that lies outside the tolerance.": lambda there, back, tolerance_mm: np.mean(
                np.concatenate([there, back]) > tolerance_mm
            ),
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
    "diagonal": Question(
        answer=lambda shape, spacing_mm: np.linalg.norm(np.multiply(shape, spacing_mm)),
        nudge="First each edge in millimeters; then Pythagoras, in three dimensions.",
        slips={
            "That is in voxels: multiply by the spacing first.": lambda shape, spacing_mm: np.linalg.norm(shape),
            "These are the edges added up; the diagonal is shorter.": lambda shape, spacing_mm: np.sum(
                np.multiply(shape, spacing_mm)
            ),
        },
    ),
    "growth factor": Question(
        answer=lambda young_ml, old_ml: old_ml / young_ml,
        nudge="A factor is what you multiply the small volume by to get the large one.",
        slips={
            "The wrong way round: a growing organ has a factor above one.": lambda young_ml, old_ml: young_ml / old_ml,
            "These are the milliliters it gained; the factor is a ratio.": lambda young_ml, old_ml: old_ml - young_ml,
            "This is the gain in relation to the start; the factor counts the start, too.": lambda young_ml, old_ml: (
                (old_ml - young_ml) / young_ml
            ),
        },
    ),
    "kidney length": Question(
        answer=lambda height_cm: 0.051 * height_cm + 2.102,
        nudge="The height times 0.051, and then 2.102 added; all in centimeters.",
        slips={
            "The last part is missing: add 2.102.": lambda height_cm: 0.051 * height_cm,
            "First multiply the height, then add.": lambda height_cm: 0.051 * (height_cm + 2.102),
            "The formula wants the height in centimeters, not in millimeters.": lambda height_cm: (
                0.51 * height_cm + 2.102
            ),
        },
    ),
    "all three axes": Question(
        answer=lambda length_factor: length_factor**3,
        nudge="Length, width and depth each take the factor, and a volume is the product of the three.",
        slips={
            "This would be right if it grew in length alone.": lambda length_factor: length_factor,
            "That is how an area grows; a volume has one axis more.": lambda length_factor: length_factor**2,
            "The three factors must be multiplied, not added.": lambda length_factor: 3 * length_factor,
            "Gains do not add up: each factor works on what the others made.": lambda length_factor: (
                1 + 3 * (length_factor - 1)
            ),
        },
    ),
    "voxels of a gland": Question(
        answer=lambda volume_ml, spacing_mm: volume_ml * 1000 / np.prod(spacing_mm),
        nudge="How many cubic millimeters has the gland, and how many has one voxel?",
        slips={
            "A milliliter has 1000 cubic millimeters.": lambda volume_ml, spacing_mm: volume_ml / np.prod(spacing_mm),
            "The edges of a voxel must be multiplied, not added.": lambda volume_ml, spacing_mm: (
                volume_ml * 1000 / np.sum(spacing_mm)
            ),
            "Divide by the volume of a voxel; larger voxels must become fewer.": lambda volume_ml, spacing_mm: (
                volume_ml * 1000 * np.prod(spacing_mm)
            ),
        },
    ),
    "share on the surface": Question(
        answer=lambda edge: 1 - (edge - 2) ** 3 / edge**3,
        nudge="Peel the cube: what is left inside has an edge that is shorter by two voxels.",
        slips={
            "This is the share inside.": lambda edge: (edge - 2) ** 3 / edge**3,
            "The peel lies on both sides: the edge becomes shorter by two.": lambda edge: 1 - (edge - 1) ** 3 / edge**3,
            "Six sides, but voxels on edges and corners belong to several of them and count once.": lambda edge: (
                6 * edge**2 / edge**3
            ),
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
    **FEDERATION,
}
