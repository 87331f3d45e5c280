"""The Flower ServerApp: what the coordinator of a federation does when Flower runs it."""

from __future__ import annotations

import logging

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from pedseg.federation.checkpoints import read_final_metadata
from pedseg.federation.config import FederationConfig
from pedseg.federation.rounds import train_rounds
from pedseg.federation.run_folder import final_lines, line_of, row_of

app = ServerApp()
log = logging.getLogger("flwr.pedseg")  # below Flower's logger: goes where its log goes


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train all rounds, write `federated.safetensors` under `out`, and log the SHA-256 of the weights."""
    config = FederationConfig.from_run_config(context.run_config)
    for round_ in train_rounds(grid, config):
        log.info("%s", line_of(row_of(round_), config.rounds))
        for problem in round_.refused:
            log.warning("round %d: %s", round_.number, problem)
    for line in final_lines(config.out) if config.out else ():
        log.info("%s", line)
    digest = read_final_metadata(config.out)["sha256"] if config.out else round_.sha256
    log.info("sha256 %s", digest)
