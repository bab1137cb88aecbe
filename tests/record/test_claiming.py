"""Claims of a run: what the next epoch takes from the last, and that a record always exists."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import (
    FencedError,
    OperationError,
    RunConfig,
    UsageError,
    claim_epoch,
    run,
)
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.epochs import drafts_of, epochs_of, latest_record
from fsm_orchestrator.disk.files import SystemCall
from fsm_orchestrator.errors import CheckpointError, TamperedError
from fsm_orchestrator.record import claiming
from fsm_orchestrator.vocabulary import Operation
from tests.support.epoch_cases import PASSING, begun, contents, continued, latest, shell
from tests.support.killed_at import killed_at

EVENTS = "orchestrator_events.jsonl"
FAILING = {"manager": shell("echo managed"), "executor": shell("echo tried; exit 1")}


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    """Return a run that has failed in its first epoch."""
    directory = tmp_path / "RUN"
    begun(directory, FAILING)
    return directory


def test_next_epoch_has_what_the_one_before_had(failed: Path) -> None:
    """The next epoch has the same record, except for its claimant and the lock."""
    before = contents(latest(failed))
    epoch = claim_epoch(failed, 2, 1)
    after = contents(epoch.directory)
    own = {"orchestrator_epoch.json", "orchestrator.lock"}
    assert {name: after[name] for name in before.keys() - own} == {
        name: before[name] for name in before.keys() - own
    }
    assert "orchestrator.lock" not in after
    assert latest_record(failed) == epoch.directory
    assert epoch.is_latest


def test_what_is_written_in_place_is_a_copy(failed: Path) -> None:
    """A file that is written in place is copied; a file that stays unchanged is linked."""
    first = latest(failed)
    second = claim_epoch(failed, 2, 1).directory
    for name, is_same in (
        (EVENTS, False),
        ("orchestrator_checkpoint.json", True),
        ("logs/executor.1.stdout.log", True),
    ):
        assert os.path.samefile(first / name, second / name) is is_same, name


def test_logs_of_open_attempts_are_copies(failed: Path) -> None:
    """The logs of open attempts are copied, because the previous holder may still write to them."""
    first = latest(failed)
    checkpoint = first / "orchestrator_checkpoint.json"
    checkpoint.write_text(
        checkpoint.read_text().replace(
            '"open_attempts":[]', '"open_attempts":[{"stage":"executor","attempt":1}]'
        )
    )
    (first / "logs" / "executor.2.stdout.log").write_text("of an attempt that is not known\n")
    second = claim_epoch(failed, 2, 1).directory
    for name, is_same in (("manager.1", True), ("executor.1", False), ("executor.2", False)):
        log = f"logs/{name}.stdout.log"
        assert os.path.samefile(first / log, second / log) is is_same, name


def test_torn_event_is_left_out(failed: Path) -> None:
    """An event that its writer has not finished is left out of the claim."""
    events = latest(failed) / EVENTS
    whole = events.read_bytes()
    with events.open("ab") as file:
        file.write(b'{"seq": ')
    epoch = claim_epoch(failed, 2, 1)
    assert (epoch.directory / EVENTS).read_bytes() == whole


@pytest.mark.parametrize(("number", "attempt"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_claim_that_is_not_later_is_fenced(failed: Path, number: int, attempt: int) -> None:
    """A claim that is not later than the latest, or is repeated, is fenced and leaves nothing."""
    claim_epoch(failed, 2, 2)
    before = contents(failed)
    with pytest.raises(FencedError, match=r"the latest is 000002\.000002"):
        claim_epoch(failed, number, attempt)
    assert contents(failed) == before
    assert drafts_of(failed) == []


def test_same_claim_is_refused_while_it_is_made(failed: Path) -> None:
    """A claim is refused while another with the same token is made."""
    (failed / "epochs" / ".draft-000002.000001").mkdir()
    with pytest.raises(FencedError, match="was claimed before"):
        claim_epoch(failed, 2, 1)
    epoch = claim_epoch(failed, 2, 2)
    assert epoch.is_latest
    assert drafts_of(failed) == []  # the draft of the unfinished claim is gone as well


@pytest.mark.parametrize(("number", "attempt"), [(0, 1), (1, 0), (1_000_000, 1), (1, -1)])
def test_numbers_have_their_bounds(tmp_path: Path, number: int, attempt: int) -> None:
    """A number out of bounds is refused, because names of epochs must sort in their order."""
    with pytest.raises(UsageError, match="from 1"):
        claim_epoch(tmp_path / "RUN", number, attempt)
    assert not (tmp_path / "RUN").exists()


def test_plain_record_is_refused(tmp_path: Path) -> None:
    """A claim of a run without an engine is refused."""
    config = RunConfig(output_directory=str(tmp_path), gates=PASSING, allow_empty=True)
    run(config)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match="no engine has"):
        claim_epoch(tmp_path, 1, 1)
    assert contents(tmp_path) == before


def test_file_is_refused(tmp_path: Path) -> None:
    """A claim is refused if a file is in the place of the run's directory."""
    (tmp_path / "RUN").write_text("")
    with pytest.raises(UsageError, match="is not a directory"):
        claim_epoch(tmp_path / "RUN", 1, 1)


