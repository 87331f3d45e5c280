"""What models predict on a patient of the case list: at once on a phantom, behind a gate on a scan of one's own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pedseg.evaluation.trained_models import LazyPredictions, weight_files
from pedseg.importing.predict_scans import predict_plausible
from pedseg.learning.weights import load_network, load_weights
from pedseg.scan import Scan
from pedseg.viewer.case_list import SIDE, ListedCase
from pedseg.viewer.failure_list import AsItLies

# The scan, the case, and whether the user wants what the gate refuses.
Predict = Callable[[Scan, ListedCase, Callable[[], bool]], Mapping[Hashable, NDArray]]


def study_predictions(study: Path) -> Predict:
    """What the models of a study predict on a case when looked up; on the side with and without reorientation."""
    models: dict[Hashable, Path] = {key: file for key, file in weight_files(study).items()}
    lying: dict[Hashable, Path] = {AsItLies(key): file for key, file in weight_files(study).items()}

    def predict(scan: Scan, case: ListedCase, anyway: Callable[[], bool]) -> Mapping[Hashable, NDArray]:
        if case.is_own:
            return GatedPredictions(scan, models, *case.origin, anyway)
        if case.key.kind != SIDE:
            return LazyPredictions(scan, models)
        return LazyPredictions(scan, models | lying, dict.fromkeys(models, "reorient") | dict.fromkeys(lying, "none"))

    return predict


def grid_note(predictions: Mapping[Hashable, NDArray], scan: Scan) -> str:
    """How the networks' contours come onto a scan whose voxels are not the networks' own; "" where they are."""
    files = predictions.files if isinstance(predictions, LazyPredictions | GatedPredictions) else {}
    spacing_mm = load_weights(next(iter(files.values())))[1].spacing_mm if files else scan.spacing_mm
    if np.allclose(spacing_mm, scan.spacing_mm, rtol=0.02):
        return ""
    theirs, own = (" × ".join(f"{mm:.2g}" for mm in spacing) for spacing in (spacing_mm, scan.spacing_mm))
    return f"The networks compute in voxels of {theirs} mm; their probabilities are interpolated to {own} mm here."


class GatedPredictions(Mapping[Hashable, NDArray]):
    """Label maps of a scan of one's own by model, each predicted when it is first looked up, if it is plausible.

    `anyway` says whether the user wants what the gate refuses; then `notes` says by model what was doubtful.
    """

    def __init__(
        self, scan: Scan, files: Mapping[Hashable, Path], path: Path, header: Mapping[str, Any],
        anyway: Callable[[], bool],
    ) -> None:  # fmt: skip
        self.scan, self.files, self.path, self.header, self.anyway = scan, files, path, header, anyway
        self.notes: dict[Hashable, str] = {}
        self._predicted: dict[Hashable, NDArray] = {}

    def __getitem__(self, key: Hashable) -> NDArray:
        if key not in self._predicted:
            given = (*load_network(self.files[key]), self.scan, self.path, self.header)
            labels, self.notes[key] = predict_plausible(*given, even_if_implausible=self.anyway())
            self._predicted[key] = labels.voxels
        return self._predicted[key]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)
