"""Kept signals have an age: who gave them, when, to which invocation, and later changes."""

from __future__ import annotations

import getpass
import json
import os
import re
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.model.invocation import SignalGiven
from fsm_orchestrator.preparation.kept_signals import given_words
from tests.support.command import PASSING, checkpoint_of, orchestrate, report_of, shell, stages

FIRST: Final = ("--fixed-clock", "2026-01-02T03:04:05Z")
LATER: Final = ("--fixed-clock", "2026-01-19T03:04:05Z")
AGE: Final = "policy, ci and review: given 17 days ago in invocation 1"


def given_of(output: Path) -> list[Any]:
    """Return when and by whom each decision's signal was given."""
    return [one["given"] for one in report_of(output)["gate_decisions"]]


def of_signals(warnings: list[str]) -> list[str]:
    """Return the warnings that are about kept signals."""
    return [one for one in warnings if "kept signals" in one]


def test_signal_says_when_and_by_whom_it_was_given(tmp_path: Path) -> None:
    """Report and checkpoint name the user, the machine, the time and the invocation, forever."""
    given = ("--policy-status", "allow", "--ci-status", "pending")
    assert orchestrate("out", *given, *stages(), cwd=tmp_path).code == 3
    policy, ci, review = given_of(tmp_path / "out")
    report = report_of(tmp_path / "out")
    assert review is None
    assert policy == ci
    assert policy["at"] <= report["started_at"]
    assert {**policy, "at": ""} == {
        "at": "",
        "invocation": 1,
        "user": getpass.getuser(),
        "uid": os.getuid(),
        "host": os.uname().nodename,
    }
    better = ("--ci-status", "success", "--review-status", "approved")
    assert orchestrate("out", "--resume", *better, cwd=tmp_path).code == 0
    now = given_of(tmp_path / "out")
    assert now[0] == policy
    assert [one["invocation"] for one in now] == [1, 2, 2]
    assert [one["given"] for one in checkpoint_of(tmp_path / "out")["gate_signals"]] == now


@pytest.mark.parametrize(
    ("user", "uid", "until", "words"),
    [
        ("ann", 7, "2026-01-19T04:00:00.000Z", "given 17 days ago by ann in invocation 2"),
        (None, 7, "2026-01-19T03:04:05.000Z", "given 17 days ago by uid 7 in invocation 2"),
        (None, None, "2026-01-02T06:04:05.000Z", "given 3h00m ago in invocation 2"),
        ("ann", 7, None, "given 2026-01-02T03:04:05.000Z by ann in invocation 2"),
        ("ann", 7, "2025-12-31T00:00:00.000Z", "given 0ms ago by ann in invocation 2"),
    ],
)
def test_words_for_the_age_of_a_signal(
    user: str | None, uid: int | None, until: str | None, words: str
) -> None:
    """Days are used from two days on; a clock that was set back makes no negative age."""
    given = SignalGiven(
        at="2026-01-02T03:04:05.000Z", invocation=2, user=user, uid=uid, host="here"
    )
    assert given_words(given, until) == words


def test_age_is_shown_by_plan_explain_and_summary(tmp_path: Path) -> None:
    """A kept signal is shown with its age wherever gates are."""
    options = (*PASSING, *shell("manager", "exit 1"))
    assert orchestrate("out", *options, *FIRST, cwd=tmp_path).code == 1
    plan = orchestrate("plan", "out", "--resume", *LATER, cwd=tmp_path)
    assert AGE in plan.stdout
    refused = ("--ci-status", "failure", *LATER)
    ended = orchestrate("out", "--resume", *refused, cwd=tmp_path)
    assert ended.code == 3
    assert "policy and review: given 17 days ago in invocation 1" in ended.stdout
    explained = orchestrate("explain", "out", "--all", cwd=tmp_path).stdout
    words = re.sub(r"\s+", " ", explained)
    assert re.search(r"policy and review: given \d+ days ago in invocation 1", words), explained


@pytest.mark.parametrize(
    "option", [("--executor-bin", "true"), ("--executor-arg", "-x"), ("--executor-env", "TONE=x")]
)
def test_resume_with_other_settings_warns_of_the_age_of_what_lets_it_run(
    tmp_path: Path, option: tuple[str, ...]
) -> None:
    """A pass given for another executor is kept, and the report warns of it, also next time."""
    options = (*PASSING, *stages(executor="exit 1"))
    assert orchestrate("out", *options, *FIRST, cwd=tmp_path).code == 1
    assert orchestrate("out", "--resume", *LATER, cwd=tmp_path).code == 1
    assert of_signals(report_of(tmp_path / "out")["warnings"]) == []
    plan = json.loads(
        orchestrate("plan", "out", "--resume", *option, *LATER, "--json", cwd=tmp_path).stdout
    )
    orchestrate("out", "--resume", *option, *LATER, cwd=tmp_path)
    (warning,) = of_signals(report_of(tmp_path / "out")["warnings"])
    assert of_signals(plan["warnings"]) == [warning]
    assert "policy, ci and review were given 17 days ago in invocation 1" in warning
    assert "before stage 'executor' got the settings" in warning


@pytest.mark.parametrize(
    ("option", "clock"), [(("--executor-timeout-ms", "900"), LATER), (("--executor-arg=x",), FIRST)]
)
def test_limit_or_a_change_on_the_same_day_is_not_worth_a_warning(
    tmp_path: Path, option: tuple[str, ...], clock: tuple[str, ...]
) -> None:
    """Repairing a failed stage, or giving it more time, causes no warning."""
    options = (*PASSING, *stages(executor="exit 1"))
    assert orchestrate("out", *options, *FIRST, cwd=tmp_path).code == 1
    assert orchestrate("out", "--resume", *option, *clock, cwd=tmp_path).code != 2
    assert of_signals(report_of(tmp_path / "out")["warnings"]) == []


def test_signals_given_again_are_new(tmp_path: Path) -> None:
    """Signals given again with the new settings cause no warning about the old ones."""
    options = (*PASSING, *stages(executor="exit 1"))
    assert orchestrate("out", *options, *FIRST, cwd=tmp_path).code == 1
    again = ("--resume", *PASSING, "--executor-bin", "true", *LATER)
    assert orchestrate("out", *again, cwd=tmp_path).code == 0
    assert of_signals(report_of(tmp_path / "out")["warnings"]) == []
    assert [one["invocation"] for one in given_of(tmp_path / "out")] == [2, 2, 2]
