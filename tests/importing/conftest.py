"""The tests of this room share `tests/dicom/archive.py`, which makes what an archive or a planning system exports."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "dicom"))
