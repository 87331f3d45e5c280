"""When a federation ends, and which of its rounds is the final model: early stopping, the best round, more rounds.

A round is judged by the mean DSC over the validation cases of all centers, where these are evaluated
(`evaluate_every`); of equal ones the first is the best. Early stopping (Prechelt 1998) ends a run after `patience`
evaluations without a better one; the learning rate goes on as planned until then, it does not know of the end.

A run that has ended goes on with more `rounds`. Its learning rate has fallen to nearly nothing, so the schedule of the
recipe is played once more over the added rounds: a warm restart (Loshchilov and Hutter 2017). The rounds with which a
schedule ends are the phases of a run: (10,) at first, (10, 15) after five more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pedseg.errors import input_error
from pedseg.federation.checkpoints import Round, checkpoint_file, read_checkpoint
from pedseg.federation.config import FederationConfig


def plan_phases(newest: Round | None, config: FederationConfig) -> tuple[int, ...]:
    """The phases of a run of `config.rounds` whose last checkpoint is `newest`; None where it begins.

    Raises `PedsegInputError` where another number of rounds is asked for in the middle of a schedule, or a lower one.
    """
    if newest is None:
        return (config.rounds,)
    if newest.phases[-1] == config.rounds:
        return newest.phases
    if is_over(newest, newest.phases, config) and newest.number < config.rounds:
        return (*(end for end in newest.phases if end < newest.number), newest.number, config.rounds)
    problem = f"{newest.number} of {newest.phases[-1]} rounds lie here, and {config.rounds} are asked for."
    remedy = f"End that run (--rounds {newest.phases[-1]}), then ask for more; or give another folder (--out)."
    raise input_error("E-ROUNDS", config.output_folder(), problem, remedy)


def phase_of(number: int, phases: tuple[int, ...]) -> tuple[int, int]:
    """The rounds after which the learning-rate schedule of a round began and will end."""
    return max((end for end in phases if end < number), default=0), min(end for end in phases if end >= number)


def is_over(round_: Round, phases: tuple[int, ...], config: FederationConfig) -> bool:
    """Whether a round is the last of its run: as planned, or because of `patience`, counted from the last restart."""
    if round_.number >= phases[-1]:
        return True
    gained = max(round_.best_round, *phases[:-1], 0)
    every = config.evaluate_every
    return bool(config.patience) and round_.number // every - gained // every >= config.patience


def with_best(round_: Round, before: Round) -> Round:
    """A round that knows which one is the best so far: itself, or that of the round before."""
    dsc = round_.validation_dsc
    if dsc is not None and (not before.best_round or dsc > before.best_dsc):
        return replace(round_, best_round=round_.number, best_dsc=dsc)
    return replace(round_, best_round=before.best_round, best_dsc=before.best_dsc)


def check_scored(round_: Round, config: FederationConfig) -> None:
    """Raise `PedsegInputError` if a round shall be chosen, and at the first evaluation no center has sent a score."""
    chooses = config.patience or config.select == "best"
    if chooses and not round_.best_round and round_.number % config.evaluate_every == 0:
        problem = "no center has sent a validation score, so no round can be chosen."
        remedy = "Ask the centers for validation cases and consent, or leave --select and --patience out."
        raise input_error("E-NO-SCORE", f"round {round_.number}", problem, remedy)


def chosen_round(last: Round, folder: Path, identity: str, config: FederationConfig) -> Round:
    """The round whose weights are the final model, by `config.select`; refused if its checkpoint is lost."""
    if config.select == "last" or last.best_round == last.number:
        return last
    file = checkpoint_file(folder, last.best_round)
    if chosen := read_checkpoint(file, identity):
        return chosen
    problem = f"round {last.best_round} is the best, and its checkpoint is lost."
    if not last.best_round:
        problem = "no round has a validation score, so none is the best."
    raise input_error("E-BEST-ROUND", file, problem, "Take the last round (--select last), or begin in another folder.")
