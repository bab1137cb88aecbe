"""The published schemas refuse what no run could have written."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.schemas import SchemaName
from tests.contracts.schema_cases import ENDINGS, Document, Place, at, may_close, run_to
from tests.support.command import checkpoint_of, events_of, report_of
from tests.support.schema_checks import assert_valid, is_valid

# -- forged files ---------------------------------------------------------------------------

MAPS: Final = frozenset({"stages", "env_digests", "secret_digests", "by_setting", "stages_since"})
"""Keys whose objects may have any number of their own keys …"""
NAMES_ARE_FREE: Final = frozenset({"env_digests", "secret_digests"})
"""… with any name."""
EXECUTIONS: Final = "stage_executions"
"""Their `program` may be missing: where nothing was started, or the clock is stopped."""


def places_in(document: Any, place: Place = ()) -> Iterator[Place]:
    """Yield every place in a document; of a list only its first."""
    inside: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        inside = list(document.items())
    elif isinstance(document, list):
        inside = list(enumerate(document[:1]))
    for key, value in inside:
        yield (*place, key)
        yield from places_in(value, (*place, key))


def forgeries_of(document: Document, below: Place) -> Iterator[tuple[str, Document]]:
    """Yield forgeries of the document, each with one thing wrong below a place, and its name."""
    for place in (below, *places_in(at(document, below), below)):
        value = at(document, place)
        if place:
            retyped = copy.deepcopy(document)
            at(retyped, place[:-1])[place[-1]] = "yes" if isinstance(value, bool) else True
            yield f"{place} retyped", retyped
        if place and isinstance(place[-1], str) and not MAPS & {*place[-2:-1]}:
            lacking = copy.deepcopy(document)
            del at(lacking, place[:-1])[place[-1]]
            yield f"{place} removed", lacking
        if isinstance(value, dict) and not NAMES_ARE_FREE & {*place[-1:]}:
            extended = copy.deepcopy(document)
            at(extended, place)["Forged!"] = next(iter(value.values()), 1)
            yield f"{place} extended", extended


def accepted(name: SchemaName, document: Document, *, below: Place = ()) -> list[str]:
    """Return the forgeries of a document, below a place of it, that its schema accepts."""
    assert_valid(name, document, name.value)
    return [what for what, forged in forgeries_of(document, below) if is_valid(name, forged)]


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the output directory of a done run that has a value in every field."""
    return run_to(ENDINGS["done, richly"], tmp_path_factory.mktemp("rich"))


def test_forged_report_is_refused(rich: Path) -> None:
    """A report with a key removed, unknown or of another type, at any depth, is not valid."""
    assert accepted(SchemaName.REPORT, report_of(rich)) == [
        f"('{EXECUTIONS}', 0, 'program') removed",
        f"('earlier_invocations', 0, '{EXECUTIONS}', 0, 'program') removed",
    ]


def test_forged_checkpoint_is_refused(rich: Path, tmp_path: Path) -> None:
    """A checkpoint with a key removed, unknown or of another type, at any depth, is not valid."""
    done = checkpoint_of(rich)
    killed = checkpoint_of(run_to(ENDINGS["killed"], tmp_path))
    assert killed["open_attempts"]
    lacking = f"('invocations', 0, '{EXECUTIONS}', 0, 'program') removed"
    assert accepted(SchemaName.CHECKPOINT, done) == [lacking]
    killed_late = {**done, "open_attempts": killed["open_attempts"]}
    assert accepted(SchemaName.CHECKPOINT, killed_late, below=("open_attempts",)) == []


MAY_LACK: Final = {
    "run.warning": ("stage",),
    "run.ended": ("containment",),
}
"""The keys that events of a file may lack …"""
UNCHAINED: Final = ("prev", "mac")
"""… and the keys that they may all lack, where there is no file, or no key."""


def test_forged_event_is_refused(rich: Path) -> None:
    """A line with a key removed, unknown or of another type, at any depth, is not valid."""
    events = {event["event"]: event for event in events_of(rich)}
    assert len(events) >= 8
    for event in events.values():
        may_lack = {
            f"('{key}',) removed" for key in (*UNCHAINED, *MAY_LACK.get(event["event"], ()))
        }
        may_lack |= {"('execution', 'program') removed"}
        may_lack |= {f"('settings', '{key}') removed" for key in event.get("settings", ())}
        assert set(accepted(SchemaName.EVENT, event)) <= may_lack, event


# -- closing --------------------------------------------------------------------------------


def with_decision(number: int, **changes: Any) -> Callable[[Document], object]:
    """Return a forger that changes one of the decisions."""
    return lambda report: report["gate_decisions"][number].update(changes)


@pytest.mark.parametrize(
    "forge",
    [
        lambda report: report.update(terminal_state="failed"),
        lambda report: report.update(terminal_state=None),
        lambda report: report.update(blocked_reason_codes=["GATE_CI_NOT_SUCCESS"]),
        lambda report: report.update(gate_decisions=[]),
        lambda report: report["gate_decisions"].pop(),
        lambda report: report["gate_decisions"].append(report["gate_decisions"][0]),
        lambda report: report["gate_decisions"].reverse(),
        with_decision(1, gate="policy"),
        with_decision(0, status="deny"),
        with_decision(1, status="missing"),
        with_decision(2, passed=False),
        with_decision(2, reason_code="GATE_REVIEW_NOT_APPROVED"),
    ],
)
def test_report_that_contradicts_its_closing_is_refused(
    forge: Callable[[Document], object], rich: Path
) -> None:
    """A report that claims closure_ready and contradicts it is not valid."""
    report = report_of(rich)
    assert may_close(report)
    forge(report)
    assert not is_valid(SchemaName.REPORT, report)
    assert not may_close(report)
    report["closure_ready"] = False
    assert not may_close(report)


@pytest.mark.parametrize("name", ["blocked", "failed", "done, an artifact lost since"])
def test_report_of_another_ending_never_closes(name: str, tmp_path: Path) -> None:
    """Only a done run's report closes when its one flag is set."""
    report = report_of(run_to(ENDINGS[name], tmp_path))
    assert not may_close(report)
    assert is_valid(SchemaName.REPORT, report)
    report["closure_ready"] = True
    assert may_close(report) is (report["terminal_state"] == "done")


def test_reason_codes_are_for_blocked_runs(tmp_path: Path) -> None:
    """A run that is not blocked has no reason codes."""
    report = report_of(run_to(ENDINGS["blocked"], tmp_path))
    assert report["blocked_reason_codes"]
    assert not is_valid(SchemaName.REPORT, {**report, "terminal_state": "failed"})
