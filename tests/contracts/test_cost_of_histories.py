"""The counted cost of a run with thousands of earlier invocations: no more than another's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.record.events_mark import CHUNK_BYTES
from tests.support.command import EVENTS, INVOCATIONS
from tests.support.counting import Call, Installed, Kind, can_trace, numbers
from tests.support.long_history import failed_often, left_so, with_history

pytestmark = pytest.mark.one_in(2)

FEW: Final = 100
MANY: Final = 5000
COMMANDS: Final = (
    (("status", "./out"), 0),
    (("explain", "./out"), 0),
    (("plan", "./out", "--resume"), 0),
    (("report", "./out"), 0),
    (("./out", "--resume"), 1),
)

DIGITS_BYTES: Final = 64


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that was invoked a few times."""
    output = tmp_path_factory.mktemp("history") / "out"
    failed_often(output)
    return output


def read_of(calls: Sequence[Call], name: str) -> list[int]:
    """Return how much was read of a file, call by call."""
    return [
        one.size_bytes for one in calls if one.kind is Kind.READ and Path(one.path).name == name
    ]


@pytest.mark.skipif(not can_trace(), reason="needs strace to count system calls")
@pytest.mark.parametrize(("arguments", "code"), COMMANDS)
def test_cost_is_flat_in_the_number_of_earlier_invocations(
    arguments: tuple[str, ...], code: int, installed: Installed, original: Path, tmp_path: Path
) -> None:
    """The calls for 100 and 5,000 are the same, and only the ends of growing files are read."""
    told = []
    for number in (FEW, MANY):
        cwd = tmp_path / f"{number:05}"
        with_history(original, cwd / "out", number)
        left_so(cwd / "out", cwd / "state")
        assert (cwd / "out" / INVOCATIONS).stat().st_size > 100 * number
        told.append(installed.traced(arguments, cwd, code=code))
    few, many = told
    for name in (INVOCATIONS, EVENTS):
        reads, before = read_of(many, name), read_of(few, name)
        assert len(reads) == len(before)
        # An invocation reads what it wrote itself again: its times and pids differ in length.
        assert all(abs(a - b) <= DIGITS_BYTES for a, b in zip(reads, before, strict=True))
        # Their ends are read to continue, to compare them with what was left, and to print what is
        # next.
        assert sum(reads) <= 14 * CHUNK_BYTES
    assert numbers(many) == numbers(few)
