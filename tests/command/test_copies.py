"""Copies of an output directory: recognized however they were made, and resumed as new runs."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pytest

from fsm_orchestrator import RunConfig, StageGiven, resume, run
from fsm_orchestrator.disk.held import HeldDirectory, Identity
from fsm_orchestrator.processes import table
from fsm_orchestrator.record.record_check import record_digest
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    EVENTS,
    PASSING,
    REPORT,
    Ended,
    checkpoint_of,
    environment,
    orchestrate,
    report_of,
    shell,
    tree_of,
)
from tests.support.copies import another_machine

pytestmark = pytest.mark.one_in(2)

PRIVATE = "a-private-value"
GATES: Final = {"policy": "allow", "ci": "success", "review": "approved"}
SCRIPT = 'echo "has $A"; test "$ORCHESTRATOR_ATTEMPT" -gt 1 && test "${A#a-private}" = "$A"'


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a project with a failed run in `out` that has a private value; it is not changed."""
    place = tmp_path_factory.mktemp("failed")
    given = ("--manager-env", f"A={PRIVATE}")
    ended = orchestrate("./out", *PASSING, *shell("manager", SCRIPT), *given, cwd=place)
    assert ended.code == 1, ended
    return place


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Yield a directory on another file system."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        yield Path(place)


def copied(source: Path, target: Path) -> None:
    """Copy with `cp -a`."""
    subprocess.run(["/bin/cp", "-a", source, target], check=True)


def linked(source: Path, target: Path) -> None:
    """Copy with `cp -al`: the files are the same, and the directory is another one."""
    subprocess.run(["/bin/cp", "-al", source, target], check=True)


def archived(source: Path, target: Path) -> None:
    """Pack with `tar` and unpack at another path."""
    target.mkdir()
    with subprocess.Popen(["/bin/tar", "c", "-C", source, "."], stdout=subprocess.PIPE) as packed:
        subprocess.run(["/bin/tar", "x", "-C", target], stdin=packed.stdout, check=True)


def checked_out(source: Path, target: Path) -> None:
    """Copy the files alone, as a checkout does."""
    shutil.copytree(source, target, copy_function=shutil.copyfile)


def resumed(output: str | Path, *options: str, cwd: Path, state: Path) -> Ended:
    """Resume in a directory, with the private state of the original."""
    env = {"XDG_STATE_HOME": str(state / "state")}
    return orchestrate(output, "--resume", *options, cwd=cwd, env=env)


@pytest.mark.parametrize("copy", [copied, linked, archived, checked_out])
@pytest.mark.parametrize("is_far", [False, True], ids=["here", "another file system"])
def test_copy_is_refused_and_told_how_it_goes_on(
    failed: Path,
    tmp_path: Path,
    elsewhere: Path,
    copy: Callable[[Path, Path], None],
    is_far: bool,
) -> None:
    """A copy, however made, is refused until an option claims it; the original is named."""
    place = (elsewhere if is_far else tmp_path) / "copy"
    try:
        copy(failed / "out", place)
    except subprocess.CalledProcessError:
        pytest.skip("no links between these file systems")
    before = tree_of(place)
    ended = resumed(place, cwd=tmp_path, state=failed)
    assert ended.code == 2, ended
    assert f"{place} is a copy of the run in {failed / 'out'}" in ended.stderr
    assert "--as-copy" in ended.stderr
    ended = resumed(place, "--adopt", cwd=tmp_path, state=failed)
    assert (ended.code, "--adopt does not fit" in ended.stderr) == (2, True), ended
    assert tree_of(place) == before


