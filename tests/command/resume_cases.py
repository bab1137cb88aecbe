"""Make runs that are half done, unclosed or finished, and resume them."""

from __future__ import annotations

from pathlib import Path

from tests.support.command import PASSING, orchestrate, stages, tree_of

MANAGER = "echo manager >> trace"
EXECUTOR_WHEN_READY = "echo executor >> trace; test -e ready"
PLANNING = "echo manager >> trace; echo '{}' > plan.json"
PLAN = ("--manager-expected-artifact", "plan.json")


def ran(directory: Path) -> list[str]:
    """The stages that really ran there, in order: each leaves its name in `trace`."""
    trace = directory / "trace"
    return trace.read_text().split() if trace.exists() else []


def half_done(directory: Path, *options: str) -> Path:
    """A run whose manager completed and whose executor failed, and fails until `ready` exists."""
    given = (*PASSING, *stages(MANAGER, EXECUTOR_WHEN_READY), *options)
    assert orchestrate("out", *given, cwd=directory).code == 1
    return directory / "out"


def refused(*arguments: str, cwd: Path, untouched: Path | None = None) -> str:
    """What a refused request says; nothing was started and nothing written or made."""
    places = [cwd, *([untouched] if untouched else [])]
    before = [(tree_of(place), sorted(place.rglob("*"))) for place in places]
    ended = orchestrate(*arguments, cwd=cwd)
    assert (ended.code, ended.stdout) == (2, ""), ended
    assert [(tree_of(place), sorted(place.rglob("*"))) for place in places] == before
    return ended.stderr
