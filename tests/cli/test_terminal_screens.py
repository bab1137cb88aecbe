"""`diagram`, `lifecycle`, `schema` and `report` on a terminal; elsewhere, their documents."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from fsm_orchestrator.vocabulary import SchemaName
from tests.cli.test_looks_at_many_stages import arrange
from tests.support.command import PASSING, orchestrate, shell, stages
from tests.support.printed import commands_in
from tests.support.screen import Terminal

pytestmark = pytest.mark.one_in(2)


def screen(*words: str, cwd: Path, columns: int = 80, **env: str) -> list[str]:
    """Return the final lines of a terminal; none that was broken here is wider than it."""
    with Terminal(*words, cwd=cwd, columns=columns, lines=60, env=env) as terminal:
        assert terminal.end() == 0, terminal.all_lines
        printed = bytes(terminal.raw).decode().splitlines()
        bare = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in printed]
        paths = ("  file ", "  open ")  # these are never broken
        assert max(len(line) for line in bare if not line.startswith(paths)) <= columns, bare
        if env.get("LC_ALL") == "C":
            assert terminal.raw.isascii()
        return terminal.all_lines


def accepted(lines: list[str], cwd: Path) -> None:
    """Assert that every command that a screen prints works."""
    found = list(commands_in("\n".join(lines)))
    assert found
    for command in found:
        if "-o" not in command:  # a picture needs an extra
            assert orchestrate(*command, cwd=cwd).code == 0, command


def forty(folder: Path) -> Path:
    """Return a run of forty stages that failed in one of the last."""
    options = arrange(folder, fails=38)
    assert orchestrate("out", *options, *PASSING, cwd=folder).code == 1
    return folder


@pytest.mark.parametrize("columns", [80, 120])
def test_diagram_of_a_lifecycle(tmp_path: Path, columns: int) -> None:
    """Without options it has a line for each state, its next states, and how to get a picture."""
    lines = screen("diagram", cwd=tmp_path, columns=columns)
    assert lines[0].startswith("governed_run: Gates first")
    assert "→ gating             policy, ci, review; refused → blocked" in lines
    assert "→ manager, executor  stage; failed → failed, timed out → timeout" in lines
    assert "✓ done" in lines
    assert lines[-2] == "  draw   fsm-orchestrator diagram -o governed_run.svg"
    accepted(lines, tmp_path)
    assert orchestrate("diagram", cwd=tmp_path).stdout.startswith("flowchart TB\n")
    piped = orchestrate("diagram", "--format", "text", cwd=tmp_path).stdout
    assert "manager, executor" in piped
    assert "fsm-orchestrator" not in piped
    rework = screen("diagram", "reviewed_run", cwd=tmp_path, columns=columns, LC_ALL="C")
    assert any("rework -> executor" in line for line in rework)
    assert "ok done" in rework


def test_diagram_of_a_run(tmp_path: Path) -> None:
    """It shows the path, the failure and the end; forty stages are a few lines."""
    lines = screen("diagram", "--run", "out", cwd=forty(tmp_path))
    assert len(lines) <= 20
    assert "✓ step_01, step_02, … 35 more  stage" in lines
    assert "! step_38                      attempt 1: failed; failed → failed" in lines
    assert "✗ failed                       the run ended here" in lines
    assert "- done" in lines
    accepted(lines, tmp_path)


def test_list_of_lifecycles(tmp_path: Path) -> None:
    """It ends with the next command; in a pipe it is only the list, as before."""
    lines = screen("lifecycle", cwd=tmp_path)
    assert any(line.startswith("governed_run ") and "(the default)" in line for line in lines)
    accepted([line for line in lines if ">" not in line and "init" not in line], tmp_path)
    assert "  copy  fsm-orchestrator lifecycle governed_run > own.toml" in lines
    assert len(orchestrate("lifecycle", cwd=tmp_path).stdout.splitlines()) == 6


def test_list_of_schemas(tmp_path: Path) -> None:
    """Without a name each is listed, with its file."""
    lines = screen("schema", cwd=tmp_path)
    assert [line.split()[0] for line in lines[: len(SchemaName)]] == [*SchemaName]
    accepted(lines, tmp_path)
    piped = orchestrate("schema", cwd=tmp_path)
    assert piped.code == 0
    assert len(piped.stdout.splitlines()) == len(SchemaName)


@pytest.mark.parametrize("columns", [80, 120])
def test_report_on_a_terminal(tmp_path: Path, columns: int) -> None:
    """It has what the runbook has a supervisor read: outcome, gates, reason codes, executions."""
    lines = screen("report", "out", cwd=forty(tmp_path), columns=columns)
    assert len(lines) <= 24
    assert "terminal_state        failed" in lines
    assert any(line.startswith("- 37 skipped") or "37 success: step_01" in line for line in lines)
    assert any(re.match(r"✗ step_38 +\d+ms  failed: exited with code 7", line) for line in lines)
    labels = [line.split()[0] for line in lines if re.match("  (file|json|page|why) ", line)]
    assert labels == ["file", "json", "page", "why"]
    assert orchestrate(*shlex.split(lines[-3])[2:], cwd=tmp_path).code == 0
    assert json.loads(orchestrate("report", "out", cwd=tmp_path).stdout)["run_id"] in lines[0]
    with Terminal("report", "out", "--json", cwd=tmp_path, columns=200, lines=60) as terminal:
        assert terminal.end() == 0
        assert json.loads(bytes(terminal.raw))["terminal_state"] == "failed"


def test_report_of_a_blocked_run(tmp_path: Path) -> None:
    """It shows the reason codes, and which gate refused."""
    assert orchestrate("out", *PASSING[:4], *stages(), cwd=tmp_path).code == 3
    lines = screen("report", "out", cwd=tmp_path, NO_COLOR="1")
    assert "blocked_reason_codes  GATE_REVIEW_NOT_APPROVED" in lines
    assert any(re.match(r"  review +missing +approved +.*refused", line) for line in lines)
    refused = orchestrate("report", "out", "--json", "--html", "x.html", cwd=tmp_path)
    assert refused.code == 2


def test_page_is_named_as_a_browser_takes_it(tmp_path: Path) -> None:
    """A person gets a link; a pipe only the path that was written."""
    assert orchestrate("out", *PASSING, *shell("manager", "true"), cwd=tmp_path).code == 0
    lines = screen("report", "out", "--html", "a page.html", cwd=tmp_path, columns=200)
    assert lines[-1] == f"  open  file://{tmp_path}/a%20page.html"