def test_copy_goes_on_as_a_run_of_its_own(failed: Path, tmp_path: Path) -> None:
    """The copy has a new id and a new private file, and nothing private of the original."""
    copied(failed / "out", tmp_path / "copy")
    original = checkpoint_of(failed / "out")
    before = tree_of(failed)
    as_copy = ("--resume", "--as-copy")
    env = {"XDG_STATE_HOME": str(failed / "state")}
    asked = orchestrate("./copy", *as_copy, cwd=tmp_path, env=env)
    assert (asked.code, "--manager-env A=VALUE" in asked.stderr) == (2, True), asked
    taken = ("--run-id", original["run_id"])
    ended = orchestrate("./copy", *as_copy, *taken, cwd=tmp_path, env=env)
    assert (ended.code, "the original has it" in ended.stderr) == (2, True), ended
    given = ("--manager-env", "A=mine", "--run-id", "mine")
    ended = orchestrate("./copy", *as_copy, *given, cwd=tmp_path, env=env)
    assert ended.code == 0, ended
    kept, report = checkpoint_of(tmp_path / "copy"), report_of(tmp_path / "copy")
    assert (kept["run_id"], report["run_id"], report["terminal_state"]) == ("mine", "mine", "done")
    assert kept["private_ref"] not in {None, original["private_ref"]}
    assert kept["home"]["copied_from"] == [
        {
            "run_id": original["run_id"],
            "directory": str(failed / "out"),
            "invocations": 1,
            "private_ref": original["private_ref"],
        }
    ]
    assert any(original["run_id"] in one and "copy" in one for one in report["warnings"])
    assert {name: one for name, one in tree_of(failed).items() if name in before} == before
    # The copy has its own home now, and its record is valid: a resume no longer needs an option.
    assert orchestrate("./copy", "--resume", cwd=tmp_path, env=env).code == 0
    again = orchestrate("./copy", *as_copy, cwd=tmp_path, env=env)
    assert (again.code, "--as-copy does not fit" in again.stderr) == (2, True), again
    # A copy of the copy names both earlier runs.
    copied(tmp_path / "copy", tmp_path / "third")
    ended = orchestrate("./third", "--resume", cwd=tmp_path, env=env)
    assert (ended.code, str(tmp_path / "copy") in ended.stderr) == (2, True), ended


def test_copy_of_a_copy_keeps_the_ids_of_both(tmp_path: Path) -> None:
    """Each attempt keeps the id of the run that made it, and the history is a legal walk."""
    script = 'test "$ORCHESTRATOR_ATTEMPT" -gt 2'
    begun = orchestrate("./out", *PASSING, "--run-id", "a", *shell("manager", script), cwd=tmp_path)
    assert begun.code == 1
    for source, target, code in (("out", "b", 1), ("b", "c", 0)):
        copied(tmp_path / source, tmp_path / target)
        options = ("--resume", "--as-copy", "--run-id", target)
        assert orchestrate(f"./{target}", *options, cwd=tmp_path).code == code
    report = report_of(tmp_path / "c")
    of_all = [*report["earlier_invocations"], report]
    keys = [one["stage_executions"][0]["idempotency_key"] for one in of_all]
    assert keys == ["a:manager:1", "b:manager:1", "c:manager:1"]
    assert orchestrate("status", "c", cwd=tmp_path).code == 0
    assert orchestrate("./c", "--resume", cwd=tmp_path).code == 0


@pytest.mark.parametrize("number", [0, 3, 7])
def test_history_of_a_copy_is_that_of_its_runs(failed: Path, tmp_path: Path, number: int) -> None:
    """An impossible id of an attempt is a forgery, before the copy and after it."""
    copied(failed / "out", tmp_path / "copy")
    document = checkpoint_of(tmp_path / "copy")
    execution = document["invocations"][0]["stage_executions"][0]
    execution["idempotency_key"] = f"other-{number}:manager:1"
    (tmp_path / "copy" / CHECKPOINT).write_text(json.dumps(document))
    ended = resumed("./copy", "--as-copy", "--manager-env", "A=x", cwd=tmp_path, state=failed)
    assert (ended.code, "of another run" in ended.stderr) == (1, True), ended


READERS: dict[str, tuple[str, ...]] = {
    "status": ("status", "copy"),
    "explain": ("explain", "copy", "--all"),
    "plan": ("plan", "copy", "--resume"),
    "report": ("report", "copy"),
    "logs": ("logs", "copy"),
    "page": ("report", "copy", "--html", "page.html"),
    "stop": ("stop", "copy"),
}


def test_readers_are_right_about_a_copy(failed: Path, tmp_path: Path) -> None:
    """No reader shows the original's private value or offers a command that would be refused."""
    copied(failed / "out", tmp_path / "copy")
    env = {"XDG_STATE_HOME": str(failed / "state")}
    told = {name: orchestrate(*words, cwd=tmp_path, env=env) for name, words in READERS.items()}
    for name, ended in told.items():
        assert PRIVATE not in ended.stdout + ended.stderr, name
    assert PRIVATE not in (tmp_path / "page.html").read_text()
    assert told["logs"].stdout.endswith("has ***\n")
    offered = "fsm-orchestrator copy --resume --as-copy --manager-env A=VALUE"
    for name in ("status", "explain", "stop"):
        shown = " ".join(told[name].stdout.split())
        assert offered in shown, name
        assert f"a copy of that of a run in {failed / 'out'}" in shown, name
    assert told["plan"].code == 2
    assert "--as-copy" in told["plan"].stderr
    assert "no run was at work in copy" in told["stop"].stdout
    ended = orchestrate(
        "plan", "copy", "--resume", "--as-copy", "--manager-env", "A=x", cwd=tmp_path, env=env
    )
    assert (ended.code, "run copy --resume --as-copy" in ended.stdout) == (0, True), ended
    # The original's output stays masked once the copy is a run of its own.
    ran = orchestrate(
        "./copy", "--resume", "--as-copy", "--manager-env", "A=mine", cwd=tmp_path, env=env
    )
    assert ran.code == 0, ran
    shown = orchestrate("logs", "copy", cwd=tmp_path, env=env).stdout
    assert PRIVATE not in shown
    assert "has mine" in shown


