"""The words of a federation through a mailbox on the command line: `keys`, `coordinate`, `join`.

Each is a generator of the lines that its user reads. What is heavy is imported when it runs.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from pathlib import Path


def keys(options: argparse.Namespace) -> Iterator[str]:
    """Make a member's keys, and print the fingerprints to compare over the phone."""
    from pedseg.federation import keys as room

    public = options.keys / f"{options.name}{room.PUBLIC}"
    if not public.exists():
        room.own_keys(options.keys, options.name)
        yield f"keep to yourself: {options.keys / f'{options.name}{room.PRIVATE}'}"
        yield f"send to the others: {public}"
    for name in room.known_members(options.keys):
        yield f"{name:<20} {room.read_member(options.keys, name).fingerprint}"


def _keys(own: argparse.ArgumentParser) -> None:
    own.add_argument("name", help="the center's name, or: coordinator")
    _key_folder(own)


def coordinate(options: argparse.Namespace) -> Iterator[str]:
    """Lead a federation through a mailbox: a folder, a WebDAV server or an S3-compatible store."""
    from pedseg.federation.mailbox import end_to_end
    from pedseg.federation.settings import DEFAULTS

    given = {"rounds": options.rounds, "steps-per-round": options.steps}
    config = {**DEFAULTS, **{key: value for key, value in given.items() if value is not None}}
    config |= {"profile": options.profile, "seed": options.seed, "evaluate-every": options.evaluate_every}
    config |= {
        "strategy": options.strategy,
        "hostile-centers": options.hostile,
        "largest-update": options.largest_update,
        **privacy_settings(options),
    }
    played = end_to_end.coordinate(
        options.url, options.out, config, keys=options.keys, centers=options.center,
        wait_seconds=3600 * options.wait, least=options.least, poll_seconds=options.poll,
    )  # fmt: skip
    digest = ""
    for round_ in played:
        digest = round_.sha256
        yield f"round {round_.number} of {config['rounds']}: loss {round_.train_loss:.4f}"
        yield from map(str, round_.refused)
    yield f"weights: {options.out / 'federated.safetensors'}"
    if options.noise:
        yield privacy_line(options.noise, int(str(config["rounds"])))
    yield f"sha256 {digest}"


def privacy_settings(options: argparse.Namespace) -> dict[str, float | bool]:
    """What the options of `privacy_options` say, as settings of a federation."""
    return {"clip": options.clip, "noise": options.noise, "masks": options.masks}


def privacy_line(noise: float, rounds: int) -> str:
    """What noise has bought, in one line."""
    from pedseg.federation.privacy.noise import epsilon

    return f"privacy of each center's weights over {rounds} rounds: epsilon {epsilon(noise, rounds):.3g} at delta 1e-5"


def privacy_options(own: argparse.ArgumentParser, masks: str, told: str) -> None:
    """The options `--clip`, `--noise` and the one for masks."""
    own.add_argument("--clip", type=float, default=0.0, metavar="L2", help="shorten each update to this; 0: as it is")
    own.add_argument("--noise", type=float, default=0.0, metavar="Z", help="noise of Z times that bound on each weight")
    own.add_argument(masks, action="store_true", help=told)


def _coordinate(own: argparse.ArgumentParser) -> None:
    _mailbox(own)
    privacy_options(own, "--masks", "see the sum of the updates alone; three centers at least")
    own.add_argument("--profile", choices=["lesson", "clinic"], default="lesson")
    own.add_argument("--rounds", type=int)
    own.add_argument("--steps", type=int, help="training steps a round and center")
    own.add_argument("--seed", type=int, default=0)
    own.add_argument("--center", action="append", default=[], metavar="NAME", help="once for each, in their order")
    own.add_argument("--wait", type=float, default=math.inf, metavar="HOURS", help="a round waits; default: for ever")
    own.add_argument("--least", type=int, default=1, metavar="N", help="then it goes on with this many centers")
    own.add_argument("--strategy", default="average", help="average, median, trimmed-mean or krum; default: average")
    own.add_argument("--hostile", type=int, default=1, metavar="N", help="centers that a robust strategy shall stand")
    own.add_argument("--largest-update", type=float, default=0.0, metavar="L2", help="refuse larger ones; 0: none")
    own.add_argument("--evaluate-every", type=int, default=0, metavar="K", help="rounds; 0: never")
    own.add_argument("--out", type=Path, default=Path("runs/coordinate"))


def join(options: argparse.Namespace) -> Iterator[str]:
    """Take part in a federation through a mailbox, as one center with its own data."""
    from pedseg.federation.mailbox import end_to_end
    from pedseg.federation.privacy.ledger import Ledger

    state = options.state or Path("runs/join") / options.center
    own = {"keys": options.keys, "poll_seconds": options.poll, "least_cases": options.least_cases}
    own |= {"clip": options.clip, "noise": options.noise, "masks_only": options.masks_only}
    for event in end_to_end.join(options.url, options.center, options.data, state, **own):
        yield str(event.finding or f"round {event.round}: {event.what} {event.kind}".strip())
    loss = Ledger(state / "ledger.tsv").privacy_loss()
    if math.isfinite(loss):
        yield f"privacy of all weights in {state / 'ledger.tsv'}: epsilon {loss:.3g} at delta 1e-5"
    yield f"weights: {state / 'federated.safetensors'}"


def _join(own: argparse.ArgumentParser) -> None:
    _mailbox(own)
    privacy_options(own, "--masks-only", "send no update without masks")
    own.add_argument("--center", required=True, metavar="NAME")
    own.add_argument("--data", type=Path, required=True, help="folder of this center's data set")
    own.add_argument("--least-cases", type=int, default=2, metavar="N", help="say nothing of fewer training cases")
    own.add_argument("--state", type=Path, help="folder of its memory; default: runs/join/NAME")


def _mailbox(own: argparse.ArgumentParser) -> None:
    own.add_argument("url", help="a folder, https://… (WebDAV) or s3://bucket/prefix")
    own.add_argument("--poll", type=float, default=5.0, metavar="SECONDS", help="longest pause between two looks")
    _key_folder(own)


def _key_folder(own: argparse.ArgumentParser) -> None:
    own.add_argument("--keys", type=Path, default=Path("keys"), help="folder of the keys; default: keys")


VERBS: dict[Callable[[argparse.Namespace], Iterator[str]], Callable[[argparse.ArgumentParser], None]] = {
    keys: _keys,
    coordinate: _coordinate,
    join: _join,
}
