"""The origin of each invocation: who started it, where, and what git had checked out there."""

from __future__ import annotations

import json
import os
import pwd
import socket
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.command import (
    PASSING,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    stages,
)

A: Final = "a1" * 20
B: Final = "b2" * 20
WHO: Final = f"{pwd.getpwuid(os.getuid()).pw_name} on {socket.gethostname()}"


def check_out(directory: Path, commit: str, branch: str = "main") -> None:
    """Make a directory look as if git had checked out a commit of a branch in it."""
    ref = directory / ".git" / "refs" / "heads" / branch
    ref.parent.mkdir(parents=True, exist_ok=True)
    ref.write_text(f"{commit}\n")
    (directory / ".git" / "HEAD").write_text(f"ref: refs/heads/{branch}\n")


def origin(**changes: Any) -> dict[str, Any]:
    """Return the origin of an invocation of this user, at a commit of a branch."""
    return {
        "user": pwd.getpwuid(os.getuid()).pw_name,
        "uid": os.getuid(),
        "host": socket.gethostname(),
        "displayed_commit": A,
        "displayed_branch": "main",
        "displayed_problem": None,
        **changes,
    }


@pytest.fixture(name="twice")
def run_of_two_commits(tmp_path: Path) -> Path:
    """Make a run that failed at one commit and was resumed at another."""
    check_out(tmp_path, A)
    failing = stages(executor="test -e fixed || { echo no >&2; exit 1; }")
    assert orchestrate("./out", *PASSING, *failing, cwd=tmp_path).code == 1
    check_out(tmp_path, B, "fix/it")
    (tmp_path / "fixed").touch()
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    return tmp_path / "out"


def test_origin_of_each_invocation_is_recorded(twice: Path) -> None:
    """Checkpoint, report and events agree, and the earlier invocation keeps its own origin."""
    first, second = origin(), origin(displayed_commit=B, displayed_branch="fix/it")
    assert [one["origin"] for one in checkpoint_of(twice)["invocations"]] == [first, second]
    report = report_of(twice)
    assert report["origin"] == second
    assert [one["origin"] for one in report["earlier_invocations"]] == [first]
    started = [one["origin"] for one in events_of(twice) if one["event"] == "run.started"]
    assert started == [first, second]


def test_origin_is_shown(twice: Path) -> None:
    """`status` of one run has a line for it, and `explain --all` one that names the invocation."""
    told = f"{WHO}, at commit {B[:12]} of fix/it"
    assert f"\n  by       {told}\n" in orchestrate("status", twice, cwd=twice.parent).stdout
    shown = orchestrate("explain", twice, "--all", cwd=twice.parent).stdout
    assert f"invocation 2 was started by {told}" in " ".join(shown.split())
    explained = json.loads(orchestrate("explain", twice, "--json", cwd=twice.parent).stdout)
    assert explained["origin"]["displayed_commit"] == B


def test_directory_of_the_command_counts(tmp_path: Path) -> None:
    """The revision is that of the command's directory, not of the output directory."""
    check_out(tmp_path / "source", A)
    check_out(tmp_path / "elsewhere", B)
    out = tmp_path / "elsewhere" / "out"
    below = tmp_path / "source" / "below"
    below.mkdir()
    orchestrate(out, *PASSING, *stages(), cwd=below)
    assert report_of(out)["origin"] == origin()


def test_no_repository_is_said(tmp_path: Path) -> None:
    """Without a repository the record says why, and `status` does not mention it."""
    orchestrate("./out", *PASSING, *stages(), cwd=tmp_path)
    expected = origin(
        displayed_commit=None, displayed_branch=None, displayed_problem="no_repository"
    )
    assert report_of(tmp_path / "out")["origin"] == expected
    assert f"\n  by       {WHO}\n" in orchestrate("status", "./out", cwd=tmp_path).stdout


def test_fixed_clock_names_nobody(tmp_path: Path) -> None:
    """Two equal runs with a fixed clock have equal records, wherever they ran."""
    check_out(tmp_path, A)
    at = ("--fixed-clock", "2026-01-02T03:04:05Z")
    orchestrate("./out", *PASSING, *stages(), *at, cwd=tmp_path)
    assert report_of(tmp_path / "out")["origin"] is None
    assert events_of(tmp_path / "out")[0]["origin"] is None
    assert "  by  " not in orchestrate("status", "./out", cwd=tmp_path).stdout


def test_secret_in_a_branch_is_masked(tmp_path: Path) -> None:
    """The name of a branch may contain a secret."""
    check_out(tmp_path, A, "try/hush-hush-4711")
    secret = ("--manager-secret", "TOKEN")
    env = {"TOKEN": "hush-hush-4711"}
    orchestrate("./out", *PASSING, *stages(), *secret, cwd=tmp_path, env=env)
    assert report_of(tmp_path / "out")["origin"]["displayed_branch"] == "try/***"
    for path in (tmp_path / "out").rglob("*.json*"):
        assert "hush-hush" not in path.read_text()


def test_start_that_fails_says_who_tried(tmp_path: Path) -> None:
    """A resume of a damaged checkpoint leaves a report that has its origin, too."""
    check_out(tmp_path, A)
    orchestrate("./out", *PASSING, *stages(), cwd=tmp_path)
    (tmp_path / "out" / "orchestrator_checkpoint.json").write_text("no record")
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 1
    report = report_of(tmp_path / "out")
    assert report["lifecycle"] is None
    assert report["origin"] == origin()
