"""Exercises of chapter 07, A federation of centers."""

from __future__ import annotations

from pedseg.workbook.exercise_checks import Exercise

EXERCISES = {
    "size of a reply": Exercise(
        answer=lambda: 1,
        hint="Look at the list above: is there anything in it that has one entry a scan?",
        mistakes={"The scans do not travel, and a network has no weight for each scan.": lambda: 2},
    ),
    "recovered": Exercise(
        answer=lambda home, away, federated: (federated - away) / (home - away),
        hint="The whole drop is home - away. What fraction of it does the federation recover?",
        mistakes={
            "This is the fraction that is still missing.": lambda home, away, federated: (
                (home - federated) / (home - away)
            ),
            "This is the gain itself; divide it by the drop.": lambda home, away, federated: federated - away,
        },
    ),
}
