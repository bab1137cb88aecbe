"""`plan` and `status`: they predict and describe a run, and write nothing."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.cli_cases import GOOD_RUN, ONCE_FAILING, assert_one_message, everything, next_command
from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    Ended,
    orchestrate,
    read_json,
    report_of,
    stages,
    statuses,
)

THIS = shlex.join(COMMAND)


# plan


def planned(*arguments: str, cwd: Path) -> dict[str, Any]:
    """Return a plan as JSON; it must not change anything."""
    before = everything(cwd)
    ended = orchestrate("plan", *arguments, "--json", cwd=cwd)
    assert ended.code == 0, ended.stderr
    assert ended.stderr == ""
    assert everything(cwd) == before
    plan = json.loads(ended.stdout)
    assert isinstance(plan, dict)
    return plan


def actions(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (stage, action) of each stage of a plan."""
    return [(stage["stage"], stage["action"]) for stage in plan["stages"]]


def test_plan_starts_and_writes_nothing(tmp_path: Path) -> None:
    """A plan of a new run makes no directory, starts no stage, and gives a reason for each."""
    brief = orchestrate("plan", "./out", *GOOD_RUN, cwd=tmp_path)
    assert brief.code == 0
    assert re.search("(✓|ok) gates passed: policy allow, ci success, review app", brief.stdout)
    assert re.search("[→>] +manager +would run: not run yet\n[→>] +exec", brief.stdout)
    assert "/bin/sh -c 'echo planned > planned'" not in brief.stdout
    ended = orchestrate("plan", "./out", *GOOD_RUN, "--all", cwd=tmp_path)
    assert ended.code == 0
    assert everything(tmp_path) == {}
    for gate, value in (("policy", "allow"), ("ci", "success"), ("review", "approved")):
        assert re.search(rf"{gate} +{value} +{value} +given by flag +passed", ended.stdout)
    assert "/bin/sh -c 'echo planned > planned'" in ended.stdout
    plan = planned("./out", *GOOD_RUN, cwd=tmp_path)
    assert actions(plan) == [("manager", "run"), ("executor", "run")]
    assert plan["outcome"] == "done"


def test_plan_says_what_a_gate_would_need(tmp_path: Path) -> None:
    """A plan that would be blocked names the missing signal and starts no stage."""
    arguments = ("./out", *stages(), "--ci-status", "pending", "--policy-status", "allow")
    ended = orchestrate("plan", *arguments, cwd=tmp_path)
    assert ended.code == 0
    assert "gate ci refused: pending (given by flag), and only success passes" in ended.stdout
    assert "gate review refused: missing (not given), and only approved passes" in ended.stdout
    assert "--ci-status success" in ended.stdout
    assert re.search(r"- +manager +would not start: the gates would refuse", ended.stdout)
    plan = planned(*arguments, cwd=tmp_path)
    assert plan["outcome"] == "blocked"
    assert orchestrate(*arguments, cwd=tmp_path).code == 3
    report = report_of(tmp_path / "out")
    for one in (*(gate["decision"] for gate in plan["gates"]), *report["gate_decisions"]):
        if one["given"] is not None:
            one["given"].pop("at")  # the plan was made before
    assert [gate["decision"] for gate in plan["gates"]] == report["gate_decisions"]


def test_plan_of_a_new_run_in_a_used_directory(tmp_path: Path) -> None:
    """A plan leaves an earlier run in place, and says that a run would archive it."""
    assert orchestrate("./out", *GOOD_RUN, cwd=tmp_path).code == 0
    before = everything(tmp_path)
    ended = orchestrate("plan", "./out", *GOOD_RUN, cwd=tmp_path)
    assert ended.code == 0
    assert "archive" in ended.stdout
    assert everything(tmp_path) == before
    assert planned("./out", *GOOD_RUN, cwd=tmp_path)["archives_earlier_run"] is True


def test_plan_of_a_resume_foretells_it(tmp_path: Path) -> None:
    """A planned resume names the skipped and repeated stages with reasons, and the run agrees."""
    options = (*PASSING, *stages("exit 0", ONCE_FAILING))
    assert orchestrate("./out", *options, cwd=tmp_path).code == 1
    ended = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
    assert ended.code == 0
    assert re.search(r"- manager +would be skipped: completed by attempt 1", ended.stdout)
    assert re.search(r"[→>] +executor +would run: attempt 1 .*exited with code 1", ended.stdout)
    in_full = orchestrate("plan", "./out", "--resume", "--all", cwd=tmp_path)
    assert re.search(r"policy +allow +allow +kept from before +passed", in_full.stdout)
    plan = planned("./out", "--resume", cwd=tmp_path)
    assert actions(plan) == [("manager", "skip"), ("executor", "run")]
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    assert statuses(report_of(tmp_path / "out")) == [
        ("manager", "skipped"),
        ("executor", "success"),
    ]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'{"product": "another"}'])
def test_plan_of_a_resume_with_a_bad_checkpoint(tmp_path: Path, content: bytes | None) -> None:
    """An impossible resume is predicted with exit 1; a plan leaves report and all unchanged."""
    out = tmp_path / "out"
    out.mkdir()
    (out / REPORT).write_text('{"terminal_state": "done"}')
    if content is not None:
        (out / CHECKPOINT).write_bytes(content)
    before = everything(tmp_path)
    ended = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert ended.stdout == ""
    assert str(out / CHECKPOINT) in ended.stderr
    assert everything(tmp_path) == before


