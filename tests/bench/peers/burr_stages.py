"""Two stages with Burr: an application for each run, its state saved in SQLite after each."""

from __future__ import annotations

import os
import threading
from pathlib import Path

os.environ["BURR_TELEMETRY_ENABLED"] = "false"  # before it is imported

from burr.core import ApplicationBuilder, State, action, default
from burr.core.persistence import SQLitePersister

from tests.bench.peers.rate import asked, spawned, tell

wanted = asked()
of_thread = threading.local()


@action(reads=[], writes=["manager"])
def manager(state: State) -> State:
    """Run the first stage."""
    return state.update(manager=spawned(wanted.true))


@action(reads=["manager"], writes=["executor"])
def executor(state: State) -> State:
    """Run the second stage."""
    return state.update(executor=spawned(wanted.true))


def persister() -> SQLitePersister:
    """Return the connection of this thread: one of SQLite is for one thread."""
    if not hasattr(of_thread, "persister"):
        path = str(Path(wanted.directory, "burr.db"))
        of_thread.persister = SQLitePersister.from_values(path, connect_kwargs={"timeout": 60})
        of_thread.persister.initialize()
    made: SQLitePersister = of_thread.persister
    return made


def once(number: int) -> None:
    """Make a run."""
    application = (
        ApplicationBuilder()
        .with_actions(manager=manager, executor=executor)
        .with_transitions(("manager", "executor", default))
        .with_entrypoint("manager")
        .with_state(State())
        .with_identifiers(app_id=f"run{number}")
        .with_state_persister(persister())
        .build()
    )
    application.run(halt_after=["executor"])


tell(wanted, once)
