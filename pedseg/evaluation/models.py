"""Which models an experiment trains, and how long: settings and names, before anything is run."""

from __future__ import annotations

from dataclasses import dataclass

from pedseg.evaluation.results import ModelKey

DEFAULTS = {"lesson": (10, 85), "clinic": (200, 1250)}  # rounds; steps a round and center


@dataclass(frozen=True)
class Settings:
    """What is run: profile, seeds, rounds of the federation, training steps a round and center.

    `orientation` as in `plans.make_plan`; "" is the profile's own. `gin` is the share of the training samples that
    random convolutions change: of all models of the study, or of those alone whose kind ends in `_gin`.
    """

    profile: str = "lesson"
    seeds: tuple[int, ...] = (0,)
    rounds: int = DEFAULTS["lesson"][0]
    steps: int = DEFAULTS["lesson"][1]
    orientation: str = ""
    gin: float = 0.0

    @classmethod
    def of(
        cls, profile: str, *, seeds: int = 1, rounds: int | None = None, steps: int | None = None,
        orientation: str = "", gin: float = 0.0,
    ) -> Settings:  # fmt: skip
        """The profile's settings, where nothing else is asked for."""
        usual = DEFAULTS[profile]
        return cls(profile, tuple(range(seeds)), rounds or usual[0], steps or usual[1], orientation, gin)


@dataclass(frozen=True)
class Model:
    """A model of a study: its kind (local, centralized, federated; `_gin` behind it), whom it learns from, its seed."""

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
    def together(self) -> bool:
        """Whether it learns in a federation."""
        return self.kind.startswith("federated")

    @property
    def model_key(self) -> ModelKey:
        """The model as the tables name it."""
        return ModelKey(self.kind, "+".join(self.trained_on))
