from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_orchestrator.clock import Clock, FixedClock, SystemClock, timestamp
from fsm_orchestrator.constants import RUN_ID_PATTERN
from fsm_orchestrator.preparation.preparation import new_run_id
from tests.support.command import (
    PASSING,
    REPORT,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    stages,
)

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FIXED = "2026-01-31T09:05:00.250Z"
AT = datetime(2026, 1, 31, 9, 5, 0, 250_999, tzinfo=UTC)


class SteppingClock:
    """A clock that advances by `step` at each call."""

    is_fixed = False

    def __init__(self, at: datetime, step: timedelta) -> None:
        self._at = at
        self._step = step

    def now(self) -> datetime:
        """Return the next time."""
        self._at += self._step
        return self._at

    def elapsed_ms(self, since_seconds: float) -> int:
        """Fail: it is never called."""
        raise NotImplementedError(since_seconds)


def times_in(document: Any) -> list[str]:
    """Return every value below a key that is named like a time, at any depth."""
    if isinstance(document, dict):
        own = [
            value
            for key, value in document.items()
            if (key == "at" or key.endswith("_at")) and isinstance(value, str)
        ]
        return own + [time for value in document.values() for time in times_in(value)]
    if isinstance(document, list):
        return [time for value in document for time in times_in(value)]
    return []


# -- the form of times ------------------------------------------------------------------------


def test_a_timestamp_is_utc_with_milliseconds() -> None:
    """A timestamp is ISO 8601 with `Z`, whatever the offset; finer digits are cut, not rounded."""
    assert timestamp(AT) == FIXED
    assert timestamp(AT.astimezone(timezone(timedelta(hours=-7, minutes=-30)))) == FIXED
    assert timestamp(AT.replace(microsecond=999_999)) == "2026-01-31T09:05:00.999Z"
    assert timestamp(AT.replace(microsecond=0)) == "2026-01-31T09:05:00.000Z"


@settings(deadline=None)
@given(
    at=st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),  # noqa: DTZ001 - the offset is added below
    hours=st.integers(-23, 23),
)
def test_a_timestamp_can_be_read_back(at: datetime, hours: int) -> None:
    """A time of any year has the fixed form, and means the same time to the millisecond."""
    aware = at.replace(tzinfo=timezone(timedelta(hours=hours)))
    text = timestamp(aware)
    assert TIMESTAMP.fullmatch(text)
    assert timedelta(0) <= aware - datetime.fromisoformat(text) < timedelta(milliseconds=1)


@settings(deadline=None)
@given(moments=st.lists(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC))))  # noqa: DTZ001 - as above
def test_timestamps_sort_as_their_times_do(moments: list[datetime]) -> None:
    """Timestamps that are sorted as text are sorted by time."""
    assert sorted(map(timestamp, moments)) == [timestamp(one) for one in sorted(moments)]


# -- the clocks -----------------------------------------------------------------------------


def test_a_fixed_clock_stands_still() -> None:
    """A fixed clock always gives the same time, in UTC, and no duration."""
    clock: Clock = FixedClock(AT.astimezone(timezone(timedelta(hours=5))))
    assert [clock.now(), clock.now()] == [AT, AT]
    assert clock.now().tzinfo is UTC
    assert (clock.elapsed_ms(time.monotonic() - 60), clock.is_fixed) == (0, True)


def test_the_system_clock_measures_whole_milliseconds_and_never_less_than_none() -> None:
    """Elapsed time is monotonic, whole and not negative; the time of day is in UTC."""
    clock: Clock = SystemClock()
    assert (clock.now().tzinfo, clock.is_fixed) == (UTC, False)
    assert clock.elapsed_ms(time.monotonic() + 60) == 0
    elapsed = clock.elapsed_ms(time.monotonic() - 60)
    assert isinstance(elapsed, int)
    assert elapsed >= 60_000


# -- run ids --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [timedelta(microseconds=1), timedelta(milliseconds=7), timedelta(days=40)],
    ids=["microsecond", "millisecond", "days"],
)
def test_run_ids_sort_by_time(step: timedelta) -> None:
    """The ids of fifty runs, however close or far apart, are unique, well formed and in order."""
    clock = SteppingClock(datetime(2026, 12, 31, 23, 59, 59, 999_990, tzinfo=UTC), step)
    made = [new_run_id(clock) for _ in range(50)]
    assert sorted(set(made)) == made
    assert all(re.fullmatch(RUN_ID_PATTERN, one) for one in made)


