"""A gate that reads a statement: its form, its predicate, its subject, and its time."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Final

import pytest

from tests.gates.evidence_cases import (
    GATE_SIGNAL,
    SVR,
    TEST_RESULT,
    VSA,
    assert_refused,
    decision_of,
    evidence_of,
    run_with,
    sha256_of,
    statement,
    write,
)
from tests.support.command import checkpoint_of, events_of, orchestrate

SOURCE: Final = 'statement = "said.json"'
SUBJECT: Final = '[subject]\nfiles = ["plan.txt"]'
CLOCK: Final = ("--fixed-clock", "2026-06-01T12:00:00Z")
SIGNAL: Final = {"status": "success", "issuer": "ci", "issuedAt": "2026-06-01T11:00:00Z"}
TESTS: Final = {"result": "PASSED", "configuration": [], "passedTests": ["a", "b"]}


@pytest.fixture
def digest(tmp_path: Path) -> dict[str, str]:
    """Return the digest of the run's subject."""
    (tmp_path / "plan.txt").write_text("plan")
    return {"sha256": sha256_of(tmp_path / "plan.txt")}


def judged(folder: Path, document: Any, more: str = "", gate: str = "ci") -> Any:
    """Write a statement, and run with a gate that reads it."""
    write(folder / "said.json", document)
    return run_with(folder, f"{SOURCE}\n{more}", gate=gate, more=SUBJECT)


@pytest.mark.parametrize(
    "case",
    [
        ("ci", TEST_RESULT, TESTS, "", None),
        ("ci", TEST_RESULT, {**TESTS, "result": "WARNED"}, "accept_warned = true", None),
        (
            "policy",
            VSA,
            {"verifier": {"id": "https://v"}, "verificationResult": "PASSED"},
            "",
            "https://v",
        ),
        (
            "policy",
            SVR,
            {"verifier": {"id": "v"}, "properties": ["a", "b"]},
            'properties = ["a"]',
            "v",
        ),
        ("ci", GATE_SIGNAL, SIGNAL, "", "ci"),
        ("policy", GATE_SIGNAL, {**SIGNAL, "status": "allow"}, "", "ci"),
        ("review", GATE_SIGNAL, {**SIGNAL, "status": "approved", "gate": "review"}, "", "ci"),
    ],
)
@pytest.mark.parametrize("is_enveloped", [False, True])
def test_statement_about_the_subject_passes(
    tmp_path: Path,
    digest: dict[str, str],
    case: tuple[str, str, dict[str, Any], str, str | None],
    is_enveloped: bool,
) -> None:
    """It passes plain and in a DSSE envelope; it is shown as unsigned, and kept byte for byte."""
    gate, predicate_type, predicate, more, issuer = case
    document = statement(digest, predicate_type, predicate)
    if is_enveloped:
        payload = base64.b64encode(json.dumps(document).encode()).decode()
        document = {
            "payloadType": "application/vnd.in-toto+json",
            "payload": payload,
            "signatures": [],
        }
    ended = judged(tmp_path, document, more, gate)
    assert ended.code == 0, ended.stderr
    evidence = evidence_of(tmp_path, gate)
    assert evidence["problem"] is None
    assert evidence["issuer"] == issuer
    assert evidence["signer"] is None
    kept = tmp_path / "out" / evidence["file"]
    assert kept.read_bytes() == (tmp_path / "said.json").read_bytes()
    assert evidence["statement_sha256"] == sha256_of(kept)
    assert "unsigned" in orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("predicate_type", "predicate", "problem", "status"),
    [
        (TEST_RESULT, {**TESTS, "result": "FAILED"}, "check_failed", "failure"),
        (TEST_RESULT, {**TESTS, "failedTests": ["c"]}, "check_failed", "failure"),
        (TEST_RESULT, {**TESTS, "result": "WARNED"}, "check_failed", "failure"),
        (TEST_RESULT, {"result": "PASSED"}, "nothing_checked", "missing"),
        (TEST_RESULT, {"result": "passed", "passedTests": ["a"]}, "not_a_statement", "missing"),
        (TEST_RESULT, {"passedTests": ["a"]}, "not_a_statement", "missing"),
        (GATE_SIGNAL, {**SIGNAL, "status": "failure"}, "check_failed", "failure"),
        (GATE_SIGNAL, {**SIGNAL, "status": "pending"}, "check_pending", "pending"),
        (GATE_SIGNAL, {**SIGNAL, "status": "missing"}, "check_missing", "missing"),
        (GATE_SIGNAL, {**SIGNAL, "status": "allow"}, "wrong_predicate", "missing"),
        (GATE_SIGNAL, {**SIGNAL, "gate": "review"}, "wrong_predicate", "missing"),
        (
            GATE_SIGNAL,
            {**SIGNAL, "checks": [{"name": "a", "status": "failed"}]},
            "check_failed",
            "failure",
        ),
        (
            GATE_SIGNAL,
            {**SIGNAL, "checks": [{"name": "a", "status": "skipped"}]},
            "nothing_checked",
            "missing",
        ),
        (GATE_SIGNAL, {**SIGNAL, "checks": []}, "not_a_statement", "missing"),
        (GATE_SIGNAL, {**SIGNAL, "more": 1}, "not_a_statement", "missing"),
        (GATE_SIGNAL, {**SIGNAL, "issuedAt": "yesterday"}, "not_a_statement", "missing"),
        (
            VSA,
            {"verifier": {"id": "v"}, "verificationResult": "PASSED"},
            "wrong_predicate",
            "missing",
        ),
        ("https://example.org/other", {}, "wrong_predicate", "missing"),
    ],
)
def test_predicate_that_does_not_pass(
    tmp_path: Path,
    digest: dict[str, str],
    predicate_type: str,
    predicate: dict[str, Any],
    problem: str,
    status: str,
) -> None:
    """A value in the predicate counts; a missing one counts against it."""
    ended = judged(tmp_path, statement(digest, predicate_type, predicate))
    assert_refused(tmp_path, ended, problem, status)


