"""Two versions of the program at work: the older leaves what it does not know to the newer."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Final

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client

from fsm_orchestrator.temporal.shapes import SHAPES_VERSION
from tests.support.command import COMMAND, RUN_COMMAND_LINE
from tests.support.patience import PATIENCE_SECONDS
from tests.support.temporal_runs import Runs
from tests.support.temporal_server import connected, why_not
from tests.support.temporal_workers import Worker, at_work

pytestmark = [pytest.mark.one_in(2), pytest.mark.skipif(bool(why_not()), reason=why_not())]

AS_NEWER: Final = f"""
import sys
from fsm_orchestrator.temporal import shapes
shapes.SHAPES_VERSION += 1
{RUN_COMMAND_LINE}
sys.exit(run_command_line(sys.argv[1:]))
"""
"""The command as a newer version of this program, with data of another shape."""
NEWER: Final = (sys.executable, "-c", AS_NEWER)
_SOON: Final = {"manager": 0.05, "executor": 0.05}


async def has_failed(client: Client, run_id: str) -> None:
    """Wait until a worker has reported that it cannot take the workflow."""
    handle = client.get_workflow_handle(run_id)
    async for event in handle.fetch_history_events(wait_new_event=True):
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            return


def test_run_of_a_newer_program_is_left_to_a_newer_worker(
    tmp_path: Path, temporal_address: str
) -> None:
    """An older worker reports such a run and does no harm; a newer one makes it."""
    runs, run_id = Runs(tmp_path / "shared", "newer"), "newer"
    request = runs.asked("request", _SOON)
    older, newer = (
        Worker(
            tmp_path / name, temporal_address, runs.queue, *runs.worker_options(2), command=command
        )
        for name, command in (("older", COMMAND), ("newer", NEWER))
    )

    async def course() -> None:
        client = await connected(temporal_address)
        with at_work(older):
            await runs.submitted(client, run_id, request, schema_version=SHAPES_VERSION + 1)
            await asyncio.wait_for(has_failed(client, run_id), PATIENCE_SECONDS)
            assert not runs.directory(run_id).exists()
            with at_work(newer):
                runs.assert_done(run_id, await runs.stand(client, run_id))
                assert newer.terminate() == 0
            assert older.terminate() == 0
        assert len(runs.ledger.attempts(run_id)) == 2

    asyncio.run(course())


def test_run_of_an_older_program_is_made_by_a_newer_worker(
    tmp_path: Path, temporal_address: str
) -> None:
    """A run that was requested before an upgrade of the workers is made as requested."""
    runs, run_id = Runs(tmp_path / "shared", "older"), "older"
    request = runs.asked("request", _SOON)

    async def course() -> None:
        client = await connected(temporal_address)
        await runs.submitted(client, run_id, request)
        runs.assert_done(run_id, await runs.stand(client, run_id))

    options = runs.worker_options(1)
    newer = Worker(tmp_path / "newer", temporal_address, runs.queue, *options, command=NEWER)
    with at_work(newer):
        asyncio.run(course())
