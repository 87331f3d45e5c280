"""The models of a study, and which weights file holds which of them, read from the weights' metadata."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import safetensors
from numpy.typing import NDArray

from pedseg.errors import input_error
from pedseg.evaluation.results import ModelKey
from pedseg.learning import inference
from pedseg.learning.network import Network
from pedseg.learning.plans import Plan
from pedseg.learning.weights import get_weights, load_network, sha256_of
from pedseg.phantoms.centers import CENTERS
from pedseg.scan import Scan
from pedseg.tables import LazyMapping


@dataclass(frozen=True)
class Model:
    """A model of a study: kind (local, centralized, federated; `_gin` behind it; a method), training centers, seed."""

    kind: str
    trained_on: tuple[str, ...]
    seed: int

    @property
    def name(self) -> str:
        """File name without suffix, for example `seed0_local_Polder`."""
        return f"seed{self.seed}_{self.model_key.file_name}"

    @property
    def stage(self) -> str:
        """What a progress bar calls its training."""
        return f"training: {self.kind}" + (f" {self.trained_on[0]}" if self.kind == "local" else "")

    @property
    def is_federated(self) -> bool:
        """Whether it is trained in a federation."""
        return not self.kind.startswith(("local", "centralized"))

    @property
    def model_key(self) -> ModelKey:
        """The model as the tables name it."""
        return ModelKey(self.kind, "+".join(self.trained_on))


@dataclass(frozen=True)
class TrainedModel:
    """A network with its plan, and which model of which seed it is."""

    network: Network
    plan: Plan
    key: ModelKey
    seed: int = 0

    def predict(self, image: Scan) -> NDArray:
        """The label map that the model predicts for a scan, on the scan's own grid."""
        return inference.predict(self.network, image, self.plan)


def read_identity(file: Path) -> tuple[ModelKey, int]:
    """Model and seed of a weights file, from its metadata; what the file is called does not matter."""
    with safetensors.safe_open(file, framework="numpy") as stream:
        metadata = stream.metadata() or {}
    try:
        return ModelKey(metadata["model"], metadata["trained_on"]), int(metadata["seed"])
    except (KeyError, ValueError) as error:
        text = "its metadata do not say which model of a study it is (model, trained_on, seed)."
        raise input_error("E-NO-IDENTITY", file, text, "Train the study again, or move the file away.") from error


def weight_files(study: Path, seed: int = 0) -> dict[ModelKey, Path]:
    """The weights of one seed in a study's folder, the federated model first, the others by their display names."""
    files = sorted([*study.glob("seed*.safetensors"), *study.glob("weights/seed*.safetensors")])
    identities = {file: read_identity(file) for file in files}
    chosen = {model_key: file for file, (model_key, own_seed) in identities.items() if own_seed == seed}
    return dict(sorted(chosen.items(), key=lambda item: (item[0].model != "federated", str(item[0]))))


def find_weights(study: Path, model: str, trained_on: str = "", seed: int = 0) -> Path:
    """The weights file of one model of a study: `find_weights(study, "local", "Polder")`, or the only `federated`."""
    for model_key, file in weight_files(study, seed).items():
        if model_key.model == model and trained_on in ("", model_key.trained_on):
            return file
    wanted = f"{model} {trained_on}".strip()
    raise input_error("E-NO-WEIGHTS", study, f"no weights of the model {wanted} are here.", "Give a study that has it.")


def load_model(file: Path) -> TrainedModel:
    """The model of a weights file, where it computes fastest."""
    return TrainedModel(*load_network(file), *read_identity(file))


def load_virtual_models(study: Path, seeds: int, kinds: Sequence[str] = ("local", "federated")) -> list[TrainedModel]:
    """The models of these kinds of a study of the virtual centers, of its first so many seeds.

    The centralized one has no hospital of its own to lose. Raises `PedsegInputError` without weights, and for a study
    of other hospitals, whose patients cannot be scanned again.
    """
    files = [item for seed in range(seeds) for item in sorted(weight_files(study, seed).items())]
    if not files:
        raise input_error("E-NO-WEIGHTS", study, "no weights of a study are here.", "Run `python3 run.py study` first.")
    others = sorted({key.trained_on for key, _ in files if key.model == "local"} - set(CENTERS))
    if others:
        text = f"it is a study of {', '.join(others)}, whose patients cannot be scanned again."
        raise input_error("E-OTHER-CENTERS", study, text, f"Give a study of {' and '.join(CENTERS)}.")
    return [load_model(file) for key, file in files if key.model in kinds]


def models_digest(models: Sequence[TrainedModel], *conditions: object) -> str:
    """A short hash of weights and of the conditions that they are tested under: with others the work starts anew."""
    weights = [(model.key, model.seed, sha256_of(get_weights(model.network))) for model in models]
    return hashlib.sha256(repr((weights, *conditions)).encode()).hexdigest()[:12]


K = TypeVar("K", bound=Hashable)


class LazyPredictions(LazyMapping[K, NDArray]):
    """Label maps of one scan by model, each predicted when it is first looked up, and only once.

    `orientations` says for single keys how the model meets patients on their side, where it is not as its plan says.
    """

    def __init__(self, image: Scan, files: Mapping[K, Path], orientations: Mapping[K, str] | None = None) -> None:
        self.files = files

        @cache
        def predict(key: K) -> NDArray:
            network, plan = load_network(files[key])
            plan = replace(plan, orientation=(orientations or {}).get(key, plan.orientation))
            return inference.predict(network, image, plan)

        super().__init__(files, predict)
