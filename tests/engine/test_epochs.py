"""Runs in epochs: handed on as one run, and out of reach for earlier holders."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from fsm_orchestrator import (
    FencedError,
    RunConfig,
    StageGiven,
    UsageError,
    claim_epoch,
    resume,
    run,
)
from fsm_orchestrator.config.notice import Notice
from fsm_orchestrator.model.told_ends import ToldEnd
from fsm_orchestrator.processes import leftovers
from tests.support.epoch_cases import asked, begun, contents, continued, latest, shell, worker
from tests.support.patience import PATIENCE_SECONDS

WAITING = "touch began; while test -e held; do sleep 0.02; done"


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.005)


def _stages(place: Path) -> dict[str, Any]:
    return {"manager": shell("echo managed"), "executor": shell(WAITING, cwd=str(place))}


def _killed_in_executor(place: Path) -> Path:
    """Return a run whose worker was killed while its executor was at work."""
    directory = place / "RUN"
    (place / "held").touch()
    with worker(asked(directory, stages=_stages(place)), 1, 1) as process:
        _until((place / "began").exists)
        process.kill()
        process.communicate()
    (place / "held").unlink()
    return directory


def test_run_is_handed_on_after_a_kill(tmp_path: Path) -> None:
    """After a kill, complete stages are skipped, and the begun attempt counts as interrupted."""
    directory = _killed_in_executor(tmp_path)
    report = continued(directory, 2)
    assert report.closure_ready
    assert report.warnings == ()
    assert [one.stage for one in report.stage_executions if one.status == "skipped"] == ["manager"]
    assert [one.attempt for one in report.stage_executions if one.stage == "executor"] == [2]
    interrupted = report.earlier_invocations[0].stage_executions[-1]
    assert (interrupted.stage, interrupted.status.value) == ("executor", "interrupted")
    assert report.epoch == "000002.000001"
    assert [one.epoch for one in report.earlier_invocations] == ["000001.000001"]


def test_stages_are_told_of_run_and_epoch(tmp_path: Path) -> None:
    """Stages get the run's own directory and its epoch in their environment."""
    directory = tmp_path / "RUN"
    told = 'echo "$ORCHESTRATOR_OUTPUT_DIR $ORCHESTRATOR_EPOCH"'
    begun(directory, {"manager": shell(told), "executor": shell(f"{told}; exit 1")})
    continued(directory, 2, stages={"executor": shell(told)})
    logs = latest(directory) / "logs"
    for name, epoch in (("manager.1", 1), ("executor.1", 1), ("executor.2", 2)):
        said = (logs / f"{name}.stdout.log").read_text()
        assert said == f"{directory} 00000{epoch}.000001\n"


def test_epoch_is_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run without an engine that is started inside a stage has no epoch."""
    monkeypatch.setenv("ORCHESTRATOR_EPOCH", "000001.000001")
    stages = {"executor": shell("echo ${ORCHESTRATOR_EPOCH-none}")}
    run(asked(tmp_path / "OUT", stages=stages, skip_stages=("manager",)))
    assert (tmp_path / "OUT/logs/executor.1.stdout.log").read_text() == "none\n"


@pytest.mark.parametrize("name", ["10", "1.5", "20260101", "000001.1"])
def test_directory_that_is_called_epochs_is_no_run(tmp_path: Path, name: str) -> None:
    """A plain output directory below one named `epochs` is not an engine's run."""
    output = tmp_path / "epochs" / name
    told = "echo $ORCHESTRATOR_OUTPUT_DIR ${ORCHESTRATOR_EPOCH-none}"
    report = run(asked(output, stages={"executor": shell(told)}, skip_stages=("manager",)))
    assert (output / "logs/executor.1.stdout.log").read_text() == f"{output} none\n"
    assert report.epoch is None


def test_event_and_records_name_the_epoch(tmp_path: Path) -> None:
    """The event and the records of an engine's run name the epoch; those of a plain run do not."""
    begun(tmp_path / "RUN", {}, allow_empty=True)
    run(asked(tmp_path / "OUT", allow_empty=True))
    for place, named in ((latest(tmp_path / "RUN"), "000001.000001"), (tmp_path / "OUT", None)):
        lines = (place / "orchestrator_events.jsonl").read_text().splitlines()
        started = next(one for one in map(json.loads, lines) if one["event"] == "run.started")
        checkpoint = json.loads((place / "orchestrator_checkpoint.json").read_text())
        report = json.loads((place / "orchestrator_run_report.json").read_text())
        for said in (started, report, checkpoint["invocations"][0]):
            assert said.get("epoch") == named
            assert ("epoch" in said) is (named is not None)