def test_run_ids_of_the_same_moment_are_unique() -> None:
    """A clock that stands still, or ticks slowly, gives no two runs the same id."""
    assert len({new_run_id(FixedClock(AT)) for _ in range(50)}) == 50


def test_runs_get_ids_in_the_order_in_which_they_start(tmp_path: Path) -> None:
    """The later of two commands gets the id that sorts last, also among the archive's names."""
    for _ in range(3):
        orchestrate("./out", *PASSING, cwd=tmp_path)
    archived = {path.name for path in (tmp_path / "out" / "archive").iterdir()}
    last = report_of(tmp_path / "out")["run_id"]
    assert len(archived) == 2
    assert max(archived) < last


# -- --fixed-clock --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("executor", "code"), [("echo '{}' > applied.json", 0), ("echo no >&2; exit 4", 1)]
)
def test_equal_runs_with_a_fixed_clock_give_byte_identical_reports(
    tmp_path: Path, executor: str, code: int
) -> None:
    """With the same OUT, run id and clock, no byte differs; durations are 0, resources null."""
    options = (
        *(*PASSING, *stages("echo '[1]' > plan.json", executor)),
        *("--manager-expected-artifact", "plan.json", "--executor-env", "GREETING=hello there"),
        *("--run-id", "golden", "--fixed-clock", FIXED),
    )
    reports = []
    for number in range(2):
        seed = {"PYTHONHASHSEED": str(number)}
        assert orchestrate("out", *options, cwd=tmp_path, env=seed).code == code
        reports.append((tmp_path / "out" / REPORT).read_bytes())
        (tmp_path / "out").rename(tmp_path / f"aside-{number}")
        (tmp_path / "plan.json").unlink()

    assert reports[0] == reports[1]
    aside = tmp_path / "aside-1"
    documents = [report_of(aside), checkpoint_of(aside), events_of(aside)]
    assert {time for document in documents for time in times_in(document)} == {FIXED}
    for execution in report_of(aside)["stage_executions"]:
        assert (execution["duration_ms"], execution["resources"]) == (0, None)


def test_without_a_fixed_clock_times_go_on_and_resources_are_measured(tmp_path: Path) -> None:
    """Times have the fixed form and do not go back; durations and resources are real."""
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    report = report_of(tmp_path / "out")
    events = [event["at"] for event in events_of(tmp_path / "out")]
    transitions = [one["at"] for one in report["transitions"]]
    for times in (events, transitions, times_in(report), times_in(checkpoint_of(tmp_path / "out"))):
        assert all(TIMESTAMP.fullmatch(one) for one in times)
    assert sorted(events) == events
    assert sorted(transitions) == transitions
    assert report["started_at"] <= transitions[0] <= transitions[-1] <= report["finished_at"]
    for execution in report["stage_executions"]:
        assert isinstance(execution["duration_ms"], int)
        assert execution["resources"]["user_seconds"] >= 0


@pytest.mark.parametrize(
    ("given_time", "expected"),
    [
        ("2026-01-31T11:05:00.250+02:00", FIXED),
        ("2026-01-31T09:05:00.250999", FIXED),
        ("2026-01-31", "2026-01-31T00:00:00.000Z"),
    ],
)
def test_a_fixed_clock_is_told_in_iso_8601(tmp_path: Path, given_time: str, expected: str) -> None:
    """The time has an offset, or is in UTC; the time of day may be left out."""
    orchestrate("out", "--fixed-clock", given_time, cwd=tmp_path)
    assert set(times_in(report_of(tmp_path / "out"))) == {expected}


@pytest.mark.parametrize("given_time", ["yesterday", "", "2026-13-01", "0001-01-01T00:00:00+14:00"])
def test_a_time_that_there_is_not_is_a_usage_error(tmp_path: Path, given_time: str) -> None:
    """The command exits with 2, names the option, and makes nothing."""
    ended = orchestrate("out", "--fixed-clock", given_time, cwd=tmp_path)
    assert (ended.code, list(tmp_path.iterdir())) == (2, [])
    assert "--fixed-clock" in ended.stderr
