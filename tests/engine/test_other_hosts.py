"""Runs that an engine hands to another host, which lacks the first one's private state."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import CheckpointError, StageGiven, UsageError
from fsm_orchestrator.processes import table
from fsm_orchestrator.record.left_beside import LEFT_FILE
from tests.support.epoch_cases import (
    asked,
    begun,
    contents,
    continued,
    latest,
    shell,
    worker,
)
from tests.support.patience import wait_until

EVENTS = "orchestrator_events.jsonl"
CHECKPOINT = "orchestrator_checkpoint.json"
SECRET, SETTING = "hunter2-and-more", "a-value-of-a-setting"


class Hosts:
    """Two hosts that share the storage of a run."""

    def __init__(self, place: Path, patch: pytest.MonkeyPatch) -> None:
        self._place, self._patch = place, patch
        self.key = place / "key"
        self.key.write_bytes(os.urandom(32))
        self.key.chmod(0o600)
        self.run = place / "RUN"

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Work on a host with its own private state, boot and name."""
        there = os.uname_result((*os.uname()[:1], name, *os.uname()[2:]))
        with self._patch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(self.state(name)))
            patch.setattr(table, "_boot", lambda _: f"boot of {name}")
            patch.setattr(os, "uname", lambda: there)
            yield

    def state(self, name: str) -> Path:
        """Return where the private state of a host is."""
        return self._place / f"state-{name}"

    @property
    def keyed(self) -> dict[str, Any]:
        """The settings of each worker that shares the key."""
        return {"state_key_file": str(self.key)}


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    """Return two hosts."""
    return Hosts(tmp_path, monkeypatch)


def _stages(place: Path, **given: Any) -> dict[str, StageGiven]:
    return {
        "manager": shell("true", **given),
        "executor": shell("test -e go", cwd=str(place), **given),
    }


def _go(hosts: Hosts) -> None:
    (hosts.run.parent / "go").touch()


def test_shared_key_costs_no_closure(hosts: Hosts) -> None:
    """With a shared key the record is verified on every host, and the run can close."""
    with hosts.on("a"):
        assert begun(hosts.run, _stages(hosts.run.parent), **hosts.keyed).exit_code == 1
    _go(hosts)
    with hosts.on("b"):
        report = continued(hosts.run, 2, **hosts.keyed)
    assert report.closure_ready
    assert report.warnings == ()
    assert [one.status for one in report.stage_executions] == ["skipped", "success"]


def test_without_a_shared_key_there_is_a_doubt(hosts: Hosts) -> None:
    """Without a shared key the run is in doubt, and the warning says what prevents that."""
    with hosts.on("a"):
        begun(hosts.run, _stages(hosts.run.parent))
    _go(hosts)
    with hosts.on("b"):
        report = continued(hosts.run, 2)
    assert report.terminal_state == "done"
    assert not report.closure_ready
    (warning,) = report.warnings
    assert "kept with another key" in warning or "no private state" in warning
    assert "--state-key-file" in warning


def test_without_a_shared_key_nothing_is_lost_on_one_host(hosts: Hosts) -> None:
    """On one host the private state verifies the record without a shared key."""
    with hosts.on("a"):
        begun(hosts.run, _stages(hosts.run.parent))
        _go(hosts)
        report = continued(hosts.run, 2)
    assert report.closure_ready
    assert report.warnings == ()


def test_back_on_the_first_host_the_record_is_believed(hosts: Hosts) -> None:
    """A host whose knowledge of the run is behind does not report a rollback."""
    with hosts.on("a"):
        begun(hosts.run, _stages(hosts.run.parent), **hosts.keyed)
    with hosts.on("b"):
        assert continued(hosts.run, 2, **hosts.keyed).exit_code == 1
    _go(hosts)
    with hosts.on("a"):
        report = continued(hosts.run, 3, **hosts.keyed)
    assert report.closure_ready


@pytest.mark.parametrize("host", ["a", "b"])
def test_rollback_is_noticed(hosts: Hosts, host: str) -> None:
    """A rollback to an older record of the run is noticed, though all its lines are genuine."""
    with hosts.on("a"):
        begun(hosts.run, _stages(hosts.run.parent), **hosts.keyed)
        older = {name: (latest(hosts.run) / name).read_bytes() for name in (EVENTS, CHECKPOINT)}
        continued(hosts.run, 2, **hosts.keyed)
    for name, data in older.items():
        (latest(hosts.run) / name).write_bytes(data)
    before = {k: v for k, v in contents(latest(hosts.run)).items() if "report" not in k}
    with hosts.on(host), pytest.raises(CheckpointError, match="is not the one that was left"):
        continued(hosts.run, 3, **hosts.keyed)
    after = contents(latest(hosts.run))
    assert {name: after[name] for name in (EVENTS, CHECKPOINT)} == {
        name: before[name] for name in (EVENTS, CHECKPOINT)
    }


