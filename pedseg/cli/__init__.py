"""The command line: one verb a module, each with `run(options)` and `add_arguments(parser)`.

`run` returns an exit code, or yields the lines that the user reads. What is heavy is imported when a verb runs.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
FIRST_NOTEBOOK = NOTEBOOKS / "00_start_here.ipynb"
READING_ROOM = NOTEBOOKS / "10_reading_room.ipynb"
ROBUST = ROOT / "data_samples" / "results" / "robust" / "model.safetensors"