def test_zombie_writes_nothing_that_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped worker that wakes up after the run was finished elsewhere changes nothing."""
    monkeypatch.setattr(leftovers, "KEEPER_SECONDS_MAX", 0.1)  # its keeper waits for it
    directory = tmp_path / "RUN"
    (tmp_path / "held").touch()
    env = {"value": "of the setting"}
    stages = {
        "manager": shell("echo managed"),
        "executor": shell(WAITING, cwd=str(tmp_path), env=env),
    }
    with worker(asked(directory, stages=stages), 1, 1) as zombie:
        try:
            _until((tmp_path / "began").exists)
            os.kill(zombie.pid, signal.SIGSTOP)
            (tmp_path / "held").unlink()
            report = continued(directory, 2, stages={"executor": shell("sleep 0.05", env=env)})
            assert report.closure_ready
            before = contents(latest(directory))
        finally:
            os.kill(zombie.pid, signal.SIGCONT)
        said, _ = zombie.communicate(timeout=PATIENCE_SECONDS)
    assert "claimed 000001.000001" in said
    assert contents(latest(directory)) == before
    report = continued(directory, 3)
    assert report.closure_ready
    assert [one for one in report.warnings if "other settings" not in one] == []


def test_zombie_reaches_no_log_of_the_next_epoch(tmp_path: Path) -> None:
    """The output of a zombie's stage goes to a log that the next epoch does not have."""
    directory = tmp_path / "RUN"
    (tmp_path / "held").touch()
    noisy = f"echo first; {WAITING}; echo second"
    stages = {"manager": shell("echo managed"), "executor": shell(noisy, cwd=str(tmp_path))}
    with worker(asked(directory, stages=stages), 1, 1) as process:
        _until((tmp_path / "began").exists)
        log = latest(directory) / "logs" / "executor.1.stdout.log"
        _until(lambda: log.read_text() == "first\n")
        os.kill(process.pid, signal.SIGSTOP)  # it would end its stage
        try:
            epoch = claim_epoch(directory, 2, 1)
            before = contents(epoch.directory)
            (tmp_path / "held").unlink()
            _until(lambda: log.read_text() == "first\nsecond\n")
        finally:
            os.kill(process.pid, signal.SIGCONT)
        process.communicate(timeout=PATIENCE_SECONDS)
    assert contents(epoch.directory) == before


def test_end_that_was_overtaken_is_told_to_nobody(tmp_path: Path) -> None:
    """An end that another epoch overtook is neither notified nor returned to the caller."""
    directory, told = tmp_path / "RUN", tmp_path / "told"
    notice = Notice(on=(ToldEnd.DONE,), command=("touch", str(told)))
    env = {"VALUE": "of the setting"}
    stages = {"executor": shell("true", env=env)}
    config = asked(directory, stages=stages, skip_stages=("manager",), notify=(notice,))
    epoch = claim_epoch(directory, 1, 1)

    def overtake(event: Any) -> None:
        if event["event"] == "run.ended":
            claim_epoch(directory, 2, 1)

    with pytest.raises(FencedError, match="latest is 000002"):
        run(config, epoch=epoch, listener=overtake)
    assert not told.exists()
    assert claim_epoch(directory, 3, 1).is_latest


def test_epoch_that_was_overtaken_is_refused(tmp_path: Path) -> None:
    """An epoch that was overtaken is refused, and its files stay unchanged."""
    directory = tmp_path / "RUN"
    first = claim_epoch(directory, 1, 1)
    claim_epoch(directory, 1, 2)
    with pytest.raises(FencedError, match=r"the latest is 000001\.000002"):
        run(asked(directory, allow_empty=True), epoch=first)
    assert sorted(contents(first.directory)) == ["orchestrator_epoch.json"]


def test_epoch_of_another_run_is_refused(tmp_path: Path) -> None:
    """An epoch of another run is refused."""
    epoch = claim_epoch(tmp_path / "RUN", 1, 1)
    with pytest.raises(UsageError, match="the epoch is of"):
        run(asked(tmp_path / "OTHER", allow_empty=True), epoch=epoch)