def test_original_is_found_by_another_name(tmp_path: Path, elsewhere: Path) -> None:
    """A copy stays a copy when its original is renamed or moved away."""
    assert orchestrate("./out", *PASSING, *shell("manager", "exit 1"), cwd=tmp_path).code == 1
    copied(tmp_path / "out", tmp_path / "copy")
    (tmp_path / "out").rename(tmp_path / "renamed")
    copied(tmp_path / "copy", tmp_path / "out")
    for copy in ("copy", "out"):  # `out` is the original's path, but another directory
        ended = orchestrate(f"./{copy}", "--resume", cwd=tmp_path)
        assert (ended.code, str(tmp_path / "renamed") in ended.stderr) == (2, True), ended
    ended = orchestrate("./renamed", "--resume", cwd=tmp_path)
    assert "moved here from" in ended.stderr
    # A later run in the original's directory only archives the original.
    assert orchestrate("./renamed", *PASSING, *shell("manager", "true"), cwd=tmp_path).code == 0
    ended = orchestrate("./copy", "--resume", cwd=tmp_path)
    assert (ended.code, "--as-copy" in ended.stderr) == (2, True), ended
    shutil.move(str(tmp_path / "renamed"), elsewhere / "renamed")
    ended = orchestrate("./copy", "--resume", cwd=tmp_path)
    assert (ended.code, "--adopt --accept-record" in ended.stderr) == (2, True), ended


def test_move_to_another_file_system_is_a_move(tmp_path: Path, elsewhere: Path) -> None:
    """After `mv` the run continues with a warning, its values and its artifacts."""
    script = 'cd "$ORCHESTRATOR_OUTPUT_DIR" && echo x > made; echo "$A" > "$ORCHESTRATOR_ATTEMPT"'
    fails = "test $ORCHESTRATOR_ATTEMPT -gt 1"
    options = (*shell("manager", script), *shell("executor", f"{script}; {fails}"))
    given = ("--executor-env", "A=kept", "--manager-expected-artifact", "out/made")
    begun = orchestrate("./out", *PASSING, *options, *given, cwd=tmp_path)
    assert begun.code == 1, begun
    subprocess.run(["/bin/mv", tmp_path / "out", elsewhere / "out"], check=True)
    shown = orchestrate("status", elsewhere / "out", cwd=tmp_path).stdout
    assert f"moved here from {tmp_path / 'out'}, on another file system" in shown
    ended = orchestrate(elsewhere / "out", "--resume", cwd=tmp_path)
    assert ended.code == 0, ended
    report = report_of(elsewhere / "out")
    assert report["run_id"] == checkpoint_of(elsewhere / "out")["run_id"]
    assert [one for one in report["warnings"] if "another file system" in one]
    assert (elsewhere / "out" / "2").read_text() == "kept\n"
    (made,) = report["earlier_invocations"][0]["stage_executions"][0]["artifacts"]
    assert made["path"] == str(elsewhere / "out" / "made")


def test_live_processes_are_nobody_s_on_another_file_system(
    tmp_path: Path, elsewhere: Path
) -> None:
    """Those of a moved run and of an original look the same, so a person decides."""
    kill = 'kill -9 "$(cut -d" " -f4 /proc/$PPID/stat)"; sleep 9'
    assert orchestrate("./out", *PASSING, *shell("manager", kill), cwd=tmp_path).code == -9
    token = checkpoint_of(tmp_path / "out")["open_attempts"][0]["token"]
    subprocess.run(["/bin/mv", tmp_path / "out", elsewhere / "out"], check=True)
    sleeper = subprocess.Popen(
        ["/bin/sleep", "300"], env={"ORCHESTRATOR_ATTEMPT_TOKEN": token}, start_new_session=True
    )
    try:
        options = ("--resume", *shell("manager", "true"))
        ended = orchestrate(elsewhere / "out", *options, cwd=tmp_path)
        assert (ended.code, str(sleeper.pid) in ended.stderr) == (2, True), ended
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()
    assert orchestrate(elsewhere / "out", *options, cwd=tmp_path).code == 0


