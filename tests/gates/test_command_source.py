"""A gate that asks a command: every way in which the command can end."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Final

import pytest

from tests.gates.evidence_cases import (
    GATE_SIGNAL,
    assert_refused,
    config_with,
    evidence_of,
    run_with,
    sha256_of,
    statement,
)
from tests.support.command import events_of, orchestrate, report_of

SUBJECT: Final = '[subject]\nfiles = ["plan.txt"]'


def command(script: str, more: str = "") -> str:
    """Return a source that runs a shell script."""
    return f"command = {json.dumps(['sh', '-c', script])}\n{more}"


def test_exit_code_zero_passes(tmp_path: Path) -> None:
    """The command gets the subject of the question; evidence and log are private, and kept."""
    (tmp_path / "plan.txt").write_text("plan")
    script = 'printf "%s %s %s" "$ORCHESTRATOR_GATE" "$ORCHESTRATOR_SUBJECT_SHA256" "$PWD"'
    assert run_with(tmp_path, command(script), more=SUBJECT).code == 0
    evidence = evidence_of(tmp_path)
    digest = sha256_of(tmp_path / "plan.txt")
    log = tmp_path / "out" / evidence["log"]
    assert evidence["log"] == "logs/gate.ci.1.stdout.log"
    assert log.read_text() == f"ci {digest} {tmp_path}"
    kept = tmp_path / "out" / evidence["file"]
    assert evidence["file"] == "evidence/ci.1.json"
    assert evidence["statement_sha256"] == sha256_of(kept)
    assert evidence["subject"][0]["digest"] == {"sha256": digest}
    assert json.loads(kept.read_text())["exit_code"] == 0
    for path in (log, kept):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    decided = [one for one in events_of(tmp_path / "out") if one["event"] == "gate.decided"]
    assert evidence in [one["decision"]["evidence"] for one in decided]


@pytest.mark.parametrize(
    ("script", "more", "problem", "status"),
    [
        ("exit 7", "", "exit_code", "failure"),
        ("kill -KILL $$", "", "killed", "missing"),
        ("sleep 60", 'timeout = "200ms"', "timed_out", "missing"),
        ("yes", 'output_limit = "10k"', "output_limit", "missing"),
    ],
)
def test_anything_else_refuses(
    tmp_path: Path, script: str, more: str, problem: str, status: str
) -> None:
    """The failure is a problem of the closed list, and the reason code is the runbook's."""
    assert_refused(tmp_path, run_with(tmp_path, command(script, more)), problem, status)
    evidence = evidence_of(tmp_path)
    explained = orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout
    assert problem in explained
    assert evidence["log"] in explained
    assert "--ci-status" not in explained


def test_log_to_look_at_is_where_the_command_has_complained(tmp_path: Path) -> None:
    """The log of stderr is named where it printed nothing to stdout; `explain` names it too."""
    run_with(tmp_path, command("echo broken >&2; exit 1"))
    assert evidence_of(tmp_path)["log"] == "logs/gate.ci.1.stderr.log"
    assert "logs/gate.ci.1.stderr.log" in orchestrate("explain", "./out", cwd=tmp_path).stdout
    run_with(tmp_path, command("echo broken >&2; echo more; exit 1"))
    assert evidence_of(tmp_path)["log"] == "logs/gate.ci.1.stdout.log"


def test_command_that_cannot_be_started(tmp_path: Path) -> None:
    """A missing program leaves the gate closed."""
    ended = run_with(tmp_path, 'command = ["./nothing.sh"]')
    assert_refused(tmp_path, ended, "not_started", "missing")
    assert str(tmp_path / "nothing.sh") in evidence_of(tmp_path)["detail"]


@pytest.mark.parametrize(("gate", "status"), [("policy", "deny"), ("review", "changes_requested")])
def test_clear_no_of_other_gates(tmp_path: Path, gate: str, status: str) -> None:
    """A command that refuses gives a clear no for other gates, too."""
    ended = run_with(tmp_path, command("exit 1"), gate=gate)
    assert_refused(tmp_path, ended, "exit_code", status, gate)


def test_nothing_of_a_command_survives_it(tmp_path: Path) -> None:
    """Processes that it left running are ended with it."""
    script = f"(sleep 300 & echo $! > {tmp_path}/pid) && exit 0"
    assert run_with(tmp_path, command(script)).code == 0
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(("more", "times"), [("", 1), ("recheck = true", 2)])
def test_command_is_run_again_before_closing_only_if_asked(
    tmp_path: Path, more: str, times: int
) -> None:
    """A command with `recheck` may refuse after the stages have run; new evidence is kept."""
    script = f"echo x >> {tmp_path}/count; test $(wc -l < {tmp_path}/count) -lt 2"
    ended = run_with(tmp_path, command(script, more))
    assert (tmp_path / "count").read_text() == "x\n" * times
    assert ended.code == (0 if times == 1 else 3)
    report = report_of(tmp_path / "out")
    assert [one["status"] for one in report["stage_executions"]] == ["success", "success"]
    assert evidence_of(tmp_path)["file"] == f"evidence/ci.{times}.json"


