"""Retries: a stage is tried again only as often, and only after the failures, that were given."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.model.option_kinds import Backoff
from fsm_orchestrator.model.retry_policy import DEFAULT_RETRY, RetryPolicy
from tests.support.command import PASSING, events_of, orchestrate, report_of, shell, start, statuses
from tests.support.patience import PATIENCE_SECONDS, wait_until

NOTE = "echo $ORCHESTRATOR_ATTEMPT >> tries; "
QUICK = ("--manager-backoff-ms", "1")
AFTER_75 = (*QUICK, "--manager-retry-exit-code", "75")


def tries(tmp_path: Path) -> int:
    """Return how often the manager was started."""
    path = tmp_path / "tries"
    return len(path.read_text().splitlines()) if path.exists() else 0


def managed(script: str, *options: str) -> tuple[str, ...]:
    """Return options of a run whose manager notes each start."""
    return ("out", *PASSING, *shell("manager", NOTE + script), *options)


def test_no_retry_unless_asked_for(tmp_path: Path) -> None:
    """By default a stage has one attempt."""
    assert orchestrate(*managed("exit 75"), cwd=tmp_path).code == 1
    assert tries(tmp_path) == 1


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_limit_is_the_limit(tmp_path: Path, limit: int) -> None:
    """A stage that never succeeds is started as often as the limit says, not once more."""
    options = (*AFTER_75, "--manager-max-attempts", str(limit))
    assert orchestrate(*managed("exit 75", *options), cwd=tmp_path).code == 1
    assert tries(tmp_path) == limit
    report = report_of(tmp_path / "out")
    assert statuses(report) == [("manager", "failed")] * limit
    assert [one["attempt"] for one in report["stage_executions"]] == list(range(1, limit + 1))
    assert len({one["idempotency_key"] for one in report["stage_executions"]}) == 1


def test_success_after_a_retry_is_flaky(tmp_path: Path) -> None:
    """Report and summary mark it, a warning is given, and only the success completes the stage."""
    options = (*AFTER_75, "--manager-max-attempts", "3")
    ended = orchestrate(*managed("test $(wc -l < tries) = 2 || exit 75", *options), cwd=tmp_path)
    assert ended.code == 0
    report = report_of(tmp_path / "out")
    flaky = [(one["attempt"], one["flaky"]) for one in report["stage_executions"]]
    assert flaky == [(1, False), (2, True)]
    assert any("flaky" in warning for warning in report["warnings"])
    assert "flaky: it had failed before" in ended.stdout
    (line,) = (one for one in events_of(tmp_path / "out") if one["event"] == "stage.retrying")
    assert (line["attempt"], line["wait_ms"], line["max_attempts"]) == (1, 1, 3)


@pytest.mark.parametrize(
    ("script", "options", "expected"),
    [
        ("exit 74", AFTER_75, 1),
        ("exit 74", (*AFTER_75, "--manager-retry-exit-code", "74"), 3),
        ("kill -SEGV $$", AFTER_75, 1),
        ("exec sleep 60", (*AFTER_75, "--manager-timeout-ms", "100"), 1),
        ("exec sleep 60", (*QUICK, "--manager-retry-timeouts", "--manager-timeout-ms", "100"), 3),
        (
            "exec sleep 60",
            (*QUICK, "--manager-retry-timeouts", "--manager-idle-timeout-ms", "100"),
            3,
        ),
        ("exit 75", (*QUICK, "--manager-retry-timeouts"), 1),
        ("exit 0", (*AFTER_75, "--manager-expected-artifact", "absent"), 1),
    ],
)
def test_only_what_is_named_is_tried_again(
    tmp_path: Path, script: str, options: tuple[str, ...], expected: int
) -> None:
    """Other exit codes, signals and wrong artifacts end the stage, as do unlisted timeouts."""
    arguments = managed(f"ulimit -c 0; {script}", *options, "--manager-max-attempts", "3")
    assert orchestrate(*arguments, cwd=tmp_path).code in {1, 124}
    assert tries(tmp_path) == expected


def test_budget_survives_a_resume(tmp_path: Path) -> None:
    """Attempts are counted over the whole run; a resume has the rest, and at least one."""
    options = (*AFTER_75, "--manager-max-attempts", "3")
    assert orchestrate(*managed("test -e go && exit 75; exit 1", *options), cwd=tmp_path).code == 1
    assert tries(tmp_path) == 1
    (tmp_path / "go").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    assert tries(tmp_path) == 3
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    assert tries(tmp_path) == 4


def test_wait_for_a_retry_is_interrupted_at_once(tmp_path: Path) -> None:
    """SIGINT during the backoff ends the run with 130; nothing starts, and a resume continues."""
    options = ("--manager-retry-exit-code", "75", "--manager-backoff-ms", "600000")
    arguments = managed("test -e go || exit 75", *options, "--manager-backoff-ms-max", "600000")
    process = start(*arguments, "--manager-max-attempts", "2", cwd=tmp_path)
    events = tmp_path / "out" / "orchestrator_events.jsonl"
    wait_until(lambda: events.exists() and "stage.retrying" in events.read_text())
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert tries(tmp_path) == 1
    (tmp_path / "go").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


def test_lifecycle_may_say_it_and_the_option_wins(tmp_path: Path) -> None:
    """The file's retry settings count; options replace them key by key."""
    shipped = (Path(__file__).parents[2] / "states" / "governed_run.toml").read_text()
    retry = "\nretry = { max_attempts = 3, exit_codes = [75], backoff_ms = 1 }"
    mine = tmp_path / "mine.toml"
    declared = 'name = "manager"\nkind = "stage"'
    assert declared in shipped
    mine.write_text(shipped.replace(declared, declared + retry, 1))
    arguments = (*managed("exit 75"), "--lifecycle", "./mine.toml")
    assert orchestrate(*arguments, cwd=tmp_path).code == 1
    assert tries(tmp_path) == 3
    assert orchestrate(*arguments, "--manager-max-attempts", "2", cwd=tmp_path).code == 1
    assert tries(tmp_path) == 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--manager-max-attempts", "3"), "names nothing to retry after"),
        (("--manager-max-attempts", "0"), "1 to 1000"),
        (("--manager-retry-exit-code", "0"), "1 to 255"),
        (("--manager-backoff", "random"), "fixed"),
    ],
)
def test_senseless_retry_is_a_usage_error(
    tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    """A retry that never applies or is impossible is refused before anything runs."""
    ended = orchestrate(*managed("exit 0", *options), cwd=tmp_path)
    assert ended.code == 2
    assert told in ended.stderr
    assert tries(tmp_path) == 0


@pytest.mark.parametrize(
    ("given", "waits"),
    [
        ({}, [1000, 1000, 1000]),
        ({"backoff": Backoff.EXPONENTIAL}, [1000, 2000, 4000]),
        ({"backoff": Backoff.EXPONENTIAL, "backoff_ms": 7, "backoff_ms_max": 20}, [7, 14, 20]),
        ({"backoff_ms": 90_000}, [60_000] * 3),
        ({"backoff_ms": 0}, [0, 0, 0]),
    ],
)
def test_wait_before_each_retry(given: dict[str, Any], waits: list[int]) -> None:
    """The wait is fixed or doubled each time, never above the longest, however many there are."""
    policy = RetryPolicy(**given).over(DEFAULT_RETRY)
    assert [policy.wait_ms(retry) for retry in (1, 2, 3)] == waits
    assert policy.wait_ms(1000) <= 60_000
