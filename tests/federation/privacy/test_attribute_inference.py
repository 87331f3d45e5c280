"""What an update tells, on a network that can be read: it draws what the weights of its last layer say."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pedseg.datasets.loading import load_image
from pedseg.datasets.reading import read_dataset
from pedseg.learning.fingerprint import fingerprint
from pedseg.learning.inference import predict
from pedseg.learning.network import build
from pedseg.learning.plans import make_plan
from pedseg.learning.weights import get_weights
from pedseg.organs import organ


def test_volumes_are_those_of_the_contours(hospitals: Path, attribute_inference: ModuleType) -> None:
    dataset = read_dataset(hospitals / "Dataset900_Aa")
    plan = make_plan(fingerprint(dataset, dataset.split("train")), "lesson")
    scan, network = load_image(dataset.split("test")[0]), build(plan, 3)
    labels = predict(network, scan, plan)
    predicted = attribute_inference.predicted_volumes_ml(get_weights(network), plan, scan, ["Liver", "Spleen"])
    for name, volume in predicted.items():
        assert volume == pytest.approx(np.count_nonzero(labels == organ(name).id) * 6**3 / 1000)


def test_what_was_not_drawn_before_cannot_be_compared(attribute_inference: ModuleType) -> None:
    assert attribute_inference.volume_ratios({"a": 5.0, "b": 3.0}, {"a": 10.0, "b": 0.0}) == {"a": 0.5}
