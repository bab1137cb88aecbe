"""Evidence of each source that can be judged from its bytes, and the bundle's words about it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.bundle.verified import CheckState, Link, Verdict
from tests.bundle.bundle_cases import bundle
from tests.bundle.proof_cases import verified
from tests.gates.evidence_cases import TEST_RESULT, run_with, statement, write
from tests.support.command import Ended, orchestrate

SUBJECT: Final = '[subject]\nfiles = ["given"]\n'
TESTED: Final = {"result": "PASSED", "passedTests": ["a"]}


def given(folder: Path) -> str:
    """Write the subject of the run; return its digest."""
    (folder / "given").write_text("x")
    return hashlib.sha256(b"x").hexdigest()


def by_exit_code(folder: Path) -> Ended:
    """Run with a gate that asks a command about the subject."""
    given(folder)
    return run_with(folder, 'command = ["true"]', more=SUBJECT)


def by_printed_statement(folder: Path) -> Ended:
    """Run with a gate that asks a command that prints a statement."""
    write(folder / "said", statement({"sha256": given(folder)}, TEST_RESULT, TESTED))
    source = 'command = ["cat", "said"]\nreads = "statement"'
    return run_with(folder, source, more=SUBJECT)


def by_junit(folder: Path) -> Ended:
    """Run with a gate that reads a report of tests, which names no subject."""
    (folder / "tests.xml").write_text('<testsuite><testcase name="a"/></testsuite>')
    return run_with(folder, 'junit = ["tests.xml"]')


def after_the_work(folder: Path) -> Ended:
    """Run with a statement about the subject and the work, asked for before the run closes."""
    said = statement({"sha256": given(folder)}, TEST_RESULT, TESTED)
    made = hashlib.sha256(b"p\n").hexdigest()
    said["subject"].append({"name": "plan", "digest": {"sha256": made}})
    write(folder / "said", said)
    (folder / "run.toml").write_text(
        f'lifecycle = "closure_gated"\n{SUBJECT}[gate.ci]\nstatement = "said"\n'
        '[stage.manager]\nbin = "sh"\nargs = ["-c", "echo p > plan"]\ncwd = "."\n'
        'expected_artifacts = ["plan"]\n[stage.executor]\nbin = "true"\n'
    )
    first = orchestrate("run", "./out", "--config", "run.toml", cwd=folder)
    assert first.code == 3
    passing = ("--policy-status", "allow", "--review-status", "approved")
    return orchestrate("run", "./out", "--resume", *passing, cwd=folder)


UNBOUND: Final = "ci: its evidence names nothing that it is about"


@pytest.mark.parametrize(
    ("make", "is_bound"),
    [(by_exit_code, True), (by_printed_statement, True), (by_junit, False), (after_the_work, True)],
    ids=lambda one: getattr(one, "__name__", one),
)
def test_evidence_is_about_the_run(
    tmp_path: Path, make: Callable[[Path], Ended], is_bound: bool
) -> None:
    """It holds, and where it names no subject, the bundle says that."""
    ended = make(tmp_path)
    assert ended.code == 0, ended.stderr
    assert bundle(tmp_path, tmp_path / "b").code == 0
    found = verified((tmp_path / "b").read_bytes())
    assert found.verdict is Verdict.CONSISTENT, found.broken
    (check,) = (one for one in found.checks if one.link is Link.EVIDENCE)
    assert check.state is CheckState.PASSED
    assert (UNBOUND in check.notes) is not is_bound
