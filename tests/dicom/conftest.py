"""The tests of this room share `archive.py`, which makes what an archive and a planning system hand over."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
