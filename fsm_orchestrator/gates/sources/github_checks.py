"""Check runs and commit statuses of a commit, judged: every named one must have succeeded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple

from fsm_orchestrator.gates.sources.envelope import RefusedError
from fsm_orchestrator.gates.sources.github_api import half
from fsm_orchestrator.gates.sources.predicates import Said
from fsm_orchestrator.model.declared import BaseModel, ConfigDict
from fsm_orchestrator.model.evidence import Checks, EvidenceProblem
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.text.phrases import counted, listed

_NAMED_MAX: Final = 20
_STATUS: Final = "commit status"
_WAITING: Final = frozenset({"queued", "in_progress", "waiting", "requested", "pending"})
_UNTESTED: Final = frozenset({"skipped", "neutral"})


class _Answer(BaseModel):
    """The keys of GitHub's objects that count; the objects have more."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _App(_Answer):
    id: int
    slug: str | None = None


class _Suite(_Answer):
    id: int


class CheckRun(_Answer):
    """A check run."""

    id: int
    head_sha: str
    name: str
    status: str
    conclusion: str | None = None
    completed_at: str | None = None
    app: _App | None = None
    check_suite: _Suite | None = None


class CheckRuns(_Answer):
    """A page of check runs."""

    total_count: int
    check_runs: tuple[CheckRun, ...]


class _Status(_Answer):
    id: int
    context: str
    state: str
    updated_at: str | None = None


class Statuses(_Answer):
    """A page of a commit's combined status: the newest of each context."""

    sha: str
    total_count: int
    statuses: tuple[_Status, ...]


class Outcome(Enum):
    """The outcome of a check, the most serious first."""

    FAILED = "failed"
    SKIPPED = "skipped"
    PENDING = "pending"
    MISSING = "missing"
    PASSED = "succeeded"


_ORDER: Final = tuple(Outcome)
_PROBLEMS: Final = {
    Outcome.FAILED: EvidenceProblem.CHECK_FAILED,
    Outcome.SKIPPED: EvidenceProblem.NOTHING_CHECKED,
    Outcome.PENDING: EvidenceProblem.CHECK_PENDING,
    Outcome.MISSING: EvidenceProblem.CHECK_MISSING,
}


class _Result(NamedTuple):
    """A result under a name: GitHub's word for it, its maker, and its time."""

    name: str
    outcome: Outcome
    word: str
    by: str
    at: str | None


def judged_checks(
    run_pages: Sequence[CheckRuns],
    status_pages: Sequence[Statuses],
    commit: str,
    names: Iterable[str],
) -> Said:
    """Judge the checks of these names.

    Raises:
        RefusedError: the pages are incomplete, or are about another commit.
    """
    results = [
        *_of_runs(_all_runs(run_pages, commit)),
        *_of_statuses(_all_statuses(status_pages, commit)),
    ]
    found: dict[Outcome, list[str]] = {one: [] for one in Outcome}
    times: list[datetime] = []
    makers: dict[str, None] = {}
    for name in names:
        own = [one for one in results if one.name == name]
        outcome = min((one.outcome for one in own), key=_ORDER.index, default=Outcome.MISSING)
        found[outcome].append(_words(name, [one for one in own if one.outcome is outcome]))
        makers |= dict.fromkeys(one.by for one in own)
        times += [instant(one.at) for one in own if one.at is not None]
    passed = len(found[Outcome.PASSED])
    worst = next(one for one in _ORDER if found[one])
    return Said(
        _PROBLEMS.get(worst),
        _detail(found, has_any=bool(results)),
        Checks(
            passed=passed,
            failed=len(found[Outcome.FAILED]),
            skipped=len(found[Outcome.SKIPPED]),
            missing=len(found[Outcome.MISSING]) + len(found[Outcome.PENDING]),
        ),
        issuer=listed(list(makers)) or None,
        issued_at=min(times, default=None),
    )


