"""A resume from a record that was changed is refused: each file, each kind of change."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from fsm_orchestrator import RunConfig
from fsm_orchestrator.errors import CheckpointError, OrchestratorError, TamperedError
from fsm_orchestrator.preparation.prepare import prepare
from fsm_orchestrator.processes import table
from fsm_orchestrator.record import left_file
from fsm_orchestrator.record.record_check import record_digest
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    accepting,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
)
from tests.sweeps.checkpoint_damage import at, places, with_value

FILES: Final = (CHECKPOINT, REPORT, EVENTS)
SETTING: Final = ("--executor-env", "MODE=open")


class Place(NamedTuple):
    """A directory with a run in `out`, and the files that the run left at two times."""

    cwd: Path
    older: dict[str, bytes]
    latest: dict[str, bytes]

    @property
    def out(self) -> Path:
        """The output directory."""
        return self.cwd / "out"

    @property
    def private(self) -> Path:
        """The run's private file."""
        (path,) = (self.cwd / "state/fsm-orchestrator").glob("*.json")
        return path

    def put(self, files: dict[str, bytes]) -> None:
        """Write the files in place."""
        for name, data in files.items():
            (self.out / name).write_bytes(data)

    def refusal(self) -> str:
        """Return why a resume is refused, or an empty text; write nothing."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(self.cwd / "state"))
            try:
                prepare(RunConfig(output_directory=self.out, resume=True))
            except OrchestratorError as error:  # the record's location is checked first
                return str(error)
        return ""


def files_of(output: Path) -> dict[str, bytes]:
    """Return the control files of a run."""
    return {name: (output / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module", name="failed")
def failed_run(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Return a run that was blocked, then failed, with a private file and an artifact."""
    cwd = tmp_path_factory.mktemp("left")
    artifact = ("--manager-expected-artifact", "plan.json")
    scripts = stages("echo '[1]' > plan.json", "exit 4")
    assert orchestrate("out", *scripts, *artifact, *SETTING, cwd=cwd).code == 3
    older = files_of(cwd / "out")
    assert orchestrate("out", "--resume", *PASSING, cwd=cwd).code == 1
    return Place(cwd, older, files_of(cwd / "out"))


@pytest.fixture(name="place")
def place_as_left(failed: Place) -> Iterator[Place]:
    """Yield the failed run as it was left, and restore it afterwards."""
    private = failed.private.read_bytes()
    yield failed
    failed.private.write_bytes(private)
    for name in FILES:
        path = failed.out / name
        if path.is_dir():
            path.rmdir()
    failed.put(failed.latest)


