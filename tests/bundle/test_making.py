"""A bundle of every outcome: its members, its statement, and that anybody makes the same bytes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fsm_orchestrator.bundle.members import FIXED, OPTIONAL
from fsm_orchestrator.bundle.statement import RunStatement
from fsm_orchestrator.bundle.summary import SUMMARY_TYPE, SummaryPredicate
from fsm_orchestrator.constants import IGNORE_FILE, LOCK_FILE
from tests.bundle.bundle_cases import bundle, bundled, members, predicate_in, sha256
from tests.bundle.conftest import Runs
from tests.support.command import (
    EVENTS,
    INVOCATIONS,
    PASSING,
    REPORT,
    orchestrate,
    report_of,
    shell,
    tree_of,
)
from tests.support.outcome_runs import OUTCOMES


@pytest.mark.one_in(2)
@pytest.mark.parametrize("case", OUTCOMES)
def test_every_outcome_is_bundled(runs: Runs, tmp_path: Path, case: str) -> None:
    """Every file of the run is a member, listed by its digest, and the run's state is named."""
    run, folder = OUTCOMES[case], runs(case)
    before = tree_of(folder / "out")
    found = bundled(folder, tmp_path / "b")
    assert tree_of(folder / "out") == before

    left = {name: data for name, data in before.items() if name not in {LOCK_FILE, IGNORE_FILE}}
    assert {name: found[name] for name in left} == left
    assert found.keys() - left.keys() == FIXED.keys() - left.keys() - OPTIONAL
    said = predicate_in(found)
    assert [(one["name"], one["sha256"], one["sizeBytes"]) for one in said["members"]] == [
        (name, sha256(data), len(data)) for name, data in found.items() if name != "statement.json"
    ]
    assert said["outcome"]["terminalState"] == run.terminal_state
    assert said["outcome"]["closureReady"] is run.closure_ready
    assert [one["exitCode"] for one in said["invocations"]] == [
        None if code < 0 else code for code in run.codes
    ]
    lines = before[EVENTS].splitlines()
    assert said["chain"] == {"lastSeq": len(lines), "head": sha256(lines[-1])}
    assert sha256(found["lifecycle.relation.json"]) == said["lifecycle"]["sha256"]
    RunStatement.model_validate_json(found["statement.json"])
    summary = json.loads(found["vsa.json"])
    assert summary["_type"] == "https://in-toto.io/Statement/v1"
    assert summary["predicateType"] == SUMMARY_TYPE
    predicate = SummaryPredicate.model_validate_json(json.dumps(summary["predicate"]))
    passed = predicate.verificationResult.value
    assert passed == ("PASSED" if run.closure_ready else "FAILED")
    ended_at = said["outcome"]["finishedAt"]
    assert json.loads(found["vsa.json"])["predicate"].get("timeVerified") == ended_at
    assert (ended_at is None) is (run.codes[-1] < 0)
    assert (
        json.loads(found["vsa.json"])["subject"] == json.loads(found["statement.json"])["subject"]
    )


def test_what_it_says_of_stages_and_artifacts(runs: Runs, tmp_path: Path) -> None:
    """Commands, digests of programs, verifications and artifacts are in the statement."""
    folder = runs("done")
    statement = json.loads(bundled(folder, tmp_path / "b")["statement.json"])
    said = statement["predicate"]
    digest = sha256(b"{}\n")
    manager, executor = said["stages"]
    assert manager["command"] == ["/bin/sh", "-c", "echo planned"]
    assert (manager["status"], manager["exitCode"], manager["attempts"]) == ("success", 0, 1)
    (program,) = manager["programs"]
    assert program["sha256"] == sha256(Path("/bin/sh").read_bytes())
    assert executor["verifications"] == [{"command": ["test", "-s", "plan.json"], "passed": True}]
    artifact = {"path": str(folder / "plan.json"), "sha256": digest, "sizeBytes": 3}
    assert said["artifacts"] == [
        {"stage": "executor", **artifact, "files": None, "contents": []},
    ]
    assert statement["subject"] == [{"name": artifact["path"], "digest": {"sha256": digest}}]
    gate = said["gates"][0]
    found = gate["gate"], gate["status"], gate["passed"], gate["source"]
    assert found == ("policy", "allow", True, "flag")
    assert gate["givenBy"]["uid"] == os.getuid()


def test_a_run_without_artifacts_is_about_its_report(runs: Runs, tmp_path: Path) -> None:
    """An in-toto statement always has a subject."""
    found = bundled(runs("waiting"), tmp_path / "b")
    subject = [{"name": REPORT, "digest": {"sha256": sha256(found[REPORT])}}]
    assert json.loads(found["statement.json"])["subject"] == subject