def test_each_invocation_asks_anew(tmp_path: Path) -> None:
    """A resume asks again, by the kept settings; the evidence of both stays."""
    ended = run_with(tmp_path, command(f"test -e {tmp_path}/good"))
    assert_refused(tmp_path, ended, "exit_code", "failure")
    (tmp_path / "good").touch()
    (tmp_path / "run.toml").unlink()
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    assert evidence_of(tmp_path)["file"] == "evidence/ci.2.json"
    names = sorted(one.name for one in (tmp_path / "out" / "evidence").iterdir())
    assert names == ["ci.1.json", "ci.2.json"]
    earlier = report_of(tmp_path / "out")["earlier_invocations"][0]["gate_decisions"]
    assert earlier[1]["evidence"]["file"] == "evidence/ci.1.json"


def test_each_answer_has_logs_of_its_own(tmp_path: Path) -> None:
    """They are separate even if the evidence is the same as before, and is kept once."""
    again = "recheck = true\n"
    config_with(tmp_path, command("echo x >> count; wc -l < count", again))
    path, policy = tmp_path / "run.toml", command("test -e good || test ! -e closing", again)
    text = path.read_text().replace('policy = "allow"\n', "").removesuffix('true"\n')
    path.write_text(f'{text}touch"\nargs = ["closing"]\n[gate.policy]\n{policy}')
    assert orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path).code == 3
    (tmp_path / "good").touch()
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    logs = sorted((tmp_path / "out" / "logs").glob("gate.ci.*.stdout.log"))
    assert [one.read_text().strip() for one in logs] == ["1", "2", "3", "4"]
    assert evidence_of(tmp_path)["log"] == "logs/gate.ci.4.stdout.log"


def test_evidence_is_archived_with_its_run(tmp_path: Path) -> None:
    """A new run in the same directory begins with evidence of its own."""
    assert run_with(tmp_path, command("exit 0")).code == 0
    run_id = report_of(tmp_path / "out")["run_id"]
    assert run_with(tmp_path, command("exit 0")).code == 0
    assert (tmp_path / "out" / "archive" / run_id / "evidence" / "ci.1.json").is_file()
    assert evidence_of(tmp_path)["file"] == "evidence/ci.1.json"


def test_statement_on_stdout_counts(tmp_path: Path) -> None:
    """A command's output with `reads = "statement"` is the evidence, byte for byte."""
    (tmp_path / "plan.txt").write_text("plan")
    digest = {"sha256": sha256_of(tmp_path / "plan.txt")}
    predicate = {"status": "success", "issuer": "ci", "issuedAt": "2026-01-01T00:00:00Z"}
    text = json.dumps(statement(digest, GATE_SIGNAL, predicate))
    (tmp_path / "said.json").write_text(text)
    reads = 'reads = "statement"'
    assert run_with(tmp_path, command("cat said.json", reads), more=SUBJECT).code == 0
    evidence = evidence_of(tmp_path)
    assert (evidence["issuer"], evidence["issued_at"]) == ("ci", "2026-01-01T00:00:00.000Z")
    assert (tmp_path / "out" / evidence["file"]).read_text() == text
    explained = orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout
    assert "ci says success (unsigned)" in " ".join(explained.split())
    ended = run_with(tmp_path, command("echo nothing", reads), more=SUBJECT)
    assert_refused(tmp_path, ended, "not_json", "missing")
    ended = run_with(tmp_path, command("cat said.json; exit 1", reads), more=SUBJECT)
    assert_refused(tmp_path, ended, "exit_code", "failure")


def test_statement_that_grows_too_old_while_stages_run(tmp_path: Path) -> None:
    """The command is not run again, but its statement is judged by the time of the closing."""
    (tmp_path / "plan.txt").write_text("plan")
    digest = {"sha256": sha256_of(tmp_path / "plan.txt")}
    predicate = {"status": "success", "issuer": "ci", "issuedAt": "NOW"}
    (tmp_path / "said.json").write_text(json.dumps(statement(digest, GATE_SIGNAL, predicate)))
    script = 'echo x >> count; sed "s/NOW/$(date -u +%Y-%m-%dT%H:%M:%SZ)/" said.json'
    terms = 'reads = "statement"\nmax_age = "3s"'
    config_with(tmp_path, command(script, terms), more=SUBJECT)
    path = tmp_path / "run.toml"
    path.write_text(f'{path.read_text()}args = ["3.1"]\n'.replace('true"\nargs', 'sleep"\nargs'))
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert_refused(tmp_path, ended, "too_old", "missing")
    report = report_of(tmp_path / "out")
    assert [one["status"] for one in report["stage_executions"]] == ["success", "success"]
    assert evidence_of(tmp_path)["file"] == "evidence/ci.1.json"
    assert (tmp_path / "count").read_text() == "x\n"


def test_secret_in_a_command_is_masked(tmp_path: Path) -> None:
    """A declared secret reaches neither the kept evidence nor the report."""
    more = '[stage.manager]\nbin = "true"\nsecrets = ["TOKEN"]\n'
    source = command("exit 1 # hunter2-hunter2")
    path = tmp_path / "run.toml"
    gates = '[gates]\npolicy = "allow"\nreview = "approved"\n'
    path.write_text(f"[gate.ci]\n{source}\n{gates}{more}")
    env = {"TOKEN": "hunter2-hunter2"}
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path, env=env)
    assert ended.code == 3
    kept = (tmp_path / "out" / "evidence" / "ci.1.json").read_text()
    assert "hunter2" not in kept