def other(value: Any) -> Any:
    """Return another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return f"{value[:-1]}{'0' if value[-1:] != '0' else '1'}" if value else "x"
        case None:
            return 1
        case _:
            raise AssertionError(value)


def test_as_it_was_left_it_is_gone_on_from(place: Place) -> None:
    """A resume from an untouched record is not refused."""
    assert place.refusal() == ""


def test_no_leaf_of_a_checkpoint_can_be_edited(place: Place) -> None:
    """A record with any value changed is refused, for itself or for what was left."""
    document = json.loads(place.latest[CHECKPOINT])
    leaves = [one for one in places(document) if not isinstance(at(document, one), dict | list)]
    assert len(leaves) > 300
    path, taken = place.out / CHECKPOINT, []
    for leaf in leaves:
        edited = with_value(document, leaf, other(at(document, leaf)))
        path.write_text(json.dumps(edited, separators=(",", ":"), ensure_ascii=False) + "\n")
        if not place.refusal():
            taken.append(leaf)
    assert taken == []


def _cut_line(place: Place) -> None:
    lines = place.latest[EVENTS].splitlines(keepends=True)
    (place.out / EVENTS).write_bytes(b"".join(lines[:-1]))


def _edit_line(place: Place) -> None:
    (place.out / EVENTS).write_bytes(place.latest[EVENTS].replace(b'"info"', b'"INFO"', 1))


def _edit_last_line(place: Place) -> None:
    before, _, after = place.latest[EVENTS].rpartition(b'"exit_code": 1')
    (place.out / EVENTS).write_bytes(before + b'"exit_code": 0' + after)


def _take_line_out(place: Place) -> None:
    lines = place.latest[EVENTS].splitlines(keepends=True)
    (place.out / EVENTS).write_bytes(b"".join(lines[:4] + lines[5:]))


def _add_line(place: Place) -> None:
    last = json.loads(place.latest[EVENTS].splitlines()[-1])
    forged = json.dumps({**last, "seq": last["seq"] + 1}).encode()
    (place.out / EVENTS).write_bytes(place.latest[EVENTS] + forged + b"\n")


def _edit_private(place: Place) -> None:
    place.private.write_bytes(place.private.read_bytes().replace(b"open", b"evil"))


def _edit_report(place: Place) -> None:
    edited = place.latest[REPORT].replace(b'"closure_ready": false', b'"closure_ready": true')
    (place.out / REPORT).write_bytes(edited)


def _replace_events_by_link(place: Place) -> None:
    (place.out / EVENTS).unlink()
    (place.cwd / "elsewhere").write_bytes(place.latest[EVENTS].replace(b"warning", b"WARNING", 1))
    os.link(place.cwd / "elsewhere", place.out / EVENTS)
    (place.out / EVENTS).write_bytes(place.latest[EVENTS].replace(b'"info"', b'"INFO"', 1))
    (place.cwd / "elsewhere").unlink()


CHANGES: Final[dict[str, tuple[Callable[[Place], None], str]]] = {
    "all of an older record": (lambda one: one.put(one.older), f"{EVENTS} was cut short"),
    "an older checkpoint": (
        lambda one: one.put({CHECKPOINT: one.older[CHECKPOINT]}),
        f"{CHECKPOINT} is an older one, put back",
    ),
    "an older log": (
        lambda one: one.put({EVENTS: one.older[EVENTS]}),
        f"{EVENTS} was cut short",
    ),
    "an older report": (
        lambda one: one.put({REPORT: one.older[REPORT]}),
        f"{REPORT} was changed",
    ),
    "an edited report": (_edit_report, f"{REPORT} was changed"),
    "a log that is gone": (lambda one: (one.out / EVENTS).unlink(), f"{EVENTS} was removed"),
    "a log without its last line": (_cut_line, f"{EVENTS} was cut short"),
    "an edited line": (_edit_line, f"{EVENTS} was changed (line "),
    "an edited last line": (_edit_last_line, f"{EVENTS} was changed (line "),
    "a line taken out": (_take_line_out, f"{EVENTS} was changed (line 5 does not continue"),
    "a line added": (_add_line, "is not chained to the one before it"),
    "a log edited by a hard link": (_replace_events_by_link, f"{EVENTS} was changed (line "),
    "an edited private file": (_edit_private, "the run's private file was changed"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_changed_is_named_and_refused(change: str, place: Place) -> None:
    """A refusal names the file, the kind of change, and the digest that accepts it."""
    do, said = CHANGES[change]
    do(place)
    assert said in place.refusal()


def test_refusal_starts_nothing_and_its_remedy_works(tmp_path: Path) -> None:
    """A refused resume exits 1, runs nothing, leaves the files, and reports failed.

    With the record accepted by its digest, the run continues; its records say that it was accepted.
    """
    script = "echo $MODE >> told; exit 4"
    given = (*PASSING, *stages("exit 0", script), *SETTING)
    assert orchestrate("out", *given, cwd=tmp_path).code == 1
    place = Place(tmp_path, {}, files_of(tmp_path / "out"))
    path = place.out / CHECKPOINT
    edited = place.latest[CHECKPOINT].replace(b"exit 4", b"exit 0")
    path.write_bytes(edited)
    events = place.latest[EVENTS]
    for command in (("out", "--resume"), ("plan", "out", "--resume"), ("out", "--resume")):
        ended = orchestrate(*command, cwd=tmp_path)
        assert ended.code == 1
        assert f"--accept-record {record_digest(place.out)}" in ended.stderr, (command, ended)
    assert (path.read_bytes(), (place.out / EVENTS).read_bytes()) == (edited, events)
    assert (tmp_path / "told").read_text() == "open\n"
    (failure,) = report_of(place.out)["stage_executions"]
    assert (failure["command"], failure["ending"]) == ("record.verify", "control_tampered")
    wrong = orchestrate("out", "--resume", "--accept-record", "0" * 64, cwd=tmp_path)
    assert (wrong.code, "is not the one that --accept-record names" in wrong.stderr) == (1, True)
    digest = record_digest(place.out)
    assert orchestrate("out", *accepting(place.out), cwd=tmp_path).code == 0
    assert (tmp_path / "told").read_text() == "open\nopen\n"
    expected = {
        "sha256": digest,
        "changes": [{"file": "checkpoint", "change": "edited", "line": None}],
        "doubt": None,
    }
    assert report_of(place.out)["accepted"] == expected
    assert checkpoint_of(place.out)["invocations"][-1]["accepted"] == expected
    gaps = [one for one in events_of(place.out) if one["event"] == "chain.gap"]
    assert [one["cause"] for one in gaps] == ["accepted"]
    assert report_of(place.out)["closure_ready"]
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


def test_good_files_that_are_put_back_are_good(place: Place) -> None:
    """After a refusal, the original files are accepted again, also with the earlier report."""
    place.put({CHECKPOINT: place.older[CHECKPOINT]})
    assert orchestrate("out", "--resume", cwd=place.cwd).code == 1
    place.put({CHECKPOINT: place.latest[CHECKPOINT]})
    assert place.refusal() == ""
    place.put(place.latest)
    assert place.refusal() == ""


def test_another_run_s_record_is_refused(tmp_path: Path) -> None:
    """An archived record and one of another directory are refused: only the last left counts."""
    for name in ("out", "other"):
        assert orchestrate(name, *PASSING, *stages(executor="exit 4"), cwd=tmp_path).code == 1
    archived, foreign = files_of(tmp_path / "out"), files_of(tmp_path / "other")
    assert orchestrate("out", *PASSING, *stages(executor="exit 5"), cwd=tmp_path).code == 1
    place = Place(tmp_path, archived, files_of(tmp_path / "out"))
    place.put(archived)
    assert f"{CHECKPOINT} is another run's" in place.refusal()
    place.put(foreign)
    assert f"is a copy of the run in {tmp_path / 'other'}" in place.refusal()
    place.put(place.latest)
    assert place.refusal() == ""


def test_what_a_kill_leaves_is_gone_on_from_and_not_what_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage that kills its orchestrator and puts an older checkpoint back is noticed.

    It is also noticed if the boot id cannot be read: no power cut is assumed then.
    """
    keep = "cp $ORCHESTRATOR_OUTPUT_DIR/orchestrator_*.json ."
    killing = f"test -e once || {{ touch once; kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"
    given = (*PASSING, *stages(keep, killing))
    assert orchestrate("out", *given, cwd=tmp_path).code == -9
    place = Place(tmp_path, {}, files_of(tmp_path / "out"))
    assert place.refusal() == ""
    shutil.copy(tmp_path / CHECKPOINT, place.out / CHECKPOINT)
    assert f"{CHECKPOINT} is an older one" in place.refusal()
    with monkeypatch.context() as patch:
        patch.setattr(table, "PROC", tmp_path)
        assert f"{CHECKPOINT} is an older one" in place.refusal()
    place.put(place.latest)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


