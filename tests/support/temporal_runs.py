"""Governed runs for tests: requested, handed to Temporal, and checked against their invariants."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from fsm_orchestrator.disk.epochs import latest_record
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.temporal.shapes import TASK_SECONDS, WORKFLOW, RunSpec, Stand
from fsm_orchestrator.vocabulary import StageStatus
from tests.support.command import REPORT, read_json, tree_of
from tests.support.ledger import Ledger
from tests.support.patience import PATIENCE_SECONDS
from tests.support.schema_checks import assert_output_valid

if TYPE_CHECKING:
    from temporalio.client import Client, WorkflowHandle

PASSING: Final = {"policy": "allow", "ci": "success", "review": "approved"}
GATES: Final = {
    "policy": ["allow", "deny", "unknown"],
    "ci": ["success", "pending", "failure", "missing"],
    "review": ["approved", "changes_requested", "missing"],
}
STAGES: Final = ("manager", "executor")
HEARTBEAT_SECONDS: Final = 2.0
STAGE_MS_MAX: Final = 600_000
"""The longest time that a stage may work while it waits for a test."""


class Runs:
    """The runs of one test, on storage that all its workers reach.

    Attributes:
        folder: that storage.
        ledger: the notes of their stages.
        queue: the task queue on which they begin.
        key: the file of the key that all workers share.
    """

    def __init__(self, folder: Path, queue: str) -> None:
        self.folder, self.queue = folder, queue
        (folder / "runs").mkdir(parents=True)
        self.ledger = Ledger(folder / "ledger")
        self.key = folder / "key"
        self.key.write_bytes(b"shared by all workers" * 2)
        self.key.chmod(0o600)

    def directory(self, run_id: str) -> Path:
        """Return where a run is."""
        return self.folder / "runs" / run_id

    def asked(
        self,
        name: str,
        until: Mapping[str, float | Path],
        *flags: str,
        tick_ms: float = 20,
        gates: Mapping[str, str] = PASSING,
        queues: Mapping[str, str] = MappingProxyType({}),
        **settings: Any,
    ) -> Path:
        """Write the request for a run of proving stages, each of which works as `until` says."""
        settings = {"timeout_ms": STAGE_MS_MAX, **settings}
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        lines += ["[gates]", *(f"{gate} = {json.dumps(value)}" for gate, value in gates.items())]
        for stage, its_end in until.items():
            program, words = self.ledger.stage(its_end, *flags, tick_ms=tick_ms)
            lines += [f"[stage.{stage}]", f"bin = {json.dumps(program)}"]
            lines += [f"args = {json.dumps(words)}"]
            if stage in queues:
                lines += [f"task_queue = {json.dumps(queues[stage])}"]
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    def of_program(self, name: str, program: str) -> Path:
        """Write the request for a run whose stages are one program, without arguments."""
        lines = ["[gates]", *(f"{gate} = {json.dumps(value)}" for gate, value in PASSING.items())]
        for stage in STAGES:
            lines += [f"[stage.{stage}]", f"bin = {json.dumps(program)}"]
        path = self.folder / f"{name}.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    async def submitted(
        self, client: Client, run_id: str, request: Path, **terms: Any
    ) -> WorkflowHandle[Any, Stand]:
        """Hand a run over, as `temporal submit` does; return its workflow."""
        given: dict[str, Any] = {
            "task_queue": self.queue,
            "gates": GATES,
            "heartbeat_seconds": HEARTBEAT_SECONDS,
            "has_attributes": True,
            **terms,
        }
        spec = RunSpec(
            run_id=run_id,
            run_directory=str(self.directory(run_id)),
            request=str(request),
            **given,
        )
        return await client.start_workflow(
            WORKFLOW,
            spec,
            id=run_id,
            task_queue=spec.task_queue,
            task_timeout=timedelta(seconds=TASK_SECONDS),
            result_type=Stand,
        )

    async def stand(self, client: Client, run_id: str) -> Stand:
        """Wait until a run's workflow has ended; return its state then."""
        handle = client.get_workflow_handle(run_id, result_type=Stand)
        return await asyncio.wait_for(handle.result(), PATIENCE_SECONDS)

    async def waits(self, client: Client, run_id: str, number: int = 1) -> Stand:
        """Wait until a run waits for people after so many invocations; return its state."""
        handle = client.get_workflow_handle(run_id)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            stand: Stand = await handle.query("stands", result_type=Stand)
            if stand.number >= number and not stand.is_at_work:
                return stand
            assert time.monotonic() < deadline, stand
            await asyncio.sleep(0.02)

    def worker_options(self, runs_max: int) -> tuple[str, ...]:
        """Return the options of each worker of these runs."""
        return ("--jobs", str(runs_max), "--state-key-file", str(self.key))

    def report(self, run_id: str) -> dict[str, Any]:
        """Return the report of a run in its latest epoch."""
        return read_json(latest_record(self.directory(run_id)) / REPORT)

    def digest(self, run_id: str) -> str:
        """Return a digest of all that counts of a run: the name and content of its record."""
        record = latest_record(self.directory(run_id))
        content = hashlib.sha256(record.name.encode())
        for name, data in tree_of(record).items():
            content.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
        return content.hexdigest()

    def assert_done(self, run_id: str, stand: Stand) -> None:
        """Assert that a run is done, by its record, its engine and its stages alike."""
        record = latest_record(self.directory(run_id))
        assert stand.result is not None, stand
        assert (stand.result.outcome, stand.result.closure_ready) == ("done", True), stand
        assert stand.result.epoch == record.name, "the engine's last epoch is not the record"
        assert_output_valid(record)
        checkpoint = checkpoint_reader.load(record)  # this refuses a history that is no walk
        report = self.report(run_id)
        assert (report["run_id"], report["closure_ready"]) == (run_id, True), report
        attempts = self.ledger.attempts(run_id)
        order = [one.stage for one in attempts]
        assert order == sorted(order, key=STAGES.index), f"{run_id}: a stage again: {attempts}"
        for stage in STAGES:
            made = [one for one in checkpoint.executions if one.stage == stage]
            won = [one.attempt for one in made if one.status is StageStatus.SUCCESS]
            last = [one for one in attempts if one.stage == stage][-1]
            assert won == [last.number], f"{run_id}: {stage} has succeeded in {won}: {attempts}"
            assert last.ended, f"{run_id}: {stage} succeeded without its end: {attempts}"
        self.ledger.assert_one_at_a_time(run_id)
