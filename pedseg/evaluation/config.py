"""The configuration of a study, and the models that it trains."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pedseg.federation.config import Config, FederationConfig, setting

if TYPE_CHECKING:
    from pedseg.evaluation.results import ModelKey

OUT = Path("runs/study")
FEDGIN_TEST_PATIENTS = 8  # for each way of scanning


@dataclass(frozen=True)
class StudyConfig(Config):
    """The settings of a study: those of its federation, which its local and centralized models share, and its own.

    With a GIN probability, all models of the study are trained with random convolutions, or those alone whose kind
    ends in `_gin`.
    """

    federation: FederationConfig = FederationConfig()
    seeds: int = setting(1, "repeat with seeds 0 to N-1", least=1)
    single_phase: bool = setting(False, "virtual centers in their usual contrast phase only")
    resolution: str = setting(
        "", "voxels of the virtual centers; default: the profile's own", choices=("", "lesson", "clinic", "coarse")
    )
    extra_patients: int = setting(0, "so many more training patients in each virtual center")
    filters: int = setting(0, "of the first stage of the clinic's network; 0: 32, as nnU-Net")

    def summary(self) -> dict[str, Any]:
        """What a study's summary.json tells of its settings."""
        names = ("profile", "rounds", "local_steps", "orientation", "gin_probability")
        federation = asdict(self.federation)
        return {"seeds": list(range(self.seeds)), **{name: federation[name] for name in names}}


# CT meets MR; GIN is for the models alone whose kind ends in `_gin`.
FEDGIN = StudyConfig(FederationConfig(rounds=20, local_steps=100, gin_probability=0.5), seeds=3)


@dataclass(frozen=True)
class Model:
    """A model of a study: kind (local, centralized, federated; `_gin` behind it), training centers and seed."""

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
        return self.kind.startswith("federated")

    @property
    def model_key(self) -> ModelKey:
        """The model as the tables name it."""
        from pedseg.evaluation.results import ModelKey

        return ModelKey(self.kind, "+".join(self.trained_on))
