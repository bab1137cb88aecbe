"""Every problem that evidence can have: a run that is closed by it, its remedy, its row.

The tests of the sources cover the ways in which each arises.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from fsm_orchestrator.explanation.evidence_remedies import REMEDIES
from fsm_orchestrator.model.evidence import EvidenceProblem
from tests.gates.evidence_cases import (
    GATE_SIGNAL,
    TEST_RESULT,
    assert_refused,
    decision_of,
    run_with,
    sha256_of,
    statement,
    tool,
    write,
)
from tests.support.command import orchestrate

GUIDE: Final = Path(__file__).parents[2] / "docs" / "gates.md"
TESTS: Final = Path(__file__).parents[1]
OF_POLICIES: Final = "gates/test_rego_source.py"
OF_APPROVALS: Final = "approvals/test_who_may.py"
ELSEWHERE: Final = {
    **dict.fromkeys(("undefined", "vacuous"), OF_POLICIES),
    **dict.fromkeys(("stale", "denied", "revoked", "self_approval", "quorum"), OF_APPROVALS),
    **dict.fromkeys(("wrong_run", "wrong_cycle"), OF_APPROVALS),
    "used": "approvals/test_play.py",
}
"""The problems that only policies and people have, and the tests that cover them."""
SUBJECT: Final = '[subject]\nfiles = ["plan.txt"]\n'
FILE: Final = 'statement = "said.json"\n'
SIGNED: Final = (
    f'{FILE}signed_by = {{ allowed_signers = "signers", principals = ["ci@example.org"] }}'
)
SIGN: Final = ("ssh-keygen", "-q", "-Y", "sign", "-n", "fsm-orchestrator.evidence", "-f")
GOOD: Final = {"status": "success", "issuer": "ci", "issuedAt": "2026-01-01T00:00:00Z"}
FOREIGN: Final = {"sha256": "0" * 64}

Preparing = Callable[[Path], None]


class Case(NamedTuple):
    """A source that refuses: its table, the value of the gate, and what it reads."""

    source: str
    status: str = "missing"
    prepare: Preparing = lambda _: None
    more: str = SUBJECT
    gate: str = "ci"


def said(**changes: Any) -> Preparing:
    """Return a function that writes a signal about the subject."""
    given = {**GOOD, **changes}
    return lambda folder: _write(folder, statement(_digest(folder), GATE_SIGNAL, given))


def checked(status: str) -> Preparing:
    """Return a function that writes a signal with a check of this status."""
    return said(checks=[{"name": "unit", "status": status}])


def signed(key: str, after: str = "") -> Preparing:
    """Return a function by which a key signs a statement of signer `ci`, and text is added."""

    def prepare(folder: Path) -> None:
        said()(folder)
        for name in ("ci", "other"):
            tool(folder, *f"ssh-keygen -q -t ed25519 -C {name} -f {name} -N".split(), "")
        tool(folder, *SIGN, key, "said.json")
        (folder / "signers").write_text(f"ci@example.org {(folder / 'ci.pub').read_text()}")
        (folder / "said.json").write_text((folder / "said.json").read_text() + after)

    return prepare


def nothing_tested(folder: Path) -> None:
    """Write a test result without tests."""
    _write(folder, statement(_digest(folder), TEST_RESULT, {"result": "PASSED"}))


def _digest(folder: Path) -> dict[str, str]:
    return {"sha256": sha256_of(folder / "plan.txt")}


def _write(folder: Path, document: Any, *, is_text: bool = False) -> None:
    if is_text:
        (folder / "said.json").write_text(document)
    else:
        write(folder / "said.json", document)


def command(script: str, more: str = "") -> str:
    """Return a source that runs a shell script."""
    return f'command = ["sh", "-c", "{script}"]\n{more}'


CASES: Final = {
    "not_configured": Case(
        command("exit 0"), more=f'lifecycle = "evidence_only"\n{SUBJECT}', gate="review"
    ),
    "not_found": Case('junit = ["*.xml"]'),
    "not_started": Case('command = ["./nothing.sh"]'),
    "timed_out": Case(command("sleep 60", 'timeout = "100ms"')),
    "exit_code": Case(command("exit 7"), "failure"),
    "killed": Case(command("kill -KILL $$")),
    "output_limit": Case(command("yes", 'output_limit = "10k"')),
    "not_json": Case(FILE, prepare=lambda folder: _write(folder, "no", is_text=True)),
    "not_a_statement": Case(FILE, prepare=lambda folder: _write(folder, {})),
    "wrong_predicate": Case(
        FILE, prepare=lambda folder: _write(folder, statement(_digest(folder), "urn:else", {}))
    ),
    "wrong_subject": Case(
        FILE, prepare=lambda folder: _write(folder, statement(FOREIGN, GATE_SIGNAL, GOOD))
    ),
    "unbound": Case(FILE, prepare=said(), more=""),
    "unsigned": Case(SIGNED, prepare=said()),
    "bad_signature": Case(SIGNED, prepare=signed("ci", after=" ")),
    "unknown_signer": Case(SIGNED, prepare=signed("other")),
    "not_yet_valid": Case(FILE, prepare=said(issuedAt="2199-01-01T00:00:00Z")),
    "expired": Case(FILE, prepare=said(expiresAt="2026-01-02T00:00:00Z")),
    "too_old": Case(f'{FILE}max_age = "1h"', prepare=said()),
    "nothing_checked": Case(FILE, prepare=nothing_tested),
    "check_missing": Case(FILE, prepare=checked("missing")),
    "check_pending": Case(FILE, "pending", checked("pending")),
    "check_failed": Case(FILE, "failure", checked("failed")),
    "engine_error": Case(f'{FILE}signed_by = {{ dsse_keys = ["no.pem"] }}', prepare=said()),
}


def test_every_problem_has_a_case_a_remedy_and_a_row() -> None:
    """The cases cover the closed list, in the order of the guide."""
    known = [one.value for one in EvidenceProblem]
    assert {*CASES, *ELSEWHERE} == set(known)
    assert len(CASES) + len(ELSEWHERE) == len(known)
    for problem, file in ELSEWHERE.items():
        assert f'"{problem}"' in (TESTS / file).read_text()
    assert {one.value for one in REMEDIES} == set(known)
    _, _, table = GUIDE.read_text().partition("## Every problem")
    rows = re.findall(r"^\| `(\w+)` \|", table.partition("\n## ")[0], re.MULTILINE)
    assert rows == known


@pytest.mark.one_in(2)
@pytest.mark.parametrize("problem", CASES)
def test_problem_closes_its_gate_and_is_explained(tmp_path: Path, problem: str) -> None:
    """The reason code is the runbook's; `explain` shows the problem and its remedy."""
    case = CASES[problem]
    (tmp_path / "plan.txt").write_text("plan")
    case.prepare(tmp_path)
    ended = run_with(tmp_path, case.source, more=case.more)
    if case.gate == "ci":
        assert_refused(tmp_path, ended, problem, case.status)
    assert ended.code == 3
    decision = decision_of(tmp_path, case.gate)
    assert (decision["evidence"]["problem"], decision["status"]) == (problem, case.status)
    explained = " ".join(orchestrate("explain", "./out", cwd=tmp_path).stdout.split())
    assert f"({problem})" in explained
    assert REMEDIES[EvidenceProblem(problem)] in explained
