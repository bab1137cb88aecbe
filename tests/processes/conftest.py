"""Fixtures that the tests of processes share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm_orchestrator.processes import pidfds
from fsm_orchestrator.vocabulary import Containment
from tests.processes import living
from tests.processes.containment_cases import Witness
from tests.processes.runner_cases import Bench


@pytest.fixture
def witness() -> Iterator[Witness]:
    """Yield this process as a subreaper; all processes that came to it end after the test."""
    witness = Witness()
    living.be_subreaper(is_one=True)
    try:
        yield witness
    finally:
        witness.close()
        living.be_subreaper(is_one=False)


@pytest.fixture(params=list(Containment))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Yield a runner of each kind, whose processes are gone when the test is over."""
    if request.param is Containment.SUBREAPER and not sys.platform.startswith("linux"):
        pytest.skip("this platform has no subreaper")
    bench = Bench(tmp_path, request.param)
    yield bench
    bench.close()


@pytest.fixture(params=["pidfd", "thread"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice the end of processes through a pidfd, and without one."""
    if request.param == "thread":
        monkeypatch.setattr(pidfds, "are_usable", lambda: False)
    elif not pidfds.are_usable():
        pytest.skip("this platform has no pidfd")
