"""What a prediction says of itself."""

import json

import numpy as np

from pedseg.importing.predict_scans import count_drawn
from pedseg.learning.plans import Plan
from pedseg.scan import Scan

PLAN = {
    "profile": "lesson", "organs": ["Liver", "Spleen"], "spacing_mm": [6, 6, 6], "patch": [24, 24, 24], "batch": 1,
    "clip_hu": [-1000, 400], "mean_hu": -100, "sd_hu": 300, "network": {"kind": "compact", "widths": [4, 4]},
}  # fmt: skip


def test_it_counts_what_is_drawn_and_names_what_is_not():
    plan = Plan.from_json(json.dumps(PLAN))
    labels = Scan(np.zeros((4, 4, 4), np.uint8), np.eye(4))
    assert count_drawn(labels, plan) == "contours of 0 of 2 organs; none of Liver, Spleen"
    labels.voxels[1, 1, 1] = 2
    assert count_drawn(labels, plan) == "contours of 1 of 2 organs; none of Liver"
    labels.voxels[1, 1, 2] = 1
    assert count_drawn(labels, plan) == "contours of 2 of 2 organs"