# Runs of another machine


def brought(tmp_path: Path, key: str | None = None) -> Path:
    """Return the output of a failed run of another machine, brought here to another path."""
    with another_machine(tmp_path / "another"):
        place = tmp_path / "there"
        place.mkdir()
        stage = StageGiven(bin="/bin/sh", args=("-c", SCRIPT), env={"A": PRIVATE})
        config = RunConfig(
            output_directory=str(place / "out"),
            directory=str(tmp_path),
            gates=GATES,
            state_key_file=key,
            stages={"manager": stage, "executor": StageGiven(bin="true")},
        )
        assert run(config).terminal_state == "failed"
    copied(place / "out", tmp_path / "out")
    shutil.rmtree(place)
    return tmp_path / "out"


def test_run_of_another_machine_is_adopted_under_its_own_id(tmp_path: Path) -> None:
    """Only a resume that names the digest of its record continues the run."""
    output = brought(tmp_path)
    known, before = record_digest(output), tree_of(output)
    told = orchestrate("status", "out", "--json", cwd=tmp_path).stdout
    assert json.loads(told)["record_digest"] == known
    run_id = checkpoint_of(output)["run_id"]
    given = ("--manager-env", "A=mine")
    plain = orchestrate("./out", "--resume", *given, cwd=tmp_path)
    assert plain.code == 2, plain
    assert f"brought here from {tmp_path / 'there' / 'out'} on another" in plain.stderr
    assert f"--adopt --accept-record {known}" in plain.stderr
    asked = orchestrate("./out", "--resume", "--adopt", *given, cwd=tmp_path)
    assert (asked.code, f"--accept-record {known}" in asked.stderr) == (2, True), asked
    adopt = ("--resume", "--adopt", "--accept-record")
    other = orchestrate("./out", *adopt, "0" * 64, *given, cwd=tmp_path)
    assert (other.code, known in other.stderr) == (1, True), other
    assert {name: one for name, one in tree_of(output).items() if name == CHECKPOINT} == {
        CHECKPOINT: before[CHECKPOINT]
    }
    shown = orchestrate("status", "out", cwd=tmp_path).stdout
    words = f"out --resume --adopt --accept-record {known} --manager-env A=VALUE"
    assert words in shown, shown
    ended = orchestrate("./out", *adopt, known, *given, cwd=tmp_path)
    assert ended.code == 0, ended
    report = report_of(output)
    assert report["run_id"] == run_id
    assert any(
        f"brought here from {tmp_path / 'there' / 'out'} on another" in one
        for one in report["warnings"]
    )
    assert checkpoint_of(output)["home"]["directory"] == str(output)
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0


def test_record_that_a_shared_key_proves_is_adopted_unwarned(tmp_path: Path) -> None:
    """The digest is required even then, for the key proves older records as well."""
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    output = brought(tmp_path, str(key))
    bad = orchestrate("./out", "--resume", "--state-key-file", "none", cwd=tmp_path)
    assert (bad.code, "next:" in bad.stderr) == (2, False), bad
    shared = ("--state-key-file", "key")
    given = ("--manager-env", "A=mine")
    asked = orchestrate("./out", "--resume", *shared, cwd=tmp_path)
    assert (asked.code, "A=VALUE --state-key-file key\n" in asked.stderr) == (2, True), asked
    adopt = ("--resume", "--adopt", "--accept-record", record_digest(output))
    ended = orchestrate("./out", *adopt, *given, *shared, cwd=tmp_path)
    assert ended.code == 0, ended
    report = report_of(output)
    assert (report["closure_ready"], report["accepted"]) == (True, None)
    assert not [one for one in report["warnings"] if "--accept-record" in one]


def test_run_of_another_machine_can_be_a_copy(tmp_path: Path) -> None:
    """A run that continues on its own machine can become a new run here."""
    output = brought(tmp_path)
    run_id = checkpoint_of(output)["run_id"]
    options = ("--resume", "--as-copy", "--manager-env", "A=mine")
    assert orchestrate("./out", *options, cwd=tmp_path).code == 0
    assert report_of(output)["run_id"] != run_id


PLACES: Final = ("a reboot", "another mount", "both, and a host name that is given anew")


