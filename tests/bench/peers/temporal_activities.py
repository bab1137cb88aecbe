"""Two stages as bare activities of Temporal: a worker that keeps no record and contains nothing.

`python -m tests.bench.peers.temporal_activities ADDRESS QUEUE SLOTS` serves until it is ended.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

from tests.bench.peers import BARE_WORKFLOW


@activity.defn
def stage(true: str) -> int:
    """Run a stage."""
    import subprocess  # noqa: PLC0415 - the sandbox of workflows reads this module as well

    return subprocess.run([true], check=True).returncode


@workflow.defn(name=BARE_WORKFLOW)
class BareStages:
    """Both stages, one after the other."""

    @workflow.run
    async def run(self, true: str) -> int:
        """Run them; return the sum of their exit codes."""
        limit = timedelta(minutes=1)
        first = await workflow.execute_activity(stage, true, start_to_close_timeout=limit)
        return first + await workflow.execute_activity(stage, true, start_to_close_timeout=limit)


async def serve(address: str, queue: str, slots: int) -> None:
    """Do the work that a queue has."""
    client = await Client.connect(address)
    with ThreadPoolExecutor(slots) as threads:
        worker = Worker(
            client,
            task_queue=queue,
            workflows=[BareStages],
            activities=[stage],
            activity_executor=threads,
            max_concurrent_activities=slots,
        )
        await worker.run()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], sys.argv[2], int(sys.argv[3])))