def test_lines_beside_are_proved_by_the_key(hosts: Hosts) -> None:
    """An edited line in the run's directory is ignored, because the key does not prove it."""
    with hosts.on("a"):
        begun(hosts.run, _stages(hosts.run.parent), **hosts.keyed)
    path = latest(hosts.run) / LEFT_FILE
    path.write_bytes(path.read_bytes().replace(b"true", b"nope").replace(b'"', b"'"))
    _go(hosts)
    with hosts.on("b"):
        assert continued(hosts.run, 2, **hosts.keyed).closure_ready


def test_same_values_again_are_the_same_values(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker can pass the same values again, as engines do with each request."""
    monkeypatch.setenv("TOKEN", SECRET)
    place = hosts.run.parent
    config = asked(hosts.run, stages=_stages(place, env={"SETTING": SETTING}, secrets=["TOKEN"]))
    with hosts.on("a"):
        begun(hosts.run, config.stages, **hosts.keyed)
    _go(hosts)
    with hosts.on("b"):
        report = continued(hosts.run, 2, stages=config.stages, **hosts.keyed)
    assert report.closure_ready
    assert report.warnings == ()


def test_other_values_are_refused(hosts: Hosts) -> None:
    """Another value for a completed stage is refused, as on one host."""
    place = hosts.run.parent
    with hosts.on("a"):
        begun(hosts.run, _stages(place, env={"SETTING": SETTING}), **hosts.keyed)
    _go(hosts)
    other = _stages(place, env={"SETTING": "another-value"})
    with hosts.on("b"), pytest.raises(UsageError, match="SETTING"):
        continued(hosts.run, 2, stages=other, **hosts.keyed)


def test_values_are_in_no_file_of_the_run(hosts: Hosts) -> None:
    """No file of the run has a value, neither in an epoch nor beside it."""
    place = hosts.run.parent
    with hosts.on("a"):
        begun(hosts.run, _stages(place, env={"SETTING": SETTING}), **hosts.keyed)
    for path in hosts.run.rglob("*"):
        if path.is_file():
            assert SETTING.encode() not in path.read_bytes(), path


def _private_files(hosts: Hosts, name: str) -> dict[str, bool]:
    """Return the private files on a host, and for each True if it has the value."""
    found = (hosts.state(name) / "fsm-orchestrator").glob("*.json")
    return {path.stem: SETTING in path.read_text() for path in found}


def test_each_epoch_has_a_private_file_of_its_own(hosts: Hosts) -> None:
    """Each epoch has its own private file with the known values, and obsolete ones are removed."""
    place = hosts.run.parent
    with hosts.on("a"):
        begun(hosts.run, _stages(place, env={"SETTING": SETTING}), **hosts.keyed)
        first = _private_files(hosts, "a")
        assert list(first.values()) == [True]
        continued(hosts.run, 2, **hosts.keyed)
        both = _private_files(hosts, "a")
        assert len(both) == 2
        assert both.items() > first.items()
        continued(hosts.run, 3, **hosts.keyed)
        assert len(_private_files(hosts, "a")) == 2
        _go(hosts)
        assert continued(hosts.run, 4, **hosts.keyed).closure_ready
        assert not any(_private_files(hosts, "a").values())


def test_unknown_values_are_asked_for_on_another_host(hosts: Hosts) -> None:
    """On another host the values of a stage that has yet to run must be given."""
    place = hosts.run.parent
    with hosts.on("a"):
        begun(hosts.run, _stages(place, env={"SETTING": SETTING}), **hosts.keyed)
    with hosts.on("b"), pytest.raises(UsageError, match="SETTING"):
        continued(hosts.run, 2, **hosts.keyed)


def test_open_attempt_of_another_host_counts_as_interrupted(hosts: Hosts) -> None:
    """A claim interrupts an open attempt of another host, and no local process is taken for it."""
    place = hosts.run.parent
    waiting = "touch began; while ! test -e go; do sleep 0.02; done"
    stages = {"manager": shell("true"), "executor": shell(waiting, cwd=str(place))}
    with hosts.on("a"):
        config = asked(hosts.run, stages=stages, **hosts.keyed)
        with worker(config, 1, 1, XDG_STATE_HOME=str(hosts.state("a"))) as process:
            wait_until((place / "began").exists)
            process.kill()
            process.communicate()
    _go(hosts)
    with hosts.on("b"):
        report = continued(hosts.run, 2, **hosts.keyed)
    assert report.closure_ready
    interrupted = report.earlier_invocations[0].stage_executions[-1]
    assert (interrupted.stage, interrupted.status.value) == ("executor", "interrupted")
