"""Records histories of workflows, one of each course that a run can take under Temporal.

`python -m tests.tools.workflow_histories DIRECTORY` makes the directory, and a file for each course
in it, with a real server, real workers and real runs. Recorded histories stay in the tests: each
later version must replay them, since the next worker replays workflows that run. So record into a
new directory when the workflow can take a course that it could not take before.

Nothing of the machine is kept: its paths, its name and its processes are replaced by neutral ones.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final

from temporalio.client import Client, WorkflowFailureError

from tests.support.patience import PATIENCE_SECONDS
from tests.support.temporal_runs import PASSING, Runs
from tests.support.temporal_server import connected, own_server
from tests.support.temporal_workers import Worker, at_work

FOLDER: Final = "/srv/fleet"
"""The directory that the recorded runs report."""
WORKER: Final = "worker"
"""The name that the recorded workers and clients report."""
_PROCESS: Final = re.compile(r"\d+@[^\s\"]+")
_SOON: Final = {"manager": 0.05, "executor": 0.05}
_MISSING: Final = {gate: value for gate, value in PASSING.items() if gate != "review"}


class Stage:
    """The means of recording a course: a server, runs, and two workers that are not started."""

    def __init__(self, folder: Path, address: str, client: Client, name: str) -> None:
        self.client = client
        self.runs = Runs(folder, name)
        self.go = folder / "go"
        self.workers = [
            Worker(folder / f"host-{number}", address, name, *self.runs.worker_options(4))
            for number in (1, 2)
        ]


async def done_at_once(stage: Stage, run_id: str) -> None:
    """Record a run that nothing stops."""
    with at_work(stage.workers[0]):
        await stage.runs.submitted(stage.client, run_id, stage.runs.asked("request", _SOON))
        await stage.runs.stand(stage.client, run_id)


async def blocked_signal_done(stage: Stage, run_id: str) -> None:
    """Record a run that is blocked, refuses a wrong signal, and continues after a right one."""
    request = stage.runs.asked("request", _SOON, gates=_MISSING)
    with at_work(stage.workers[0]):
        handle = await stage.runs.submitted(stage.client, run_id, request)
        await stage.runs.waits(stage.client, run_id)
        await handle.execute_update("continue_run", {"review": "changes_requested"})
        await stage.runs.waits(stage.client, run_id, number=2)
        await handle.execute_update("continue_run", {"review": "approved"})
        await stage.runs.stand(stage.client, run_id)


async def retried_after_kill(stage: Stage, run_id: str) -> None:
    """Record a run whose worker is killed, and that another one takes."""
    first, second = stage.workers
    request = stage.runs.asked("request", {"manager": stage.go, "executor": 0.05})
    with at_work(first):
        await stage.runs.submitted(stage.client, run_id, request)
        await stage.runs.ledger.until_begun(run_id, "manager")
        first.kill()
    with at_work(second):
        await stage.runs.ledger.until_begun(run_id, "manager", times=2)
        stage.go.touch()
        await stage.runs.stand(stage.client, run_id)


async def shut_down_gone_on(stage: Stage, run_id: str) -> None:
    """Record a run whose worker is asked to end, and that another one takes at once."""
    first, second = stage.workers
    request = stage.runs.asked("request", {"manager": stage.go, "executor": 0.05})
    with at_work(first):
        await stage.runs.submitted(stage.client, run_id, request)
        await stage.runs.ledger.until_begun(run_id, "manager")
        await asyncio.to_thread(first.terminate)
    with at_work(second):
        await stage.runs.ledger.until_begun(run_id, "manager", times=2)
        stage.go.touch()
        await stage.runs.stand(stage.client, run_id)


async def failed_retried_stopped(stage: Stage, run_id: str) -> None:
    """Record a run that fails, resumes once on its own, waits, is resumed, and is stopped."""
    request = stage.runs.of_program("request", "/bin/false")
    with at_work(stage.workers[0]):
        terms = {"retries": 1, "retry_seconds": 0.1}
        handle = await stage.runs.submitted(stage.client, run_id, request, **terms)
        await stage.runs.waits(stage.client, run_id, number=2)
        await handle.execute_update("resume")
        await stage.runs.waits(stage.client, run_id, number=3)
        await handle.execute_update("stop")
        await stage.runs.stand(stage.client, run_id)


async def waited_in_vain(stage: Stage, run_id: str) -> None:
    """Record a run that is blocked, and for which nobody does anything."""
    request = stage.runs.asked("request", _SOON, gates=_MISSING)
    with at_work(stage.workers[0]):
        await stage.runs.submitted(stage.client, run_id, request, wait_seconds=0.2)
        await stage.runs.stand(stage.client, run_id)


async def cancelled(stage: Stage, run_id: str) -> None:
    """Record a run whose workflow is cancelled while a stage works."""
    request = stage.runs.asked("request", {"manager": stage.go})
    with at_work(stage.workers[0]):
        handle = await stage.runs.submitted(stage.client, run_id, request)
        await stage.runs.ledger.until_begun(run_id, "manager")
        await handle.cancel()
        try:
            await asyncio.wait_for(handle.result(), PATIENCE_SECONDS)
        except WorkflowFailureError:
            return


async def handed_over(stage: Stage, run_id: str) -> None:
    """Record a run whose second stage belongs to another queue."""
    other = f"{stage.runs.queue}-other"
    request = stage.runs.asked("request", _SOON, queues={"executor": other})
    second = stage.workers[1].of_queue(other)
    with at_work(stage.workers[0], second):
        await stage.runs.submitted(stage.client, run_id, request)
        await stage.runs.stand(stage.client, run_id)


Course = Callable[[Stage, str], Coroutine[Any, Any, None]]
COURSES: Final[tuple[Course, ...]] = (
    done_at_once,
    blocked_signal_done,
    retried_after_kill,
    shut_down_gone_on,
    failed_retried_stopped,
    waited_in_vain,
    cancelled,
    handed_over,
)


async def recorded(course: Course, folder: Path, address: str) -> Mapping[str, Any]:
    """Let a run take a course; return the history of its workflow as JSON."""
    client = await connected(address)
    run_id = course.__name__.replace("_", "-")
    await course(Stage(folder, address, client, run_id), run_id)
    history = await client.get_workflow_handle(run_id).fetch_history()
    document: dict[str, Any] = neutral(history.to_json_dict(), {str(folder): FOLDER})
    return document


def neutral(value: Any, places: Mapping[str, str]) -> Any:
    """Return a part of a history without traces of the machine."""
    match value:
        case dict():
            return {key: _neutral_entry(key, one, places) for key, one in value.items()}
        case list():
            return [neutral(one, places) for one in value]
        case str():
            for place, name in places.items():
                value = value.replace(place, name)
            value = value.replace(os.uname().nodename, WORKER) if "@" in value else value
            return _PROCESS.sub(WORKER, value)
        case _:
            return value


def _neutral_entry(key: str, value: Any, places: Mapping[str, str]) -> Any:
    if key == "data" and isinstance(value, str):
        return base64.b64encode(neutral(content(value), places).encode()).decode()
    return neutral(value, places)


def content(data: str) -> str:
    """Return the content of a payload: all of this program's are JSON.

    Raises:
        ValueError: it is something else.
    """
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise ValueError(f"not a payload: {data}") from error


def main(directory: Path) -> None:
    """Record every course into a new directory."""
    directory.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with own_server(folder / "server") as server:
            for course in COURSES:
                place = folder / course.__name__
                history = asyncio.run(recorded(course, place, server.address))
                path = directory / f"{course.__name__}.json"
                path.write_text(json.dumps(history, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