@pytest.mark.parametrize("is_resume", [True, False])
def test_run_of_an_engine_is_refused_without_an_epoch(tmp_path: Path, is_resume: bool) -> None:
    """A person cannot resume an engine's run without an epoch."""
    directory = tmp_path / "RUN"
    begun(directory, {}, allow_empty=True)
    before = contents(directory)
    with pytest.raises(UsageError, match="belongs to an engine") as caught:
        run(asked(directory, resume=is_resume))
    assert "temporal signal" in caught.value.remedy
    assert ("another output directory" in caught.value.remedy) is not is_resume
    with pytest.raises(UsageError, match="belongs to an engine"):
        run(asked(latest(directory), resume=is_resume))
    assert contents(directory) == before


def test_new_run_where_one_has_begun_is_refused(tmp_path: Path) -> None:
    """A new run is refused where an engine's run exists; `resume_or_start` continues that run."""
    directory = tmp_path / "RUN"
    begun(directory, {}, allow_empty=True)
    epoch = claim_epoch(directory, 2, 1)
    with pytest.raises(UsageError, match="has begun"):
        run(asked(directory, allow_empty=True), epoch=epoch)
    report = run(asked(directory, resume_or_start=True), epoch=epoch)
    assert [one.epoch for one in report.earlier_invocations] == ["000001.000001"]


@pytest.mark.parametrize("name", ["epochs/x.json", "epochs/000001.000001/x.json"])
def test_artifact_among_the_epochs_is_refused(tmp_path: Path, name: str) -> None:
    """An artifact path inside an epoch is refused, since the next invocation could not find it."""
    directory = tmp_path / "RUN"
    stage = shell("true", expected_artifacts=(str(directory / name),))
    with pytest.raises(UsageError, match="among the run's epochs") as caught:
        begun(directory, {"manager": stage, "executor": shell("true")})
    assert str(directory / "manager") in caught.value.remedy


def _leaving(directory: Path) -> StageGiven:
    """Return a stage that leaves an artifact in the run's directory."""
    place = '"$ORCHESTRATOR_OUTPUT_DIR/manager"'
    script = f"mkdir -p {place}; echo '{{}}' >{place}/a.json"
    return shell(script, expected_artifacts=(str(directory / "manager" / "a.json"),))


def test_artifacts_outlive_their_epoch(tmp_path: Path) -> None:
    """Artifacts are in the run's directory, where every invocation finds them."""
    directory = tmp_path / "RUN"
    begun(directory, {"manager": _leaving(directory), "executor": shell("exit 1")})
    report = continued(directory, 2, stages={"executor": shell("true")})
    assert report.closure_ready
    assert [one for one in report.warnings if "other settings" not in one] == []


def test_renamed_run_goes_on(tmp_path: Path) -> None:
    """A run with another path, as by another mount, finds its files where they are now."""
    directory = tmp_path / "RUN"
    begun(directory, {"manager": _leaving(directory), "executor": shell("exit 1")})
    renamed = directory.rename(tmp_path / "RENAMED")
    report = continued(renamed, 2, stages={"executor": shell("true")})
    assert report.terminal_state == "done"
    assert report.closure_ready


def test_resume_in_the_same_epoch_is_at_home(tmp_path: Path) -> None:
    """The holder of a run can resume it in the same epoch as often as needed."""
    directory = tmp_path / "RUN"
    epoch = claim_epoch(directory, 1, 1)
    stages = {"manager": shell("true"), "executor": shell("exit 1")}
    run(asked(directory, stages=stages), epoch=epoch)
    again = RunConfig(output_directory=str(directory), stages={"executor": shell("true")})
    report = resume(again, epoch=epoch)
    assert report.closure_ready
    assert [one for one in report.warnings if "other settings" not in one] == []


def _is_in(process: psutil.Process, directory: Path) -> bool:
    """Return True if a process works in a directory."""
    with contextlib.suppress(psutil.Error):
        return process.cwd() == str(directory)
    return False


def test_what_a_killed_worker_left_alive_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next attempt on the same machine ends the processes of a killed worker."""
    monkeypatch.setattr(leftovers, "KEEPER_SECONDS_MAX", 0.1)
    directory = tmp_path / "RUN"
    (tmp_path / "held").touch()
    with worker(asked(directory, stages=_stages(tmp_path)), 1, 1) as process:
        try:
            _until((tmp_path / "began").exists)
            os.kill(process.pid, signal.SIGSTOP)  # its keeper continues
            report = continued(directory, 2, stages={"executor": shell("true")})
            assert report.closure_ready
            there = [one for one in psutil.process_iter() if _is_in(one, tmp_path)]
            assert there == []
        finally:
            process.kill()
            process.communicate()
