"""A plan, its review, and the application of the same plan, with real keys and processes.

The run waits in the background; people answer from other processes, and the files wake it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import RunConfig, claim_epoch, run
from fsm_orchestrator.config.config_file import with_file
from fsm_orchestrator.config.config_reading import load
from tests.approvals.approval_cases import approve, evidence, make_key, request_sha256
from tests.support.command import orchestrate, report_of, start
from tests.support.patience import PATIENCE_SECONDS

BLOCKED, OVER, USAGE = 3, 124, 2


@pytest.fixture
def place(tmp_path: Path, signers: str) -> Path:
    """Make a project that plans, has the plan reviewed, and applies it."""
    (tmp_path / "signers").write_text(signers)
    (tmp_path / "wanted").write_text("drop nothing\n")
    (tmp_path / "run.toml").write_text(
        'lifecycle = "plan_review_apply"\n[gates]\npolicy = "allow"\nci = "success"\n'
        '[gate.review.approval]\nallowed_signers = "signers"\nrequester = "ann@example.org"\n'
        '[stage.manager]\nbin = "cp"\nargs = ["wanted", "plan.md"]\ncwd = "."\n'
        'expected_artifacts = ["plan.md"]\n'
        '[stage.executor]\nbin = "sh"\ncwd = "."\n'
        "args = ['-c', 'cat plan.md >> applied']\n"
    )
    return tmp_path


def waiting(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the event that announces the wait; earlier lines are read as well."""
    assert process.stderr is not None
    for line in process.stderr:
        event: dict[str, Any] = json.loads(line)
        if event["event"] == "gate.waiting":
            return event
    raise AssertionError(process.communicate())


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code and output of a process that was left running."""
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, said


def begun(place: Path) -> subprocess.Popen[str]:
    """Start the run in the background; it has planned, and waits for people."""
    process = start("run", "./out", "--config", "run.toml", "--wait", "5m", cwd=place)
    told = waiting(process)
    assert (told["gate"], told["problem"]) == ("review", "not_found")
    (asked,) = report_of(place / "out")["waiting_for"]
    assert asked["approvers"] == ["bob@example.org", "cat@example.org"]
    return process


def test_next_command_under_an_engine_is_said_to_the_engine(
    place: Path, keys: dict[str, Path]
) -> None:
    """A resume typed by a person would be refused there."""
    out, file = place / "out", place / "run.toml"
    read = load(file, str(file))
    given = RunConfig(output_directory=str(out), directory=place)
    run(with_file(given, read.content, str(file), read.sha256), epoch=claim_epoch(out, 1, 1))
    (request,) = out.glob("epochs/*/approvals/review.1.request.json")
    digest = hashlib.sha256(request.read_bytes()).hexdigest()
    words = ("approve", "./out", "--key", keys["bob"], "--digest", digest)
    answered = orchestrate(*words, cwd=place)
    said = answered.stdout + answered.stderr
    assert "next: fsm-orchestrator temporal signal ./out --approve" in said, said


def test_plan_that_a_second_person_approves_is_applied(place: Path, keys: dict[str, Path]) -> None:
    """The requester cannot approve; another person can, and the waiting run continues."""
    process = begun(place)
    assert approve(place, keys["ann"]).code == USAGE
    assert approve(place, make_key(place, "stranger")).code == USAGE
    assert not (place / "applied").exists()
    assert approve(place, keys["bob"], "--reason", "read it twice").code == 0
    code, said = ended(process)
    assert (code, said.count("done: run")) == (0, 1)
    assert (place / "applied").read_text() == "drop nothing\n"
    report = report_of(place / "out")
    assert (report["closure_ready"], len(report["earlier_invocations"])) == (True, 1)
    assert evidence(place)["signer"] == "bob@example.org"
    waited = orchestrate("wait", "./out", cwd=place)
    assert waited.code == 0


def test_denial_ends_the_wait(place: Path, keys: dict[str, Path]) -> None:
    """Nothing is applied, and the run names who denied it."""
    process = begun(place)
    named = ("--digest", request_sha256(place), "--reason", "drops a table")
    denied = orchestrate("deny", "./out", "--key", keys["cat"], *named, cwd=place)
    assert denied.code == 0, denied.stderr
    code, said = ended(process)
    assert (code, "refused: review" in said) == (BLOCKED, True)
    assert not (place / "applied").exists()
    assert orchestrate("wait", "./out", cwd=place).code == BLOCKED


def test_tampered_plan_is_stale_and_asked_anew(place: Path, keys: dict[str, Path]) -> None:
    """The approved plan no longer exists: a resume is refused first, then people are asked."""
    process = begun(place)
    (place / "plan.md").write_text("drop everything\n")
    first = request_sha256(place)
    named = ("--digest", first)
    orchestrate("approve", "./out", "--key", keys["bob"], *named, cwd=place)
    process.send_signal(15)
    ended(process)
    assert orchestrate("run", "./out", "--resume", cwd=place).code == USAGE
    assert not (place / "applied").exists()
    again = ("run", "./out", "--resume", "--on-changed-stage", "rerun", "--wait", "5m")
    process = start(*again, cwd=place)
    waiting(process)
    (place / "applied").unlink(missing_ok=True)
    assert approve(place, keys["cat"]).code == 0
    assert ended(process)[0] == 0
    assert (place / "applied").read_text() == "drop nothing\n"


def test_plan_that_was_kept_is_asked_anew(place: Path, keys: dict[str, Path]) -> None:
    """The approval of the earlier plan is stale, and people are asked about the present one."""
    process = begun(place)
    process.send_signal(15)
    assert ended(process)[0] == 128 + 15
    first = request_sha256(place)
    assert approve(place, keys["bob"]).code == 0
    (place / "plan.md").write_text("drop everything\n")
    kept = ("run", "./out", "--resume", "--on-changed-stage", "keep")
    assert orchestrate(*kept, cwd=place).code == BLOCKED
    assert not (place / "applied").exists()
    assert request_sha256(place) != first
    assert approve(place, keys["cat"]).code == 0
    assert orchestrate(*kept, cwd=place).code == 1
    report = report_of(place / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("done", False)
    assert (place / "applied").read_text() == "drop everything\n"


def test_request_that_expires_ends_the_wait(place: Path) -> None:
    """Silence is neither consent nor denial: the run is blocked as before and can ask again."""
    text = (place / "run.toml").read_text()
    terms = 'requester = "ann@example.org"\n'
    (place / "run.toml").write_text(text.replace(terms, f'{terms}expires = "3s"\n'))
    process = start("run", "./out", "--config", "run.toml", "--wait", "5m", cwd=place)
    code, said = ended(process)
    assert (code, "expired: review" in said) == (BLOCKED, True)
    assert not (place / "applied").exists()
