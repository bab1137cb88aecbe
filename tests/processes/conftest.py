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
    """This process as a subreaper, with all that came to it gone after the test."""
    witness = Witness()
    living.be_subreaper(is_one=True)
    try:
        yield witness
    finally:
        witness.close()
        living.be_subreaper(is_one=False)


@pytest.fixture(params=list(Containment))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """A runner whose processes are gone when the test is over; of each kind."""
    if request.param is Containment.SUBREAPER and not sys.platform.startswith("linux"):
        pytest.skip("this platform has no subreaper")
    bench = Bench(tmp_path, request.param)
    yield bench
    bench.close()


@pytest.fixture(params=["pidfd", "thread"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice the end of processes through a pidfd, and where there is none."""
    if request.param == "thread":
        monkeypatch.setattr(pidfds, "are_usable", lambda: False)
    elif not pidfds.are_usable():
        pytest.skip("this platform has no pidfd")