def test_where_nothing_knows_the_record_it_may_not_be_closed(tmp_path: Path) -> None:
    """If nothing vouches for the record, the run cannot close until a person accepts its digest."""
    assert orchestrate("out", *PASSING, *stages(executor="exit 4"), cwd=tmp_path).code == 1
    digest = record_digest(tmp_path / "out")
    env = {"XDG_STATE_HOME": str(tmp_path / "another")}
    again = ("out", "--resume", *shell("executor", "exit 0"))
    assert orchestrate(*again, cwd=tmp_path, env=env).code == 0
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("done", False)
    assert any(f"--accept-record {digest}" in one for one in report["warnings"])
    doubt = {"cause": "no_key", "sha256": digest, "invocation": 2}
    assert checkpoint_of(tmp_path / "out")["doubt"] == doubt
    told = orchestrate("explain", "out", cwd=tmp_path, env=env).stdout
    assert f"--accept-record {digest}" in told
    accept = ("out", "--resume", "--accept-record", digest)
    assert orchestrate(*accept, cwd=tmp_path, env=env).code == 0
    report = report_of(tmp_path / "out")
    assert report["closure_ready"]
    assert report["accepted"]["doubt"] == "no_key"


def test_shared_key_proves_a_record_elsewhere(tmp_path: Path) -> None:
    """With the key file another machine verifies the record, and finds any change in it."""
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    shared = ("--state-key-file", "key")
    first = ("out", *PASSING, *stages(executor="exit 4"), *shared)
    assert orchestrate(*first, cwd=tmp_path).code == 1
    path, good = tmp_path / "out" / CHECKPOINT, (tmp_path / "out" / CHECKPOINT).read_bytes()
    env = {"XDG_STATE_HOME": str(tmp_path / "another")}
    again = ("out", "--resume", *shell("executor", "exit 0"), *shared)
    path.write_bytes(good.replace(b"exit 4", b"exit 0"))
    ended = orchestrate(*again, cwd=tmp_path, env=env)
    assert (ended.code, f"{CHECKPOINT} was changed" in ended.stderr) == (1, True)
    path.write_bytes(good)
    assert orchestrate(*again, cwd=tmp_path, env=env).code == 0
    report = report_of(tmp_path / "out")
    assert (report["closure_ready"], report["accepted"]) == (True, None)
    assert checkpoint_of(tmp_path / "out")["doubt"] is None