# status


def status_of(out: str, *, cwd: Path) -> tuple[Ended, dict[str, Any]]:
    """Return the status for a person and for a program; neither may write."""
    before = everything(cwd)
    text = orchestrate("status", out, cwd=cwd)
    as_json = orchestrate("status", out, "--json", cwd=cwd)
    assert everything(cwd) == before
    assert as_json.code == text.code
    document = json.loads(as_json.stdout)
    assert isinstance(document, dict)
    return text, document


def test_status_of_a_done_run(tmp_path: Path) -> None:
    """A done run's status is its summary and its user, exit 0; the JSON has the report."""
    ended = orchestrate("./out", *GOOD_RUN, cwd=tmp_path)
    text, document = status_of("./out", cwd=tmp_path)
    assert text.code == 0
    origin = report_of(tmp_path / "out")["origin"]
    assert text.stdout == f"{ended.stdout}  by       {origin['user']} on {origin['host']}\n"
    assert document["report"] == report_of(tmp_path / "out")
    assert document["is_running"] is False


def test_status_of_a_blocked_run(tmp_path: Path) -> None:
    """A blocked run's status names codes and next command."""
    ended = orchestrate("./out", *stages(), cwd=tmp_path)
    text, document = status_of("./out", cwd=tmp_path)
    assert text.code == 0
    assert "GATE_CI_NOT_SUCCESS" in text.stdout
    assert next_command(text) == next_command(ended)
    assert document["report"]["terminal_state"] == "blocked"


def test_status_of_a_working_run(tmp_path: Path) -> None:
    """While a stage runs, another process sees that it runs, where, and who holds it."""
    script = f"{THIS} status ./out > text; {THIS} status ./out --json > json"
    assert orchestrate("./out", *PASSING, *stages(script), cwd=tmp_path).code == 0
    text = (tmp_path / "text").read_text()
    document = read_json(tmp_path / "json")
    assert re.match("[→>] working: ", text)
    assert "in state manager" in text
    assert re.search(r"process \d+ on ", text)
    assert document["is_running"] is True
    assert document["report"]["terminal_state"] is None
    assert document["report"]["current_state"] == "manager"


def test_status_after_sigkill(tmp_path: Path) -> None:
    """A run whose orchestrator was killed is shown as interrupted, with a working next command."""
    options = (
        *PASSING,
        *stages(f"{ONCE_FAILING} || {{ kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"),
    )
    assert orchestrate("./out", *options, cwd=tmp_path).code == -9
    text, document = status_of("./out", cwd=tmp_path)
    assert text.code == 0
    assert "interrupted: " in text.stdout.splitlines()[0]
    assert document["is_running"] is False
    assert document["report"]["terminal_state"] is None
    again = orchestrate(*next_command(text), cwd=tmp_path)
    assert again.code == 0, again.stderr
    (earlier,) = report_of(tmp_path / "out")["earlier_invocations"]
    assert statuses(earlier) == [("manager", "interrupted")]


@pytest.mark.parametrize("content", [None, b"{", b'{"terminal_state": "done"}'])
def test_status_without_a_report_of_ours(tmp_path: Path, content: bytes | None) -> None:
    """A directory without a readable report has no status: exit 1, and the path is named."""
    out = tmp_path / "out"
    out.mkdir()
    if content is not None:
        (out / REPORT).write_bytes(content)
    before = everything(tmp_path)
    for options in ((), ("--json",)):
        ended = orchestrate("status", "./out", *options, cwd=tmp_path)
        assert ended.code == 1
        assert ended.stdout == ""
        assert str(out) in ended.stderr
        assert "Traceback" not in ended.stderr
    assert everything(tmp_path) == before


def test_status_tells_a_bad_checkpoint(tmp_path: Path) -> None:
    """A report without its checkpoint does not count as a run in order."""
    assert orchestrate("./out", *GOOD_RUN, cwd=tmp_path).code == 0
    (tmp_path / "out" / CHECKPOINT).write_text("no record")
    text, document = status_of("./out", cwd=tmp_path)
    assert text.code == 1
    assert CHECKPOINT in text.stdout
    assert CHECKPOINT in document["checkpoint_trouble"]


def test_status_of_a_file(tmp_path: Path) -> None:
    """A file has no status."""
    (tmp_path / "out").touch()
    ended = orchestrate("status", "./out", cwd=tmp_path)
    assert_one_message(ended)
    assert "not a directory" in ended.stderr


@pytest.mark.parametrize("command", ["status", "explain", "report", "logs"])
def test_out_is_the_current_directory_unless_given(tmp_path: Path, command: str) -> None:
    """A command that looks at a run uses the current directory by default."""
    assert orchestrate("./out", *PASSING, *stages("echo hello", "exit 0"), cwd=tmp_path).code == 0
    here = orchestrate(command, cwd=tmp_path / "out")
    assert here.code == 0
    there = orchestrate(command, ".", cwd=tmp_path / "out").stdout
    now = r"\(\S+ ago\)|, for \S+"
    assert re.sub(now, "", here.stdout) == re.sub(now, "", there)
    assert here.stdout