@pytest.mark.parametrize(
    ("case", "attempts"),
    [
        ("killed", [(1, 1), (1, 1)]),
        ("rework", [(1, 1), (2, 2), (2, 2)]),
        ("retries", [(2, 2), (1, 1)]),
        ("resumed after kill -9", [(1, 1), (2, 2)]),
        ("no stage was run", [(0, 0), (0, 0)]),
        ("finally", [(1, 1), (1, 1), (1, 1)]),
    ],
)
def test_attempts_are_counted(
    runs: Runs, tmp_path: Path, case: str, attempts: list[tuple[int, int]]
) -> None:
    """The last attempt of each stage is listed; of a killed one, how it began."""
    stages = predicate_in(bundled(runs(case), tmp_path / "b"))["stages"]
    assert [(one["attempts"], one["attempt"]) for one in stages] == attempts
    if case == "killed":
        assert (stages[1]["status"], stages[1]["command"][0]) == (None, "/bin/sh")


def test_the_same_run_gives_the_same_bytes(runs: Runs, tmp_path: Path) -> None:
    """A later time, other settings and missing private state do not change the bytes."""
    folder, once = runs("done"), tmp_path / "once"
    bundled(folder, once)
    os.utime(folder / "out" / EVENTS.replace("events.jsonl", "run_report.json"), (1, 1))
    bundled(folder, tmp_path / "twice", TZ="Asia/Tokyo", LC_ALL="C")
    assert (tmp_path / "twice").read_bytes() == once.read_bytes()
    ended = bundle(folder, tmp_path / "other", XDG_STATE_HOME=str(tmp_path / "none"))
    assert ended.code == 0, ended.stderr
    assert "! it is not known whether the record is the one that was left" in ended.stdout
    assert (tmp_path / "other").read_bytes() == once.read_bytes()


def test_a_run_that_was_moved_gives_the_same_bytes(tmp_path: Path) -> None:
    """Its paths are those of the record, wherever it and its artifacts are now."""
    (tmp_path / "a").mkdir()
    OUTCOMES["done"].make(tmp_path / "a")
    bundled(tmp_path / "a", tmp_path / "before", "--with-artifacts")
    (tmp_path / "a").rename(tmp_path / "b")
    found = bundled(tmp_path / "b", tmp_path / "after", "--with-artifacts")
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()
    assert found[f"artifacts/{sha256(b'{}' + bytes([10]))}"] == b"{}\n"


def test_an_archived_run_is_bundled_as_it_was(tmp_path: Path) -> None:
    """A later run has replaced it; its bundle is the same as before."""
    out = OUTCOMES["done"].make(tmp_path)
    run_id = report_of(out)["run_id"]
    bundled(tmp_path, tmp_path / "before")
    OUTCOMES["waiting"].make(tmp_path)
    bundled(tmp_path, tmp_path / "after", "--run-id", run_id)
    assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()


def test_a_torn_last_line_is_taken_as_it_is(runs: Runs, tmp_path: Path) -> None:
    """A kill may leave such a line: it is no event, and the chain ends before it."""
    shutil.copytree(runs("killed"), tmp_path / "copy")
    path = tmp_path / "copy" / "out" / EVENTS
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"seq": 99, "at": "20')
    found = bundled(tmp_path / "copy", tmp_path / "b")
    assert found[EVENTS] == path.read_bytes()
    lines = whole.splitlines()
    chain = {"lastSeq": len(lines), "head": sha256(lines[-1])}
    assert predicate_in(found)["chain"] == chain


def test_many_invocations_are_bundled_with_the_old_ones(tmp_path: Path) -> None:
    """The file of old invocations is a member, up to the end of the run's part."""
    state = str(tmp_path / "state")
    words = f"""
import os
os.environ["XDG_STATE_HOME"] = {state!r}
from fsm_orchestrator import RunConfig, StageGiven, resume, run
given = dict(output_directory="out", gates={{"policy": "allow", "ci": "success"}})
run(RunConfig(**given))
for number in range(34):
    status = ("missing", "changes_requested")[number % 2]
    resume(RunConfig(output_directory="out", gates={{"review": status}}))
"""
    subprocess.run([sys.executable, "-c", words], cwd=tmp_path, check=True)
    side = tmp_path / "out" / INVOCATIONS
    data = side.read_bytes()
    side.write_bytes(data + b'{"invocation":')
    found = bundled(tmp_path, tmp_path / "b")
    assert found[INVOCATIONS] == data
    assert predicate_in(found)["invocations"][0]["number"] > 1


