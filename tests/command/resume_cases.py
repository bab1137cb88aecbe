"""Makes runs that are half done, not closed or finished, and resumes them."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import PASSING, orchestrate, stages, tree_of

MANAGER = "echo manager >> trace"
EXECUTOR_WHEN_READY = "echo executor >> trace; test -e ready"
PLANNING = "echo manager >> trace; echo '{}' > plan.json"
PLAN = ("--manager-expected-artifact", "plan.json")


def ran(directory: Path) -> list[str]:
    """Return the stages that really ran there, in order: each leaves its name in `trace`."""
    trace = directory / "trace"
    return trace.read_text().split() if trace.exists() else []


def half_done(directory: Path, *options: str) -> Path:
    """Make a run whose manager completed and whose executor fails until `ready` exists."""
    given = (*PASSING, *stages(MANAGER, EXECUTOR_WHEN_READY), *options)
    assert orchestrate("out", *given, cwd=directory).code == 1
    return directory / "out"


def refused(*arguments: str, cwd: Path, untouched: Path | None = None) -> str:
    """Return the message of a refused request that started, wrote and made nothing."""
    places = [cwd, *([untouched] if untouched else [])]
    before = [(tree_of(place), sorted(place.rglob("*"))) for place in places]
    ended = orchestrate(*arguments, cwd=cwd)
    assert (ended.code, ended.stdout) == (2, ""), ended
    assert [(tree_of(place), sorted(place.rglob("*"))) for place in places] == before
    return ended.stderr