def test_a_kill_leaves_the_old_epoch_or_the_new(failed: Path) -> None:
    """After a kill at any step, the next claim has the same record, and no draft is left."""
    before = contents(latest(failed))
    own = {"orchestrator_epoch.json", "orchestrator.lock"}
    step, number = 0, 1
    while True:
        step, number = step + 1, number + 1
        was_killed = killed_at(step, lambda: claim_epoch(failed, number, 1))  # noqa: B023 - at once
        after = contents(latest(failed))
        assert {k: v for k, v in after.items() if k not in own} == {
            k: v for k, v in before.items() if k not in own
        }, step
        if not was_killed:
            break
    assert step > 15
    assert drafts_of(failed) == []
    report = continued(failed, number + 1, stages={"executor": shell("exit 0")})
    assert report.closure_ready


def _failing(call: SystemCall, error: int) -> Callable[..., Any]:
    def perform(operation: SystemCall, function: Any, *args: Any, **kwargs: Any) -> Any:
        if operation is call:
            raise OSError(error, os.strerror(error))
        return function(*args, **kwargs)

    return perform


@pytest.mark.parametrize("call", [SystemCall.WRITE, SystemCall.RENAME, SystemCall.FSYNC])
def test_full_disk_leaves_the_old_epoch(
    failed: Path, monkeypatch: pytest.MonkeyPatch, call: SystemCall
) -> None:
    """A full disk leaves the old epoch; the error says what failed, where, and what to do."""
    before = latest(failed)
    with monkeypatch.context() as patch:
        patch.setattr(files, "perform", _failing(call, errno.ENOSPC))
        with pytest.raises(OperationError, match=r"cannot claim epoch 000002\.000001 of") as caught:
            claim_epoch(failed, 2, 1)
    assert caught.value.operation is Operation.EPOCH_CLAIM
    assert "next attempt" in caught.value.remedy
    assert latest(failed) == before
    assert claim_epoch(failed, 2, 2).is_latest
    assert drafts_of(failed) == []


