"""Declared inputs: digested when a stage completes, compared before it is skipped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import checkpoint_of, orchestrate, report_of, shell

GATES = ("--policy-status", "allow", "--ci-status", "success", "--review-status", "approved")
INPUTS = ("spec.md", "data", "src/**/*.py", "to_come")


def place(folder: Path) -> None:
    """Make a run with inputs of each kind whose manager completed and whose executor failed."""
    (folder / "spec.md").write_text("one\n")
    (folder / "data" / "in").mkdir(parents=True)
    (folder / "data" / "in" / "x").write_text("x\n")
    (folder / "data" / "link").symlink_to("/etc/hostname")
    (folder / "src").mkdir()
    (folder / "src" / "a.py").write_text("a\n")
    (folder / "tool.sh").write_text("#!/bin/sh\nexit 0\n")
    (folder / "tool.sh").chmod(0o755)
    inputs = (word for path in INPUTS for word in ("--manager-input", path))
    ended = orchestrate(
        *("run", "./out", *GATES, "--manager-bin", "./tool.sh", *inputs),
        *("--manager-input-program", *shell("executor", "exit 1")),
        cwd=folder,
    )
    assert ended.code == 1, ended.stderr


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one such run, for tests that only read it."""
    folder = tmp_path_factory.mktemp("inputs")
    place(folder)
    return folder


def kept_inputs(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the inputs recorded for the completed stage, by their paths below the folder."""
    (completion,) = checkpoint_of(folder / "out")["completions"]
    return {str(Path(one["path"]).relative_to(folder)): one for one in completion["inputs"]}


def test_inputs_are_in_the_record_of_the_stage(completed: Path) -> None:
    """A file has its own digest; several have that of their list, as sha256sum -z prints it."""
    found = kept_inputs(completed)
    assert [*found] == [*INPUTS, "tool.sh"]
    assert found["spec.md"]["sha256"] == hashlib.sha256(b"one\n").hexdigest()
    line = f"{hashlib.sha256(b'a' + bytes([10])).hexdigest()}  {completed}/src/a.py\0".encode()
    assert found["src/**/*.py"]["sha256"] == hashlib.sha256(line).hexdigest()
    assert (found["data"]["files"], found["data"]["size_bytes"]) == (2, 2)
    assert (found["to_come"]["sha256"], found["to_come"]["files"]) == (None, 0)
    manager = report_of(completed / "out")["stage_executions"][0]
    assert [one["path"] for one in manager["inputs"]] == [
        f"{completed}/{path}" for path in (*INPUTS, "tool.sh")
    ]


def test_plan_lists_inputs_under_what_was_compared(completed: Path) -> None:
    """A skipped stage is listed with the kind of comparison and the name of each input."""
    plan = orchestrate("plan", "./out", "--resume", "--all", cwd=completed)
    assert plan.code == 0, plan.stderr
    said = " ".join(plan.stdout.split())
    assert "environment, expected artifacts, inputs, artifacts" in said
    digest = hashlib.sha256(b"one\n").hexdigest()
    assert f"input {completed}/spec.md, sha256 {digest[:12]}..." in said
    listed = json.loads(orchestrate("plan", "./out", "--resume", "--json", cwd=completed).stdout)
    assert [Path(one["path"]).name for one in listed["stages"][0]["inputs"]][:2] == [
        "spec.md",
        "data",
    ]
    told = orchestrate("explain", "./out", "--all", cwd=completed).stdout
    assert f"input      {completed}/spec.md" in told


CHANGES: list[tuple[Callable[[Path], object], str]] = [
    (lambda at: (at / "spec.md").write_text("two\n"), "spec.md was sha256"),
    (lambda at: (at / "spec.md").unlink(), "is not there now"),
    (lambda at: (at / "data" / "in" / "y").touch(), "/data was 2 files of sha256"),
    (lambda at: (at / "data" / "in" / "x").rename(at / "data" / "in" / "z"), "/data was 2 files"),
    (lambda at: (at / "src" / "b.py").touch(), "/src/**/*.py was sha256"),
    (lambda at: (at / "to_come").touch(), "/to_come was not there when it completed"),
    (lambda at: (at / "tool.sh").write_text("#!/bin/sh\nexit 9\n"), "/tool.sh was sha256"),
]


def test_changed_input_of_a_completed_stage_counts_as_changed(tmp_path: Path) -> None:
    """Each kind of change is found and named, and the look itself changes nothing."""
    place(tmp_path)
    for change, said in CHANGES:
        before = {
            one: one.read_bytes()
            for one in tmp_path.rglob("*")
            if one.is_file() and "out" not in one.parts and not one.is_symlink()
        }
        change(tmp_path)
        ended = orchestrate("plan", "./out", "--resume", cwd=tmp_path)
        assert ended.code == 2
        assert "cannot resume: a completed stage has changed" in ended.stderr
        assert said in ended.stderr
        now = {
            one
            for one in tmp_path.rglob("*")
            if one.is_file() and "out" not in one.parts and not one.is_symlink()
        }
        for path in now - before.keys():
            path.unlink()
        for path, data in before.items():
            path.write_bytes(data)
    assert orchestrate("plan", "./out", "--resume", cwd=tmp_path).code == 0


def test_list_of_inputs_is_a_setting(completed: Path) -> None:
    """A stage with another list has changed, and runs again only on request."""
    changed = ("--resume", "--manager-input", "spec.md")
    ended = orchestrate("plan", "./out", *changed, cwd=completed)
    assert ended.code == 2
    assert f"inputs: completed with {completed}/spec.md, {completed}/data" in ended.stderr
    rerun = orchestrate("plan", "./out", *changed, "--on-changed-stage", "rerun", cwd=completed)
    assert "would run" in rerun.stdout.partition("manager")[2].partition("executor")[0]


def test_input_with_a_secret_in_its_path_is_refused(tmp_path: Path) -> None:
    """Paths are recorded verbatim, so they must not contain a secret."""
    ended = orchestrate(
        *("run", "./out", *GATES, *shell("manager", "true"), "--manager-secret", "TOKEN"),
        *("--manager-input", "s3cr3t-value-17/x"),
        cwd=tmp_path,
        env={"TOKEN": "s3cr3t-value-17"},
    )
    assert ended.code == 2
    assert "secret TOKEN is in a path that stage 'manager' protects or goes by" in ended.stderr
