"""The Flower ServerApp: what the coordinator of a federation does when Flower runs it."""

from __future__ import annotations

import logging

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from pedseg.federation.checkpoints import save_final_model
from pedseg.federation.config import FederationConfig
from pedseg.federation.rounds import train_rounds

app = ServerApp()
log = logging.getLogger("flwr.pedseg")  # below Flower's logger: goes where its log goes


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train all rounds, write `federated.safetensors` under `out`, and log the SHA-256 of the weights."""
    config, last = FederationConfig.from_run_config(context.run_config), None
    for last in train_rounds(grid, config):
        log.info("round %d: loss %.4f", last.number, last.train_loss)
        for problem in last.refused:
            log.warning("round %d: %s", last.number, problem)
    assert last is not None
    save_final_model(last, config.out)
    log.info("sha256 %s", last.sha256)