@pytest.mark.parametrize(
    ("mode", "content", "said"),
    [
        (0o640, b"x" * 32, "can be used by users other than its owner (mode 0640)"),
        (0o600, b"x" * 8, "is too short to be a key"),
        (0o600, None, "cannot be read: no such file"),
    ],
)
def test_key_file_that_keeps_no_secret_is_refused(
    tmp_path: Path, mode: int, content: bytes | None, said: str
) -> None:
    """A key file that keeps no secret exits with 2, before anything is written."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)
        (tmp_path / "key").chmod(mode)
    ended = orchestrate("out", *PASSING, "--state-key-file", "key", cwd=tmp_path)
    assert (ended.code, said in ended.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_few_lines_are_kept_of_many_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long file is started again, and still knows the earlier runs and the last line."""
    monkeypatch.setattr(left_file, "SIZE_BYTES_MAX", 4096)
    first = left_file.Left("run-0", "boot", "1")
    for number in range(40):
        file = left_file.LeftFile(tmp_path / "out", first._replace(run_id=f"run-{number}"))
        file.note(seq=number, head="h")
        file.close()
    found = left_file.lines_of(tmp_path / "out")
    assert found[-1].run_id == "run-39"
    assert {one.run_id for one in found} == {f"run-{number}" for number in range(40)}
    assert left_file.file_of(tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_tampered_error_is_one_about_the_checkpoint() -> None:
    """A handler of checkpoint errors also catches a tampered record."""
    assert issubclass(TamperedError, CheckpointError)
