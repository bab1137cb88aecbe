"""Two stages with DBOS: a workflow of two steps for each run, its state in SQLite."""

from __future__ import annotations

import logging
from pathlib import Path

from dbos import DBOS, SetWorkflowID

from tests.bench.peers.rate import asked, spawned, tell

wanted = asked()
DBOS(
    config={
        "name": "stages",
        "system_database_url": f"sqlite:///{Path(wanted.directory, 'dbos.db')}",
        "run_admin_server": False,
        "enable_otlp": False,
        "log_level": logging.getLevelName(logging.ERROR),
    }
)


@DBOS.step()
def stage() -> int:
    """Run a stage."""
    return spawned(wanted.true)


@DBOS.workflow()
def stages() -> int:
    """Run both stages."""
    return stage() + stage()


def once(number: int) -> None:
    """Make a run."""
    with SetWorkflowID(f"run{number}"):
        stages()


DBOS.launch()
try:
    tell(wanted, once)
finally:
    DBOS.destroy()
