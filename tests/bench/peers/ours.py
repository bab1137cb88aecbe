"""Two stages with fsm-orchestrator: each run in its own directory, each transition durable."""

from __future__ import annotations

from pathlib import Path

from fsm_orchestrator import KeeperPool, RunConfig, run
from tests.bench.peers.rate import asked, tell

wanted = asked()
GATES = {"policy": "allow", "ci": "success", "review": "approved"}

with KeeperPool() as keepers:

    def once(number: int) -> None:
        """Make a run."""
        config = RunConfig(
            output_directory=Path(wanted.directory, f"out{number}"),
            gates=GATES,
            stages={"manager": {"bin": wanted.true}, "executor": {"bin": wanted.true}},
        )
        if not run(config, keepers=keepers).closure_ready:
            raise RuntimeError("a run is not done")

    tell(wanted, once)