@pytest.mark.parametrize(
    ("predicate", "more", "problem", "status"),
    [
        ({"properties": ["a"]}, 'properties = ["a", "b"]', "check_missing", "unknown"),
        ({"properties": ["a"]}, "", "nothing_checked", "unknown"),
    ],
)
def test_properties_must_all_be_there(
    tmp_path: Path,
    digest: dict[str, str],
    predicate: dict[str, Any],
    more: str,
    problem: str,
    status: str,
) -> None:
    """A verification result without the requested properties counts as none."""
    document = statement(digest, SVR, {"verifier": {"id": "v"}, **predicate})
    assert_refused(tmp_path, judged(tmp_path, document, more, "policy"), problem, status, "policy")


def test_verification_that_failed_denies(tmp_path: Path, digest: dict[str, str]) -> None:
    """A clear no of a policy is `deny`."""
    document = statement(digest, VSA, {"verifier": {"id": "v"}, "verificationResult": "FAILED"})
    ended = judged(tmp_path, document, "", "policy")
    assert_refused(tmp_path, ended, "check_failed", "deny", "policy")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not_json"),
        ("{", "not_json"),
        ('{"a": NaN}', "not_json"),
        ('{"_type": 1, "_type": 2}', "not_json"),
        ("[" * 100_000, "not_json"),
        ("[]", "not_a_statement"),
        ('{"payload": "e30=", "payloadType": "text/plain"}', "not_a_statement"),
        ('{"payload": "?", "payloadType": "application/vnd.in-toto+json"}', "not_a_statement"),
    ],
)
def test_text_that_is_no_statement(
    tmp_path: Path, digest: dict[str, str], text: str, problem: str
) -> None:
    """For any other content the gate stays closed and names the fault."""
    del digest
    (tmp_path / "said.json").write_text(text)
    ended = run_with(tmp_path, SOURCE, more=SUBJECT)
    assert_refused(tmp_path, ended, problem, "missing")


def test_file_that_is_not_there(tmp_path: Path, digest: dict[str, str]) -> None:
    """A missing file is no statement."""
    del digest
    ended = run_with(tmp_path, SOURCE, more=SUBJECT)
    assert_refused(tmp_path, ended, "not_found", "missing")


def test_statement_about_something_else(tmp_path: Path, digest: dict[str, str]) -> None:
    """Another digest, or only another algorithm, is another subject."""
    del digest
    for other in ({"sha256": "0" * 64}, {"sha512": "0" * 128}):
        ended = judged(tmp_path, statement(other, GATE_SIGNAL, SIGNAL))
        assert_refused(tmp_path, ended, "wrong_subject", "missing")


def test_run_without_a_subject_has_nothing_to_name(tmp_path: Path, digest: dict[str, str]) -> None:
    """Without a subject, no statement can be matched to the run."""
    write(tmp_path / "said.json", statement(digest, GATE_SIGNAL, SIGNAL))
    assert_refused(tmp_path, run_with(tmp_path, SOURCE), "unbound", "missing")


