"""`pedseg federate`: one federation alone, over any transport."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pedseg.cli.arguments import add_privacy, add_training


def run(options: argparse.Namespace) -> int:
    """Run the federation alone and print the SHA-256 of its weights."""
    from tqdm import tqdm

    from pedseg.evaluation.study import DEFAULTS, VIRTUAL_DATA, virtual_centers
    from pedseg.federation import transports

    rounds = options.rounds or DEFAULTS[options.profile][0]
    steps = options.local_steps or DEFAULTS[options.profile][1]
    if options.data is None:
        for _ in tqdm(virtual_centers(), desc="virtual children", unit="child", delay=2):
            pass
    played = transports.federate(
        options.data or VIRTUAL_DATA, options.out, transport=options.transport, profile=options.profile,
        rounds=rounds, steps=steps, seed=options.seed, clip=options.clipping_norm, noise=options.noise_multiplier,
        masks=options.secure_aggregation,
    )  # fmt: skip
    digest = ""
    for round_ in tqdm(played, total=rounds, desc=f"federation, {options.transport}", unit="round"):
        digest = round_.sha256
        for problem in round_.refused:
            tqdm.write(str(problem), file=sys.stderr)
    print(f"weights: {options.out / 'federated.safetensors'}")
    if options.noise_multiplier:
        print(privacy_line(options.noise_multiplier, rounds))
    print(f"sha256 {digest}")
    return 0


def privacy_line(noise_multiplier: float, rounds: int) -> str:
    """The epsilon that the noise has bought, in one line."""
    from pedseg.federation.privacy.differential_privacy import epsilon

    spent = epsilon(noise_multiplier, rounds)
    return f"privacy of each center's weights over {rounds} rounds: epsilon {spent:.3g} at delta 1e-5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `pedseg federate`."""
    add_training(parser)
    transports = ["in-process", "ray", "superlink", "mailbox"]
    parser.add_argument("--transport", choices=transports, default="in-process")
    parser.add_argument("--seed", type=int, default=0)
    add_privacy(parser)
    secure = "the coordinator sees the sum of the updates alone"
    parser.add_argument("--secure-aggregation", action="store_true", help=secure)
    parser.add_argument("--out", type=Path, default=Path("runs/federation"))