@pytest.mark.parametrize("change", PLACES)
def test_same_directory_is_no_copy(tmp_path: Path, change: str) -> None:
    """A reboot or another mount does not turn a directory into a copy."""
    stages = {name: StageGiven(bin="true") for name in ("manager", "executor")}
    config = RunConfig(
        output_directory=str(tmp_path / "out"), directory=str(tmp_path), gates=GATES, stages=stages
    )
    failing = {**stages, "manager": StageGiven(bin="false")}
    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, XDG_STATE_HOME=str(tmp_path / "state")))
        with contextlib.ExitStack() as before:
            if change == PLACES[2]:
                before.enter_context(another_machine(tmp_path / "state"))
            elif change == PLACES[0]:
                before.enter_context(patch.object(table, "boot", lambda: "an earlier one"))
            if change != PLACES[0]:
                inode = property(lambda it: Identity(4711, os.fstat(it.descriptor).st_ino))
                before.enter_context(patch.object(HeldDirectory, "identity", inode))
            failed = run(config.model_copy(update={"stages": failing}))
        report = resume(config.model_copy(update={"gates": {}, "gate_sources": {}}))
    assert (failed.terminal_state, report.terminal_state) == ("failed", "done")
    assert not [one for one in report.warnings if "directory" in one], report.warnings


def mounted(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script in a mount namespace of its own."""
    env = environment(XDG_STATE_HOME=str(cwd / "state"), FSM=" ".join(COMMAND))
    words = ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-ec", script]
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False)


def test_bind_mount_is_no_copy(tmp_path: Path) -> None:
    """The same directory under another path belongs to the run."""
    if shutil.which("unshare") is None or mounted("true", tmp_path).returncode:
        pytest.skip("mounts cannot be made here")
    (tmp_path / "other").mkdir()
    assert orchestrate("./out", *PASSING, *shell("manager", "exit 1"), cwd=tmp_path).code == 1
    script = "mount --bind out other; exec $FSM other --resume --manager-arg=-c --manager-arg=true"
    ended = mounted(script, tmp_path)
    assert ended.returncode == 0, ended
    warnings = report_of(tmp_path / "out")["warnings"]
    assert not [one for one in warnings if "directory" in one], warnings
    assert {REPORT, EVENTS} <= tree_of(tmp_path / "out").keys()


def test_options_of_a_place_need_a_resume(tmp_path: Path) -> None:
    """A new run takes no such option, and two contradictory ones are refused."""
    options = (*PASSING, *shell("manager", "exit 1"))
    for option in ("--as-copy", "--adopt"):
        ended = orchestrate("./out", option, *options, cwd=tmp_path)
        assert (ended.code, "add --resume" in ended.stderr) == (2, True), ended
    assert orchestrate("./out", *options, cwd=tmp_path).code == 1
    both = orchestrate("./out", "--resume", "--as-copy", "--adopt", cwd=tmp_path)
    assert (both.code, "were both given" in both.stderr) == (2, True), both
    home = orchestrate("./out", "--resume", "--adopt", cwd=tmp_path)
    assert (home.code, "leave --adopt out" in home.stderr) == (2, True), home


def test_copy_of_a_done_run_is_looked_at_only(tmp_path: Path) -> None:
    """A copy of a done run is shown; it is neither resumed nor made another run."""
    assert orchestrate("./out", *PASSING, *shell("manager", "true"), cwd=tmp_path).code == 0
    copied(tmp_path / "out", tmp_path / "copy")
    shown = orchestrate("status", "copy", cwd=tmp_path)
    assert (shown.code, "a copy of that of a run" in " ".join(shown.stdout.split())) == (0, True)
    assert "--resume" not in shown.stdout
    for options in ((), ("--as-copy",)):
        ended = orchestrate("./copy", "--resume", *options, cwd=tmp_path)
        assert (ended.code, "done" in ended.stderr) == (2, True), ended
    ended = orchestrate("./copy", *PASSING, *shell("manager", "true"), cwd=tmp_path)
    assert ended.code == 0, ended


def test_done_run_that_was_put_back_is_told_how_it_is_closed(tmp_path: Path) -> None:
    """The offered command names the adoption, and works as printed."""
    ended = orchestrate("./out", *PASSING, *shell("manager", "true"), cwd=tmp_path)
    assert ended.code == 0, ended
    assert report_of(tmp_path / "out")["closure_ready"] is False
    copied(tmp_path / "out", tmp_path / "backup")
    shutil.rmtree(tmp_path / "out")
    copied(tmp_path / "backup", tmp_path / "out")
    shutil.rmtree(tmp_path / "backup")
    (line,) = [
        one for one in orchestrate("status", "out", cwd=tmp_path).stdout.splitlines()
        if "--adopt" in one
    ]  # fmt: skip
    words = shlex.split(line)
    ended = orchestrate(*words[words.index("out") :], cwd=tmp_path)
    assert ended.code == 0, ended
    assert report_of(tmp_path / "out")["closure_ready"] is True
