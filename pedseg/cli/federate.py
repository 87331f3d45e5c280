"""`pedseg federate`: one federation alone, over any transport.

Leaves `federated.safetensors` and a checkpoint for each round in `--out`. The last line is `sha256`, a space, and
the digest of the global weights.
"""

from __future__ import annotations

import argparse
import sys

from pedseg.cli.arguments import add_settings, settings_from
from pedseg.federation.config import FederationConfig


def run(options: argparse.Namespace) -> int:
    """Run the federation alone and print the SHA-256 of its weights."""
    from tqdm import tqdm

    from pedseg.evaluation.virtual_data import virtual_centers
    from pedseg.federation import transports
    from pedseg.federation.run_folder import line_of, row_of

    config = settings_from(options, FederationConfig)
    if "data" not in options:
        for _ in tqdm(virtual_centers(config.data), desc="virtual children", unit="child", delay=2):
            pass
    rounds = transports.federate(config, options.transport)
    for round_ in tqdm(rounds, total=config.rounds, desc=f"federation, {options.transport}", unit="round"):
        tqdm.write(line_of(row_of(round_), config.rounds), file=sys.stderr)
        for problem in round_.refused:
            tqdm.write(str(problem), file=sys.stderr)
    print(*last_lines(config), sep="\n")
    return 0


def last_lines(config: FederationConfig) -> list[str]:
    """What a federation leaves: its weights, the epsilon that its noise has bought, and the SHA-256 of the weights."""
    from pedseg.federation.checkpoints import FINAL_MODEL, read_final_metadata
    from pedseg.federation.privacy.differential_privacy import DELTA, epsilon
    from pedseg.federation.run_folder import final_lines

    out = config.output_folder()
    lines = [*final_lines(out), f"weights: {out / FINAL_MODEL}"]
    if config.noise_multiplier:
        loss = f"epsilon {epsilon(config.noise_multiplier, config.rounds):.3g} at delta {DELTA:g}"
        lines.append(f"privacy of each center's weights over {config.rounds} rounds: {loss}")
    return [*lines, f"sha256 {read_final_metadata(out)['sha256']}"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    transports = ["in-process", "ray", "superlink", "mailbox"]
    parser.add_argument("--transport", choices=transports, default="in-process")
    add_settings(parser, FederationConfig, "data", *TRAINING)


TRAINING = (
    "profile", "network", "network_arguments", "orientation", "gin_probability", "rounds", "local_steps", "seed",
    "plan", "weights", "evaluate_every", "select", "patience", "track", "strategy", "head_average",
    "server_learning_rate", "server_momentum", "num_malicious", "max_update_norm", "max_norm_ratio", "max_share",
    "proximal_mu", "personal_weights", "clipping_norm", "noise_multiplier", "secure_aggregation", "out",
)  # fmt: skip