def test_logs_are_left_out_where_they_are_not_wanted(runs: Runs, tmp_path: Path) -> None:
    """The statement records that they were left out."""
    found = bundled(runs("done"), tmp_path / "b", "--without-logs")
    assert [one for one in found if one.startswith("logs/")] == []
    assert predicate_in(found)["logs"] == "left_out"


@pytest.fixture(scope="session")
def secretive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that printed a secret, and left one in an artifact after the first megabyte."""
    folder = tmp_path_factory.mktemp("secret")
    script = "echo $TOKEN $MODE; head -c 1048570 /dev/zero > a; printf $TOKEN >> a"
    given = ("--manager-secret", "TOKEN", "--manager-env", "MODE=value-of-a-setting")
    ended = orchestrate(
        *("./out", *PASSING, *shell("manager", script), *given),
        *("--manager-expected-artifact", "a"),
        cwd=folder,
        env={"TOKEN": "open-sesame-4711"},
    )
    assert ended.code == 0, ended.stderr
    return folder


def test_values_of_variables_are_in_no_member(secretive: Path, tmp_path: Path) -> None:
    """Names are in members; logs, which may contain secrets, are withheld."""
    log = secretive / "out" / "logs" / "manager.1.stdout.log"
    assert log.read_text() == "open-sesame-4711 value-of-a-setting\n"
    found = bundled(secretive, tmp_path / "b")
    said = predicate_in(found)
    assert said["logs"] == "withheld"
    assert [one for one in found if one.startswith("logs/")] == []
    assert said["stages"][0]["environment"] == ["MODE", "TOKEN"]
    config = json.loads(found["config.json"])["stages"]["manager"]
    assert (config["env_keys"], config["secret_keys"]) == (["MODE"], ["TOKEN"])
    assert not {"env_digests", "secret_digests", "hidden"} & config.keys()
    for data in found.values():
        assert b"open-sesame" not in data
        assert b"value-of-a-setting" not in data


@pytest.mark.parametrize(("value", "code"), [("open-sesame-4711", 1), ("another-4711", 0)])
def test_an_artifact_with_a_secret_is_not_given_away(
    secretive: Path, tmp_path: Path, value: str, code: int
) -> None:
    """A value that is known here is searched for in all files that are included unchanged."""
    ended = bundle(secretive, tmp_path / "b", "--with-artifacts", TOKEN=value)
    assert ended.code == code, ended.stderr
    assert (tmp_path / "b").exists() is (code == 0)
    if code:
        assert f"{secretive}/a holds the value of TOKEN, a secret of the run" in ended.stderr


def test_files_of_others_are_left_out_and_named(runs: Runs, tmp_path: Path) -> None:
    """Links, FIFOs and files unknown to the record are left out: stages may put them there."""
    shutil.copytree(runs("waiting"), tmp_path / "copy")
    out = tmp_path / "copy" / "out"
    (out / "evidence").mkdir()
    (out / "logs").mkdir()
    (out / "evidence" / "policy.1.json").symlink_to("/etc/passwd")
    os.mkfifo(out / "logs" / "gate.ci.1.stdout.log")
    left = ("logs/notes.txt", "logs/manager.1.stdout.log", "evidence/other.1.json")
    for name in (*left, "evidence/ci.1.json"):
        (out / name).write_text("mine")
    document = json.loads(bundle(tmp_path / "copy", tmp_path / "b", "--json").stdout)
    assert set(document["ignored"]) == {
        *("evidence/policy.1.json", "logs/gate.ci.1.stdout.log"),
        *left,
    }
    found = members(tmp_path / "b")
    assert not found.keys() & set(document["ignored"])
    assert found["evidence/ci.1.json"] == b"mine"
    shown = bundle(tmp_path / "copy", tmp_path / "b", "--force").stdout
    assert "! left out, as the record does not mention it: evidence/other.1.json," in shown
    assert "and 2 more" in " ".join(shown.split())


def test_logs_of_attempts_alone_are_taken(runs: Runs, tmp_path: Path) -> None:
    """The logs of as many attempts are included for each stage as the record has."""
    shutil.copytree(runs("retries"), tmp_path / "copy")
    logs = tmp_path / "copy" / "out" / "logs"
    own = sorted(f"logs/{one.name}" for one in logs.iterdir())
    for name in ("manager.3", "executor.2", "other.1"):
        (logs / f"{name}.stdout.log").write_text("made up")
    found = bundled(tmp_path / "copy", tmp_path / "b")
    assert [name for name in found if name.startswith("logs/")] == own
