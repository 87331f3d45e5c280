"""The configuration of a study, of CT meets MR (FedGIN), of methods compared, and of tests of finished studies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pedseg.federation.config import Config, FederationConfig, setting

OUT = Path("runs/study")


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
        "", "voxels of the virtual centers, if not the profile's own", choices=("", "lesson", "clinic", "coarse")
    )
    extra_patients: int = setting(0, "so many more training patients in each virtual center")
    minutes: int = setting(0, "train for about so many minutes on this machine, instead of --local-steps")
    filters: int = setting(0, "of the first stage of the clinic's network; 0: 32, as nnU-Net")

    def summary(self) -> dict[str, Any]:
        """What a study's summary.json tells of its settings."""
        names = ["profile", "rounds", "local_steps", "orientation", "gin_probability"]
        names += ["network", "network_arguments"] if self.federation.network else []
        federation = asdict(self.federation)
        return {"seeds": list(range(self.seeds)), **{name: federation[name] for name in names}}


# CT meets MR; GIN is for the models alone whose kind ends in `_gin`.
FEDGIN = StudyConfig(FederationConfig(rounds=20, local_steps=50, gin_probability=0.5), seeds=3)
FEDGIN_MODELS = ("local", "centralized_gin", "federated", "federated_gin")
# Training patients of Polder (CT) and Fjord (MR).
FEDGIN_SCENARIOS = {"limited-1:1": (6, 6), "limited-1:2": (12, 6), "limited-1:5": (30, 6), "complete": (30, 30)}
FEDGIN_TEST_PATIENTS = 8  # for each way of scanning

# Methods of federated learning compared on coarse voxels: settings beside those of federated averaging, with the
# strengths that are tried on validation patients. `home_steps` are trained at each center after the federation.
METHODS_STUDY = StudyConfig(FederationConfig(rounds=10, local_steps=25), seeds=3, resolution="coarse")
Candidates = tuple[dict[str, float | str], ...]
METHODS: dict[str, Candidates] = {
    "fedprox": ({"proximal_mu": 0.01}, {"proximal_mu": 0.1}),
    "fedavgm": tuple({"strategy": "fedavgm", "server_momentum": momentum} for momentum in (0.3, 0.6)),
    "fedadam": tuple({"strategy": "fedadam", "server_learning_rate": rate} for rate in (0.03, 0.06)),
    "scaffold": ({"strategy": "scaffold"},),
    "fedbn": ({"personal_weights": "norms"},),
    "fedper": ({"personal_weights": "head"},),
    "fine-tuned": ({"home_steps": 25}, {"home_steps": 75}),
}
# Kinds of difference between two hospitals: training patients of each.
METHODS_SCENARIOS = {"study": (30, 30), "single-phase": (30, 30), "unequal": (30, 6)}

# A finished study tested again: test patients of each center, and the first so many of its seeds.
SHIFT = {"patients": 30, "seeds": 1}
LARGE_COHORT = {"patients": 150, "seeds": 3}
