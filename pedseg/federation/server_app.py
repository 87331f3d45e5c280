"""The Flower ServerApp: what the coordinator of a federation does when Flower runs it."""

from __future__ import annotations

import logging

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from pedseg.federation.config import FederationConfig
from pedseg.federation.rounds import train_rounds

app = ServerApp()
log = logging.getLogger("flwr.pedseg")  # below Flower's logger: goes where its log goes


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train all rounds, write `federated.safetensors` under `out`, and log the SHA-256 of the weights."""
    digest = ""
    for round_ in train_rounds(grid, FederationConfig.from_run_config(context.run_config)):
        digest = round_.sha256
        log.info("round %d: loss %.4f", round_.number, round_.train_loss)
        for problem in round_.refused:
            log.warning("round %d: %s", round_.number, problem)
    log.info("sha256 %s", digest)
