"""Answers given while an engine hands their run over: none is lost."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Final

from fsm_orchestrator import claim_epoch
from tests.support.epoch_cases import latest
from tests.support.killed_at import killed_at

ANSWERS, CLAIMS = 60, 20
STEPS: Final = range(1, 20)
"""The steps of a claim that change files, and some more, with an answer for each."""
_ANSWERING = """
import sys
from pathlib import Path
from typing import Final
from types import SimpleNamespace
from fsm_orchestrator.approvals.store import keep_saying
from fsm_orchestrator.disk.where import record_of
from fsm_orchestrator.model.approval import Said
request = SimpleNamespace(predicate=SimpleNamespace(gate="review"), number=1)
for number in range(int(sys.argv[2])):
    keep_saying(record_of(Path(sys.argv[1])), request, Said.APPROVE, f"answer {number}".encode())
"""


def _asked(place: Path) -> Path:
    """Return a run with a request in its first epoch."""
    directory = place / "RUN"
    epoch = claim_epoch(directory, 1, 1)
    (epoch.directory / "approvals").mkdir()
    (epoch.directory / "approvals" / "review.1.request.json").write_text("{}")
    return directory


def _answers(directory: Path) -> set[str]:
    found = (latest(directory) / "approvals").glob("review.1.approve.*.json")
    return {path.read_text() for path in found}


def test_no_answer_is_lost_to_a_claim(tmp_path: Path) -> None:
    """A writer looks again after writing an answer, and a claim looks again after publishing."""
    directory = _asked(tmp_path)
    words = [sys.executable, "-c", _ANSWERING, str(directory), str(ANSWERS)]
    with subprocess.Popen(words) as answering:
        number = 1
        while answering.poll() is None or number < CLAIMS:
            number += 1
            claim_epoch(directory, number, 1)
    assert answering.returncode == 0
    assert _answers(directory) == {f"answer {number}" for number in range(ANSWERS)}


def test_no_answer_is_lost_to_a_claim_that_is_killed(tmp_path: Path) -> None:
    """The next claim looks for the answers that the killed one would have taken along."""
    directory = _asked(tmp_path)
    for step in STEPS:
        before = latest(directory)
        killed_at(step, partial(claim_epoch, directory, step + 1, 1))
        late = before / "approvals" / f"review.1.approve.{step:016x}.json"
        late.write_text(f"answer {step}")  # its writer was killed before looking again
        claim_epoch(directory, step + 1, 2)
    assert _answers(directory) == {f"answer {number}" for number in STEPS}


def test_nothing_that_a_worker_has_written_late_is_taken(tmp_path: Path) -> None:
    """Neither its requests nor its used answers are taken, for it no longer has the run."""
    directory = _asked(tmp_path)
    first = latest(directory)
    claim_epoch(directory, 2, 1)
    for name in ("review.2.request.json", "review.1.used.json"):
        (first / "approvals" / name).write_text("{}")
    claim_epoch(directory, 3, 1)
    names = sorted(path.name for path in (latest(directory) / "approvals").iterdir())
    assert names == ["review.1.request.json"]
