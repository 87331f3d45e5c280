"""Attribute inference from a single update: let the updated network segment a scan of the attacker's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from pedseg.learning.inference import predict
from pedseg.learning.network import build
from pedseg.learning.plans import Plan
from pedseg.learning.weights import set_weights
from pedseg.organs import organ
from pedseg.scan import Scan


def predicted_volumes_ml(
    weights: Mapping[str, NDArray], plan: Plan, scan: Scan, organs: Iterable[str]
) -> dict[str, float]:
    """The volume in milliliters that a network segments of each organ on one scan."""
    network = build(plan)
    set_weights(network, dict(weights))
    labels = predict(network, scan, plan)
    voxel_ml = float(np.prod(scan.spacing_mm)) / 1000
    return {name: float(np.count_nonzero(labels == organ(name).id)) * voxel_ml for name in organs}


def volume_ratios(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """Volumes after an update as a share of those before it, for each organ that was segmented before."""
    return {name: after[name] / volume for name, volume in before.items() if volume}
