"""What a run leaves on disk beside its rows: the summary with versions and digests, and the main table as text."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from pedseg import __version__
from pedseg.evaluation.results import write_rows
from pedseg.files import write_atomically
from pedseg.learning.devices import precision, processor
from pedseg.learning.weights import load_weights, sha256_of

PACKAGES = ("torch", "monai", "flwr", "numpy", "scipy", "nibabel")
ROLES = ("home", "away", "federated", "centralized")


def write_results(
    out: Path, rows: pd.DataFrame, weight_files: Mapping[str, Path], *, mode: int = 0o666, **content: Any
) -> None:
    """Write `cases.csv` and `summary.json`: the `content`, versions, digests and learning curves of the models."""
    loaded = {name: load_weights(file) for name, file in weight_files.items()}
    summary = {
        "command": " ".join(["pedseg", *(_without_folder(word) for word in sys.argv[1:])]),
        "versions": {
            "pedseg": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "machine": {"processor": processor(), "precision": precision(), "system": platform.system()},
        **content,
        "sha256": {name: sha256_of(weights) for name, (weights, _, _) in loaded.items()},
        "curves": {name: json.loads(metadata.get("curve", "[]")) for name, (_, _, metadata) in loaded.items()},
    }
    write_rows(out / "cases.csv", rows)
    write_atomically(out / "summary.json", json.dumps(summary, indent=1, ensure_ascii=False).encode(), mode=mode)


def _without_folder(word: str) -> str:
    """A word of a command line; of a full path the last part only, because summaries are passed on."""
    return Path(word).name if Path(word).is_absolute() else word


def table(out: Path) -> str:
    """The study's main table as plain text: mean DSC of each kind of model on the test patients of each center."""
    summary = json.loads((Path(out) / "summary.json").read_text(encoding="utf-8"))
    statistics = summary["statistics"]
    cells: dict[str, dict[str, str]] = {role: {} for role in ROLES}
    for line in statistics["table"]:
        if line["role"] in ROLES:
            text = f"{line['dsc']['mean']:.3f} ({line['dsc_all']['mean']:.3f})"
            cells[line["role"]][f"patients of {line['tested_on']}"] = text
    table = pd.DataFrame(cells).dropna(axis="columns", how="all").fillna("")
    table.columns.name = f"mean DSC, nine organs (all {len(statistics['organs'])})"
    left_out = f"\nnobody annotated: {', '.join(summary['left_out'])}" if summary["left_out"] else ""
    return table.to_string() + left_out
