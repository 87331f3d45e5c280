"""pedseg: federated learning of organ-at-risk contours on pediatric upper-abdominal CT."""

import os

# Flower reads these when it is imported: nothing phones home from here.
os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")
os.environ.setdefault("FLWR_LOG_LEVEL", "ERROR")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

# Torch reads this with its first large array: Linux then hands out large pages, which saves a tenth of the work.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"
