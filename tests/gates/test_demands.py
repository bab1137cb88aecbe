"""The demands of a lifecycle on signals: evidence, and a time after the result exists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from tests.gates.evidence_cases import (
    STAGES,
    assert_refused,
    decision_of,
    evidence_of,
    sha256_of,
)
from tests.support.command import PASSING, orchestrate, report_of, stages

SUBJECT: Final = '[subject]\nfiles = ["plan.txt"]'
ALL_BY_COMMAND: Final = "\n".join(
    f'[gate.{gate}]\ncommand = ["true"]' for gate in ("policy", "ci", "review")
)
EARLY: Final = "accepts_early_signals = true"


@pytest.fixture
def late_gates(tmp_path: Path) -> Path:
    """Return a lifecycle whose gates come after its stages, and accept no early signal."""
    path = tmp_path / "late.toml"
    text = orchestrate("lifecycle", "closure_gated", cwd=tmp_path).stdout
    assert EARLY in text
    path.write_text("\n".join(one for one in text.splitlines() if not one.startswith(EARLY)))
    return path


def test_typed_signals_never_pass_where_evidence_is_demanded(tmp_path: Path) -> None:
    """They can refuse: without a source the gate stays closed, and names what it needs."""
    words = ("--lifecycle", "evidence_only", *PASSING, *stages())
    ended = orchestrate("./out", *words, cwd=tmp_path)
    assert ended.code == 3
    for gate in ("policy", "ci", "review"):
        evidence = decision_of(tmp_path, gate)["evidence"]
        assert (evidence["source"], evidence["problem"]) == ("flag", "not_configured")
        assert f"[gate.{gate}]" in evidence["detail"]
    assert not report_of(tmp_path / "out")["stage_executions"]
    planned = " ".join(orchestrate("plan", "./out2", *words, cwd=tmp_path).stdout.split())
    assert "the lifecycle demands evidence, and the gate has no source" in planned
    assert "would end: blocked" in planned


def test_evidence_passes_where_it_is_demanded(tmp_path: Path) -> None:
    """Evidence that is bound to the subject passes, and a typed signal can still refuse."""
    (tmp_path / "plan.txt").write_text("plan")
    (tmp_path / "run.toml").write_text(
        f'lifecycle = "evidence_only"\n{SUBJECT}\n{ALL_BY_COMMAND}\n{STAGES}'
    )
    words = ("--config", "run.toml")
    assert orchestrate("run", "./out", *words, cwd=tmp_path).code == 0
    refusing = ("--review-status", "changes_requested")
    assert orchestrate("run", "./out", *words, *refusing, cwd=tmp_path).code == 3
    assert decision_of(tmp_path, "review")["source"] == "flag"


def test_evidence_about_nothing_is_refused_where_it_is_demanded(tmp_path: Path) -> None:
    """A command without a subject passes elsewhere, and is unbound here."""
    config = f'lifecycle = "evidence_only"\n{ALL_BY_COMMAND}\n{STAGES}'
    (tmp_path / "run.toml").write_text(config)
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 3
    assert evidence_of(tmp_path)["problem"] == "unbound"
    (tmp_path / "run.toml").write_text(config.replace("evidence_only", "governed_run"))
    assert orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path).code == 0


def test_junit_report_is_unbound_where_evidence_is_demanded(tmp_path: Path) -> None:
    """It names no subject, so it cannot be about this run."""
    (tmp_path / "plan.txt").write_text("plan")
    (tmp_path / "a.xml").write_text('<testsuite><testcase name="a"/></testsuite>')
    by_report = ALL_BY_COMMAND.replace(
        '[gate.ci]\ncommand = ["true"]', '[gate.ci]\njunit = ["*.xml"]'
    )
    text = f'lifecycle = "evidence_only"\n{SUBJECT}\n{by_report}\n{STAGES}'
    (tmp_path / "run.toml").write_text(text)
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert_refused(tmp_path, ended, "unbound", "missing")


def test_signal_typed_before_there_was_a_result_does_not_pass(
    tmp_path: Path, late_gates: Path
) -> None:
    """It must be given after the gate state was reached; the stages do not run again."""
    words = ("--lifecycle", str(late_gates), *PASSING, *stages())
    ended = orchestrate("./out", *words, cwd=tmp_path)
    assert ended.code == 3
    assert report_of(tmp_path / "out")["stage_executions"][1]["status"] == "success"
    decision = decision_of(tmp_path)
    assert (decision["status"], decision["source"]) == ("missing", "evidence")
    assert (decision["evidence"]["source"], decision["evidence"]["problem"]) == ("flag", "too_old")
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 3
    assert orchestrate("./out", "--resume", *PASSING, cwd=tmp_path).code == 0
    assert decision_of(tmp_path)["source"] == "flag"


def test_lifecycle_may_accept_early_signals(tmp_path: Path) -> None:
    """A lifecycle with all signals at the start, as in the earlier program, declares it."""
    words = ("--lifecycle", "closure_gated", *PASSING, *stages())
    assert orchestrate("./out", *words, cwd=tmp_path).code == 0


def test_evidence_after_a_stage_has_to_name_the_work(tmp_path: Path, late_gates: Path) -> None:
    """The subject alone is another subject; every artifact must be named."""
    (tmp_path / "plan.txt").write_text("plan")
    subject = {"name": "plan", "digest": {"sha256": sha256_of(tmp_path / "plan.txt")}}
    script = "printf work > made.txt"
    stage = (
        f'[stage.executor]\nbin = "sh"\nargs = ["-c", "{script}"]\n'
        'expected_artifacts = ["made.txt"]\n'
    )
    source = (
        '[gate.ci]\nstatement = "said.json"\n'
        '[gate.policy]\ncommand = ["sh", "-c", "echo $ORCHESTRATOR_WORK_JSON > work.json"]\n'
        '[gate.review]\ncommand = ["true"]\n'
    )
    lifecycle = f'lifecycle = "{late_gates}"\n'
    (tmp_path / "run.toml").write_text(f"{lifecycle}{SUBJECT}\n{source}{stage}")
    predicate = {"status": "success", "issuer": "ci", "issuedAt": "2026-01-01T00:00:00Z"}
    document = {
        "_type": "https://in-toto.io/Statement/v1",
        "predicateType": "urn:fsm-orchestrator:gate-signal:v0.1",
        "predicate": predicate,
        "subject": [subject],
    }
    (tmp_path / "said.json").write_text(json.dumps(document))
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert_refused(tmp_path, ended, "wrong_subject", "missing")
    assert "made.txt" in evidence_of(tmp_path)["detail"]
    work = {"name": "made.txt", "digest": {"sha256": sha256_of(tmp_path / "made.txt")}}
    (told,) = json.loads((tmp_path / "work.json").read_text())
    assert told == {**work, "name": str(tmp_path / "made.txt")}
    (tmp_path / "said.json").write_text(json.dumps({**document, "subject": [subject, work]}))
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0


def test_verify_and_diff_know_what_is_demanded(tmp_path: Path, late_gates: Path) -> None:
    """`verify` states it, removing it loosens, and pictures show it."""
    verified = " ".join(orchestrate("verify", "-v", "evidence_only", cwd=tmp_path).stdout.split())
    assert "no path to done without evidence for policy, ci and review" in verified
    text = orchestrate("lifecycle", "evidence_only", cwd=tmp_path).stdout
    (tmp_path / "laxer.toml").write_text(text.replace('evidence = "required"\n', ""))
    ended = orchestrate("diagram", "--diff", "evidence_only", "./laxer.toml", cwd=tmp_path)
    assert ended.code == 1
    assert "gate ci passed by evidence" in ended.stdout
    stricter = orchestrate("diagram", "--diff", "./laxer.toml", "evidence_only", cwd=tmp_path)
    assert stricter.code == 0
    assert "certain now and not before: gate policy passed by evidence" in stricter.stdout
    early = orchestrate("diagram", "--diff", str(late_gates), "closure_gated", cwd=tmp_path)
    assert early.code == 1
    assert "a signal may be given before there is a result" in early.stdout
    drawn = orchestrate("diagram", "evidence_only", cwd=tmp_path).stdout
    assert "by evidence only" in drawn
    drawn = orchestrate("diagram", "closure_gated", cwd=tmp_path).stdout
    assert "accepts_early_signals" in drawn


def test_evidence_is_for_gate_states(tmp_path: Path) -> None:
    """The key is refused in another state, which is named."""
    text = orchestrate("lifecycle", "governed_run", cwd=tmp_path).stdout
    text = text.replace('name = "manager"\n', 'name = "manager"\nevidence = "required"\n', 1)
    (tmp_path / "wrong.toml").write_text(text)
    ended = orchestrate("verify", "./wrong.toml", cwd=tmp_path)
    assert ended.code == 1
    assert "key 'evidence' is for states of kind gate, not stage" in ended.stdout