def test_files_are_copied_where_they_are_not_linked(
    failed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without hard links, files are copied."""
    before = contents(latest(failed))
    monkeypatch.setattr(files, "perform", _failing(SystemCall.LINK, errno.EPERM))
    second = claim_epoch(failed, 2, 1).directory
    assert (
        contents(second)["orchestrator_checkpoint.json"] == before["orchestrator_checkpoint.json"]
    )
    assert (second / "orchestrator_checkpoint.json").stat().st_nlink == 1


def test_one_of_two_claims_wins(failed: Path) -> None:
    """Of concurrent claims the latest wins; an earlier one never follows a later one."""
    script = (
        "import sys; from fsm_orchestrator import claim_epoch, FencedError\n"
        "sys.stdin.readline()\n"
        "try: print(claim_epoch(sys.argv[1], 2, int(sys.argv[2])).is_latest)\n"
        "except FencedError: print('fenced')\n"
    )
    claimers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(failed), str(attempt)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for attempt in (1, 2, 2)
    ]
    for one in claimers:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.communicate()[0].strip() for one in claimers]
    assert [one.returncode for one in claimers] == [0, 0, 0]
    assert sorted(said[1:]) in (["True", "fenced"], ["False", "fenced"])
    assert epochs_of(failed)[-1] == "000002.000002"
    assert drafts_of(failed) == []


@pytest.mark.parametrize("is_shared", [True, False])
def test_latest_epoch_that_is_gone_is_noticed_where_it_was_claimed(
    tmp_path: Path, *, is_shared: bool
) -> None:
    """If the latest epoch is gone, a resume from the one before it must be accepted first."""
    directory, key = tmp_path / "RUN", tmp_path / "key"
    key.write_bytes(b"shared by all workers" * 2)
    key.chmod(0o600)
    given: dict[str, Any] = {"state_key_file": str(key)} if is_shared else {}
    begun(directory, FAILING, **given)
    continued(directory, 2, stages=FAILING, **given)
    shutil.rmtree(latest(directory))
    passing = {"executor": shell("exit 0")}
    for number in (3, 4):
        with pytest.raises(TamperedError, match=r"events\.jsonl was cut short") as caught:
            continued(directory, number, stages=passing, **given)
    [digest] = re.findall(r"--accept-record ([0-9a-f]{64})", caught.value.remedy)
    report = continued(directory, 5, stages=passing, accept_record=digest, **given)
    assert report.terminal_state == "done"


@pytest.mark.parametrize("how", ["empty", "copied", "file"])
def test_epoch_that_nobody_claimed_is_not_gone_on_from(failed: Path, how: str) -> None:
    """A claim refuses an epoch that a stage or a person made, and starts nothing."""
    first, made = latest(failed), failed / "epochs" / "000001.000009"
    if how == "copied":
        shutil.copytree(first, made)
    elif how == "empty":
        made.mkdir()
    else:
        made.touch()
    with pytest.raises(CheckpointError, match=r"000001\.000009 is named like .* nobody"):
        claim_epoch(failed, 2, 1)
    made.rename(failed / "moved-away")
    assert drafts_of(failed) == []
    assert continued(failed, 2, stages={"executor": shell("exit 0")}).closure_ready


def test_later_epoch_of_another_run_there_is_not_missed(failed: Path) -> None:
    """A later epoch of a removed run is not missed in a new run in the same place."""
    continued(failed, 2, stages=FAILING)
    shutil.rmtree(failed)
    begun(failed, FAILING)
    assert continued(failed, 2, stages={"executor": shell("exit 0")}).closure_ready


def test_old_epochs_are_removed(failed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old epochs are removed, except for the newest ones and the one that the record names."""
    monkeypatch.setattr(claiming, "EPOCHS_KEPT", 3)
    for number in range(2, 9):
        claim_epoch(failed, number, 1)
    assert epochs_of(failed) == [f"00000{one}.000001" for one in (1, 6, 7, 8)]
    report = continued(failed, 9, stages={"executor": shell("exit 0")})
    assert report.closure_ready
    continued(failed, 10)
    assert epochs_of(failed) == ["000008.000001", "000009.000001", "000010.000001"]


def test_a_thousand_events_are_claimed(tmp_path: Path) -> None:
    """A claim takes over a thousand events, and the run continues after them."""
    run_directory = tmp_path / "RUN"
    lines = "i=0; while [ $i -lt 1000 ]; do echo $i; i=$((i+1)); done; exit 1"
    begun(run_directory, {"executor": shell(lines)}, log_output=True, skip_stages=("manager",))
    assert (latest(run_directory) / EVENTS).read_bytes().count(b"\n") > 1000
    report = continued(run_directory, 2, stages={"executor": shell("exit 0")})
    assert report.closure_ready
