"""What a study leaves on disk: the rows of every contour, the summary, and the table one reads first."""

from __future__ import annotations

import csv
import io
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pedseg import __version__
from pedseg.evaluation.results import ModelKey
from pedseg.learning import network, training

COLUMNS = (
    "seed", "model", "trained_on", "tested_on", "patient", "case", "organ", "present",
    "dsc", "hd95_mm", "msd_mm", "volume_ml", "predicted_ml", "nsd",
)  # fmt: skip
PACKAGES = ("torch", "monai", "flwr", "numpy", "scipy", "nibabel")
ROLES = ("home", "away", "federated", "centralized")


def as_csv(rows: Sequence[dict], columns: Sequence[str] = COLUMNS) -> bytes:
    """Rows as CSV: undefined values empty, numbers with six digits."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {k: f"{v:.6g}" if isinstance(v, float) else int(v) if isinstance(v, bool) else v for k, v in row.items()}
        )
    return stream.getvalue().encode()


def join(parts: Sequence[Path]) -> str:
    """The text of several CSV files with the same header as one."""
    tables = [part.read_text(encoding="utf-8").split("\n", 1) for part in parts]
    return tables[0][0] + "\n" + "".join(body for _, body in tables)


def summarize(weight_files: Mapping[str, Path], **told: Any) -> dict[str, Any]:
    """What summary.json holds: what is told, versions, fingerprints and learning curves of the models."""
    loaded = {name: training.load_weights(file) for name, file in weight_files.items()}
    return {
        "command": " ".join(["pedseg", *(_without_home(word) for word in sys.argv[1:])]),
        "versions": {
            "pedseg": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "machine": {"cpu": platform.processor() or platform.machine(), "system": platform.system()},
        **told,
        "sha256": {name: network.sha256_of(weights) for name, (weights, _, _) in loaded.items()},
        "curves": {name: json.loads(metadata["curve"]) for name, (_, _, metadata) in loaded.items()},
    }


def weight_files(study: Path, centers: Sequence[str] = ()) -> dict[tuple[int, ModelKey], Path]:
    """The weights in a study's folder by seed and model; the common models learned in `centers`."""
    found = {}
    for file in sorted([*study.glob("seed*.safetensors"), *study.glob("weights/seed*.safetensors")]):
        seed, kind, *center = file.stem.split("_", 2)
        found[int(seed.removeprefix("seed")), ModelKey(kind, *(center or ["+".join(centers)]))] = file
    return found


def _without_home(word: str) -> str:
    """A word of a command line; of a full path the last part only, because summaries are passed on."""
    return Path(word).name if Path(word).is_absolute() else word


def table(out: Path) -> str:
    """The study's main table as plain text: mean DSC of each kind of model on the test patients of each center."""
    told = json.loads((Path(out) / "summary.json").read_text(encoding="utf-8"))
    story_ = told["statistics"]
    present = {line["role"] for line in story_["table"]}
    roles = [role for role in ROLES if role in present]
    head = f"{'mean DSC, nine organs (all ' + str(len(story_['organs'])) + ')':<30}" + "".join(
        f"{role:>20}" for role in roles
    )
    lines = [head]
    for center in story_["centers"]:
        cells = {line["role"]: line for line in story_["table"] if line["tested_on"] == center}
        values = [
            f"{cells[r]['dsc']['mean']:.3f} ({cells[r]['dsc_all']['mean']:.3f})" if r in cells else "" for r in roles
        ]
        lines.append(f"{'patients of ' + center:<30}" + "".join(f"{value:>20}" for value in values))
    if told["left_out"]:
        lines.append(f"nobody annotated: {', '.join(told['left_out'])}")
    return "\n".join(lines)
