"""A refused resume, its plan, `explain` and the summary name one command, which is accepted."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.cli.cli_cases import ONCE_FAILING
from tests.support.command import (
    PASSING,
    Ended,
    orchestrate,
    report_of,
    spawned,
    stages,
    tree_of,
)


def _value_lost(home: Path) -> tuple[str, ...]:
    options = (*PASSING, *stages(ONCE_FAILING), "--manager-env", "TONE=friendly-tone")
    assert orchestrate("./out", *options, cwd=home).code == 1
    shutil.rmtree(home / "state")
    return ("manager", "executor")


def _artifact_gone(home: Path) -> tuple[str, ...]:
    artifact = ("--manager-expected-artifact", "plan.json")
    made = stages("echo {} >plan.json", ONCE_FAILING)
    assert orchestrate("./out", *PASSING, *made, *artifact, cwd=home).code == 1
    (home / "plan.json").unlink()
    return ("manager", "executor")


CASES: Final[dict[str, Callable[[Path], tuple[str, ...]]]] = {
    "value lost": _value_lost,
    "artifact gone": _artifact_gone,
}


def named(ended: Ended) -> list[str]:
    """Return the command that a refusal names, without the program."""
    assert (ended.code, ended.stdout) == (2, "")
    (line,) = [one for one in ended.stderr.splitlines() if one.startswith("  next: ")]
    return shlex.split(line.removeprefix("  next: "))[1:]


@pytest.mark.parametrize("name", CASES)
def test_refusal_names_the_command_that_is_accepted(tmp_path: Path, name: str) -> None:
    """The named command works wherever it was read."""
    runs = CASES[name](tmp_path)
    before = tree_of(tmp_path)
    refused = orchestrate("./out", "--resume", cwd=tmp_path)
    command = named(refused)
    assert named(orchestrate("plan", "./out", "--resume", cwd=tmp_path)) == command
    explained = json.loads(orchestrate("explain", "./out", "--json", cwd=tmp_path).stdout)
    assert explained["next_step"]["words"][1:] == command
    status = orchestrate("status", "./out", cwd=tmp_path).stdout
    assert f"  resume   fsm-orchestrator {shlex.join(command)}\n" in status
    assert tree_of(tmp_path) == before
    assert orchestrate(*command, cwd=tmp_path).code == 0
    assert tuple(spawned(report_of(tmp_path / "out"))) == runs


def test_refusal_of_what_was_asked_besides_names_no_other_command(tmp_path: Path) -> None:
    """A plain resume would not do what was asked for."""
    assert orchestrate("./out", *PASSING, *stages(executor="exit 1"), cwd=tmp_path).code == 1
    ended = orchestrate("./out", "--resume", "--manager-arg", "other", cwd=tmp_path)
    assert ended.code == 2
    assert "next: " not in ended.stderr
