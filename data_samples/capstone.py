"""Measure the hospitals that the audit of the capstone is checked on: `python data_samples/capstone.py runs/capstone`.

Each has two flaws that follow from its number, one has none; a learner's numbers are smaller, so nobody gets one of
these. `record.py runs/capstone capstone` keeps what is measured, and how often the reference audit is right.
"""

from __future__ import annotations

import json
import platform
import runpy
import sys
from pathlib import Path

from pedseg import __version__
from pedseg.datasets.reading import read_dataset
from pedseg.evaluation.trained_models import find_weights, load_model
from pedseg.phantoms.flaws import FLAWS, make_hospital
from pedseg.workbook import capstone, lesson

ROOT = Path(__file__).parents[1]
COUNTED = range(200_000, 200_022)  # hospitals for hits and false alarms, beside the hidden ones


def measured(number: int, folder: Path) -> list[capstone.Child]:
    """One hospital, made and measured with the study's federated network."""
    model = load_model(find_weights(lesson.recorded("study"), "federated"))
    place = folder / str(number) / "Dataset903_Delta"
    list(make_hospital(place, number, capstone.hidden_flaws(number)))
    return capstone.measure(read_dataset(place), model)


def rates(hospitals: dict[int, list[capstone.Child]]) -> dict[str, dict[str, int]]:
    """Flaw -> hospitals that have it, those of them in which the audit names it, and false alarms in the others."""
    (file,) = (ROOT / "notebooks" / "exercises").glob("*_capstone.py")
    audit = runpy.run_path(str(file))["audit"]
    named = {number: audit(children) for number, children in hospitals.items()}
    table = {}
    for defect in FLAWS:
        have = {number for number in hospitals if defect in capstone.hidden_flaws(number)}
        hits = sum(defect in named[number] for number in have)
        alarms = sum(defect in named[number] for number in hospitals.keys() - have)
        table[defect] = {"hospitals": len(have), "named": hits, "others": len(hospitals) - len(have), "alarms": alarms}
    return table


def main(out: Path) -> None:
    hospitals = {}
    for number in (*capstone.HIDDEN, capstone.FLAWLESS, *COUNTED):
        hospitals[number] = measured(number, out / "data")
        print(number, *capstone.hidden_flaws(number), sep="; ", flush=True)
    kept = {n: hospitals[n] for n in (*capstone.HIDDEN, capstone.FLAWLESS)}
    (out / "hospitals.json").write_text(json.dumps(kept, separators=(",", ":")), encoding="utf-8")
    versions = {"pedseg": __version__, "python": platform.python_version()}
    summary = {"versions": versions, "hospitals": len(hospitals), "rates": rates(hospitals)}
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(summary["rates"], indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