@pytest.mark.parametrize(
    ("predicate", "more", "problem"),
    [
        ({"issuedAt": "2026-06-01T12:04:59Z"}, "", None),
        ({"issuedAt": "2026-06-01T12:05:01Z"}, "", "not_yet_valid"),
        ({"expiresAt": "2026-06-01T12:00:01Z"}, "", None),
        ({"expiresAt": "2026-06-01T12:00:00Z"}, "", "expired"),
        ({"issuedAt": "2026-06-01T02:00:00+02:00"}, 'max_age = "12h"', None),
        ({"issuedAt": "2026-05-31T23:59:59Z"}, 'max_age = "12h"', "too_old"),
        ({"issuedAt": "2026-06-01T11:00:00"}, "", "not_a_statement"),
    ],
)
def test_time_of_a_statement(
    tmp_path: Path,
    digest: dict[str, str],
    predicate: dict[str, Any],
    more: str,
    problem: str | None,
) -> None:
    """It holds from when it was made, give or take five minutes, until it expires."""
    document = statement(digest, GATE_SIGNAL, {**SIGNAL, **predicate})
    write(tmp_path / "said.json", document)
    source = f"{SOURCE}\n{more}"
    (tmp_path / "run.toml").write_text(
        f'{SUBJECT}\n[gate.ci]\n{source}\n[gates]\npolicy = "allow"\nreview = "approved"\n'
    )
    orchestrate("run", "./out", "--config", "run.toml", *CLOCK, cwd=tmp_path)
    assert evidence_of(tmp_path)["problem"] == problem


def test_evidence_that_expires_while_stages_run(tmp_path: Path, digest: dict[str, str]) -> None:
    """A statement is read again before the run closes, and judged by that time."""
    write(tmp_path / "said.json", statement(digest, GATE_SIGNAL, SIGNAL))
    failing = json.dumps(statement(digest, GATE_SIGNAL, {**SIGNAL, "status": "failure"}))
    (tmp_path / "worse.json").write_text(failing)
    stage = '[stage.executor]\nbin = "cp"\nargs = ["worse.json", "said.json"]\n'
    gates = '[gates]\npolicy = "allow"\nreview = "approved"\n'
    (tmp_path / "run.toml").write_text(f"{SUBJECT}\n[gate.ci]\n{SOURCE}\n{gates}{stage}")
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert_refused(tmp_path, ended, "check_failed", "failure")
    assert evidence_of(tmp_path)["file"] == "evidence/ci.2.json"


def test_decision_that_lets_the_run_close_is_recorded(
    tmp_path: Path, digest: dict[str, str]
) -> None:
    """It is recorded if its evidence differs: an auditor finds what was judged last."""
    write(tmp_path / "said.json", statement(digest, GATE_SIGNAL, SIGNAL))
    write(tmp_path / "new.json", statement(digest, GATE_SIGNAL, {**SIGNAL, "issuer": "another"}))
    stage = '[stage.executor]\nbin = "cp"\nargs = ["new.json", "said.json"]\n'
    gates = '[gates]\npolicy = "allow"\nreview = "approved"\n'
    (tmp_path / "run.toml").write_text(f"{SUBJECT}\n[gate.ci]\n{SOURCE}\n{gates}{stage}")
    assert orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path).code == 0
    out = tmp_path / "out"
    evidence = evidence_of(tmp_path)
    assert (evidence["issuer"], evidence["file"]) == ("another", "evidence/ci.2.json")
    assert evidence["statement_sha256"] == sha256_of(tmp_path / "new.json")
    kept = checkpoint_of(out)["invocations"][-1]["gate_decisions"]
    assert [one["evidence"] for one in kept] == [None, evidence, None]
    events = [one for one in events_of(out) if one["event"] == "gate.decided"]
    assert [one["decision"]["gate"] for one in events] == ["policy", "ci", "review", "ci"]
    assert events[-1]["decision"]["evidence"] == evidence


@pytest.mark.parametrize(
    ("flag", "said", "status", "source"),
    [
        ("success", "failure", "failure", "evidence"),
        ("failure", "success", "failure", "flag"),
        ("missing", "success", "missing", "flag"),
        ("success", "success", "success", "evidence"),
    ],
)
def test_of_flag_and_evidence_the_tighter_counts(
    tmp_path: Path, digest: dict[str, str], flag: str, said: str, status: str, source: str
) -> None:
    """No source loosens another."""
    write(tmp_path / "said.json", statement(digest, GATE_SIGNAL, {**SIGNAL, "status": said}))
    (tmp_path / "run.toml").write_text(
        f'{SUBJECT}\n[gate.ci]\n{SOURCE}\n[gates]\npolicy = "allow"\nreview = "approved"\n'
    )
    words = ("--config", "run.toml", "--log-format", "text", "--ci-status", flag)
    ended = orchestrate("run", "./out", *words, cwd=tmp_path)
    assert ended.code == (0 if status == "success" else 3)
    decision = decision_of(tmp_path)
    assert (decision["status"], decision["source"]) == (status, source)
    assert decision["evidence"]["source"] == "statement"
    is_by_flag = source == "flag"
    assert (f"gate ci: {status}: refused, GATE_CI_NOT_SUCCESS\n" in ended.stderr) is is_by_flag
