"""Runs under asyncio: a cancelled task ends its run, and ends itself once all is on disk."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from fsm_orchestrator import (
    KeeperPool,
    Report,
    RunConfig,
    StageGiven,
    UsageError,
    load_report,
    resume_async,
    run_async,
)
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import events_of
from tests.support.patience import PATIENCE_SECONDS, wait_until

GATES: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
STAYS: Final = "echo $$ >pid; exec sleep 600"
STUBBORN: Final = "trap '' TERM; echo $$ >pid; while :; do sleep 0.05; done"


@pytest.fixture(autouse=True)
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what a run keeps of its environment below the test's directory."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def config(place: Path, script: str, **settings: Any) -> RunConfig:
    """Return a run of one stage in a separate directory."""
    place.mkdir(exist_ok=True)
    stage = StageGiven(bin="/bin/sh", args=("-c", script), cwd=str(place), **settings)
    return RunConfig(
        output_directory=place / "out",
        gates=GATES,
        stages={"manager": stage},
        skip_stages=("executor",),
    )


def left() -> tuple[set[str], set[int]]:
    """Return the threads and children of this process."""
    threads = {one.name for one in threading.enumerate()}
    return threads, {one.pid for one in psutil.Process().children(recursive=True)}


async def at_work(place: Path) -> int:
    """Wait until the stage is at work; return its pid."""
    file = place / "pid"
    for _ in range(int(PATIENCE_SECONDS * 100)):
        if file.exists() and (text := file.read_text()):
            return int(text)
        await asyncio.sleep(0.01)
    raise AssertionError("no stage has started")


def assert_interrupted(place: Path) -> None:
    """Assert that the record has the interruption and is whole; a resume would continue."""
    report = load_report(place / "out")
    assert (report.exit_code, report.terminal_state) == (143, "failed")
    assert [one.status for one in report.stage_executions] == ["interrupted"]
    assert report.finished_at is not None
    assert events_of(place / "out")[-1]["event"] == "run.ended"


def test_runs_at_once_leave_no_thread_and_no_process(tmp_path: Path) -> None:
    """More runs than the loop's executor has threads are at work in one loop, which stays free."""
    before, variable = left(), contextvars.ContextVar("request", default="none")
    heard = []

    async def main() -> list[Report]:
        variable.set("this one")

        def listener(_: Mapping[str, Any]) -> None:
            heard.append(variable.get())

        with KeeperPool() as keepers:
            runs = (
                run_async(config(tmp_path / str(n), "exit 0"), keepers=keepers, listener=listener)
                for n in range(4)
            )
            reports = await asyncio.gather(*runs)
            failed = await run_async(config(tmp_path / "5", "test $ORCHESTRATOR_ATTEMPT = 2"))
            again = RunConfig(output_directory=tmp_path / "5" / "out")
            return [*reports, failed, await resume_async(again)]

    reports = asyncio.run(main())
    assert [one.exit_code for one in reports] == [0, 0, 0, 0, 1, 0]
    assert set(heard) == {"this one"}
    assert left() == before


class SlowToHear(asyncio.SelectorEventLoop):
    """A loop that delays the threads that call into it."""

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        """Schedule the callback, and hold the caller."""
        handle = super().call_soon_threadsafe(callback, *args, context=context)
        time.sleep(0.05)
        return handle


def test_thread_has_ended_when_the_report_is_there(tmp_path: Path) -> None:
    """The thread has ended with the report, not only soon after."""

    async def main() -> int:
        await run_async(config(tmp_path, "exit 0"))
        return threading.active_count()

    before = threading.active_count()
    with asyncio.Runner(loop_factory=SlowToHear) as runner:
        assert runner.run(main()) == before


def test_cancelled_task_ends_when_its_run_is_on_record(tmp_path: Path) -> None:
    """A cancelled task waits for its record: alone, by group, by timeout, or with the loop."""
    before, pids = left(), []

    async def cancelled(place: Path) -> None:
        task = asyncio.create_task(run_async(config(place, STAYS)))
        pids.append(await at_work(place))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert_interrupted(place)

    async def in_a_group(place: Path) -> None:
        async def fails() -> None:
            pids.append(await at_work(place))
            raise ValueError

        async def together() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(run_async(config(place, STAYS)))
                group.create_task(fails())

        with pytest.raises(ExceptionGroup):
            await together()
        assert_interrupted(place)

    async def too_late(place: Path) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(None) as timeout:
                task = asyncio.create_task(at_work(place))
                task.add_done_callback(lambda _: timeout.reschedule(0))
                task.add_done_callback(lambda done: pids.append(done.result()))
                await run_async(config(place, STAYS))

        with pytest.raises(TimeoutError):
            await bounded()
        assert_interrupted(place)

    async def with_the_loop(place: Path) -> None:
        task = asyncio.create_task(run_async(config(place, STAYS)))
        pids.append(await at_work(place))
        assert not task.done()

    for way in (cancelled, in_a_group, too_late, with_the_loop):
        place = tmp_path / way.__name__
        asyncio.run(way(place))
        assert_interrupted(place)
    assert len(pids) == 4
    assert not any(map(psutil.pid_exists, pids))
    assert left() == before


def test_second_cancellation_ends_the_stage_at_once(tmp_path: Path) -> None:
    """A second cancellation acts as a second signal; the first one would wait ten minutes."""

    async def main() -> None:
        asked = config(tmp_path, STUBBORN, kill_grace_ms=600_000)
        task = asyncio.create_task(run_async(asked))
        await at_work(tmp_path)
        task.cancel()
        done, _ = await asyncio.wait((task,), timeout=0.2)
        assert not done
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert_interrupted(tmp_path)


def test_cancellation_that_comes_too_late_is_raised_all_the_same(tmp_path: Path) -> None:
    """The run is recorded as done; the task that waits for it is cancelled as requested."""

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def listener(event: Mapping[str, Any]) -> None:
            if event["event"] == "run.ended":
                cancelled = threading.Event()
                loop.call_soon_threadsafe(task.cancel)
                loop.call_soon_threadsafe(cancelled.set)
                cancelled.wait(PATIENCE_SECONDS)

        task = asyncio.create_task(run_async(config(tmp_path, "exit 0"), listener=listener))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert load_report(tmp_path / "out").exit_code == 0


def test_closed_coroutine_ends_its_run(tmp_path: Path) -> None:
    """The thread still records the end where there is no loop to wait in."""
    before = left()
    loop = asyncio.new_event_loop()
    waiting = run_async(config(tmp_path, STAYS))
    task = loop.create_task(waiting)
    loop.run_until_complete(at_work(tmp_path))
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is meant
    waiting.close()
    loop.close()
    wait_until(lambda: left() == before)
    assert_interrupted(tmp_path)


def test_what_is_raised_comes_out(tmp_path: Path) -> None:
    """Refusals, and errors of a listener that are no `Exception`, reach the caller."""

    def leaves(_: Mapping[str, Any]) -> None:
        raise GeneratorExit

    async def main(work: Awaitable[Report]) -> None:
        await work

    with pytest.raises(UsageError):
        asyncio.run(main(run_async(RunConfig(output_directory=tmp_path / "x", gates={"x": "y"}))))
    with pytest.raises(GeneratorExit):
        asyncio.run(main(run_async(config(tmp_path, "exit 0"), listener=leaves)))
    assert load_report(tmp_path / "out").exit_code == 1