def _all_runs(pages: Sequence[CheckRuns], commit: str) -> list[CheckRun]:
    runs = [one for page in pages for one in page.check_runs]
    _assert_whole("check run", {page.total_count for page in pages}, [one.id for one in runs])
    foreign = {one.head_sha for one in runs} - {commit}
    if foreign:
        raise _of_another(foreign)
    return runs


def _all_statuses(pages: Sequence[Statuses], commit: str) -> list[_Status]:
    statuses = [one for page in pages for one in page.statuses]
    _assert_whole("status", {page.total_count for page in pages}, [one.context for one in statuses])
    foreign = {page.sha for page in pages} - {commit}
    if foreign:
        raise _of_another(foreign)
    return statuses


def _of_another(foreign: Iterable[str]) -> RefusedError:
    said = f"GitHub answered about the commit {copyable(min(foreign))}"
    return RefusedError(EvidenceProblem.WRONG_SUBJECT, said)


def _assert_whole(noun: str, totals: set[int], keys: Sequence[Any]) -> None:
    if len(totals) != 1:
        raise half(f"its pages state totals of {listed([str(one) for one in sorted(totals)])}")
    total = totals.pop()
    if total != len(keys):
        raise half(f"it has {counted(len(keys), noun)}, and states a total of {total}")
    if len(set(keys)) != len(keys):
        raise half(f"it has a {noun} twice")


def _of_runs(runs: Iterable[CheckRun]) -> list[_Result]:
    """Return the newest run of each name in each check suite: it has replaced the others.

    A suite belongs to one app. A run of the same name in another suite is another check, not a
    re-run, and has to succeed as well.
    """
    newest: dict[tuple[int, int, str], CheckRun] = {}
    for run in sorted(runs, key=lambda one: one.id):
        app = 0 if run.app is None else run.app.id
        suite = 0 if run.check_suite is None else run.check_suite.id
        newest[app, suite, run.name] = run
    return [_of_run(one) for one in newest.values()]


def _of_run(run: CheckRun) -> _Result:
    by = (run.app.slug or f"app {run.app.id}") if run.app is not None else "an unknown app"
    if run.status in _WAITING:
        return _Result(run.name, Outcome.PENDING, run.status, by, None)
    if run.status != "completed":
        return _Result(run.name, Outcome.FAILED, f"status {run.status}", by, None)
    word = run.conclusion or "no conclusion"
    outcome = Outcome.FAILED
    if run.conclusion == "success":
        outcome = Outcome.PASSED
    elif run.conclusion in _UNTESTED:
        outcome = Outcome.SKIPPED
    return _Result(run.name, outcome, word, by, run.completed_at)


def _of_statuses(statuses: Iterable[_Status]) -> list[_Result]:
    known = {"success": Outcome.PASSED, "pending": Outcome.PENDING}
    return [
        _Result(
            one.context, known.get(one.state, Outcome.FAILED), one.state, _STATUS, one.updated_at
        )
        for one in statuses
    ]


def _words(name: str, results: Sequence[_Result]) -> str:
    """Return a name with its results and their makers: `lint (failure, github-actions)`."""
    said = "; ".join(f"{copyable(one.word)}, {copyable(one.by)}" for one in results)
    return f"{copyable(name)} ({said})" if said else copyable(name)


def _detail(found: dict[Outcome, list[str]], *, has_any: bool) -> str:
    total = sum(map(len, found.values()))
    parts = [f"{len(found[Outcome.PASSED])} of {counted(total, 'check')} succeeded"]
    for outcome in _ORDER:
        words = found[outcome]
        if not words or (outcome is Outcome.PASSED and len(words) < total):
            continue
        more = [f"{len(words) - _NAMED_MAX} more"] if len(words) > _NAMED_MAX else []
        parts.append(f"{outcome.value}: {listed([*words[:_NAMED_MAX], *more])}")
    if not has_any:
        parts.append("the commit has no check at all")
    return "; ".join(parts)
