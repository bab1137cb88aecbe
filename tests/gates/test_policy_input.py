"""The input of a policy: everything that is known of the run, and no secret."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.gates import policy_input
from fsm_orchestrator.gates.judging import GateSignal
from fsm_orchestrator.model.approval import Answer, ApprovalState
from fsm_orchestrator.model.evidence import EvidenceRecord
from fsm_orchestrator.model.invocation import GateDecision, SignalGiven
from fsm_orchestrator.model.parsed import adapter_of
from fsm_orchestrator.vocabulary import SchemaName
from tests.gates.evidence_cases import assert_refused, evidence_of, sha256_of
from tests.gates.policy_cases import REGO, needs_cedarpy, needs_regorus, without_opa
from tests.support.command import Ended, orchestrate, report_of
from tests.support.schema_checks import assert_valid

CEDAR_SCHEMA: Final = Path(__file__).parents[2] / "docs" / "policy-input.cedarschema"
GATES: Final = '[gates]\nreview = "approved"\n'
TESTS: Final = '[gate.ci]\njunit = ["tests.xml"]\n'
XML: Final = '<testsuite><testcase name="a"/><testcase name="b"/></testsuite>'
HIDDEN: Final = "open-sesame-4711"
STAGES: Final = """
[stage.manager]
bin = "sh"
args = ["-c", "echo plan > plan.txt", "--by=open-sesame-4711", "plain"]
expected_artifacts = ["plan.txt"]
secrets = ["SHY"]
env = { MODE = "quick" }
[stage.executor]
bin = "true"
"""


def told(folder: Path, number: int = 1) -> dict[str, Any]:
    """Return the input of a policy, as it was kept."""
    document = json.loads((folder / "out" / "evidence" / f"policy.{number}.json").read_text())
    assert_valid(SchemaName.POLICY_INPUT, document, "what a policy was told")
    assert isinstance(document, dict)
    return document


def run(folder: Path, policy: str, *words: str, more: str = "", source: str = REGO) -> Ended:
    """Run with a policy gate, and tests that are read for ci."""
    (folder / "tests.xml").write_text(XML)
    (folder / "release.rego").write_text(policy)
    text = f"{more}\n[gate.policy]\n{source}\n{TESTS}{GATES}{STAGES}"
    (folder / "run.toml").write_text(text)
    env = {**without_opa(folder), "SHY": HIDDEN}
    return orchestrate("run", "./out", "--config", "run.toml", *words, cwd=folder, env=env)


ASKS: Final = """package release
default allow := false
allow if {
	input.stages.manager.args_left_out == 1
	not "***" in input.stages.manager.args
	input.work[0].sha256
	input.gates.ci.evidence.checks.passed == 2
	input.gates.review.status == "approved"
	input.subject[0].digest.sha256
}
"""


@needs_regorus
def test_everything_is_told_and_no_secret(tmp_path: Path) -> None:
    """It has subject, work, stages, signals, and the evidence of gates that were asked before."""
    (tmp_path / "thing.txt").write_text("thing")
    more = '[subject]\nfiles = ["thing.txt"]'
    ended = run(tmp_path, ASKS, "--lifecycle", "closure_gated", more=more)
    assert ended.code == 0, ended.stderr
    document = told(tmp_path)
    report = report_of(tmp_path / "out")
    plan = tmp_path / "plan.txt"
    assert document["run_id"] == report["run_id"]
    assert document["lifecycle"]["name"] == "closure_gated"
    assert document["lifecycle"]["sha256"] == report["lifecycle"]["sha256"]
    assert document["subject"] == [
        {
            "name": str(tmp_path / "thing.txt"),
            "digest": {"sha256": sha256_of(tmp_path / "thing.txt")},
        }
    ]
    assert document["work"] == [
        {"stage": "manager", "path": str(plan), "sha256": sha256_of(plan)},
    ]
    assert document["stages"]["manager"] == {
        "command": "sh",
        "args": ["-c", "echo plan > plan.txt", "plain"],
        "args_left_out": 1,
        "directory": str(tmp_path),
        "environment": ["MODE", "SHY"],
        "expected_artifacts": [str(plan)],
        "expected_artifacts_left_out": 0,
        "is_completed": True,
        "cycle": 1,
    }
    assert document["signals"]["policy"]["status"] == "unknown"
    assert "policy" not in document["gates"]
    assert document["gates"]["ci"]["evidence"] == evidence_of(tmp_path, "ci")
    kept = [one for one in (tmp_path / "out").rglob("*") if one.is_file()]
    assert not [one for one in kept if HIDDEN.encode() in one.read_bytes()]
    assert "quick" not in json.dumps(document)


@needs_regorus
def test_policy_is_judged_again_before_closing(tmp_path: Path) -> None:
    """It is judged by the facts and the policy of that time: another digest is kept."""
    policy = "package release\nallow if input.stages.manager.cycle == 1\n"
    (tmp_path / "worse.rego").write_text("package release\nallow := false\n")
    more = '[stage.executor]\nargs = ["worse.rego", "release.rego"]\nbin = "cp"'
    stages = STAGES.replace('[stage.executor]\nbin = "true"\n', f"{more}\n")
    (tmp_path / "release.rego").write_text(policy)
    (tmp_path / "tests.xml").write_text(XML)
    config = f"[gate.policy]\n{REGO}\n{TESTS}{GATES}{stages}"
    (tmp_path / "run.toml").write_text(config)
    env = {**without_opa(tmp_path), "SHY": HIDDEN}
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path, env=env)
    assert_refused(tmp_path, ended, "check_failed", "deny", "policy")
    first, second = told(tmp_path), told(tmp_path, 2)
    assert first["work"] == []
    assert [one["stage"] for one in second["work"]] == ["manager"]
    assert first["policy"]["files"] != second["policy"]["files"]
    assert second["policy"]["files"][0]["sha256"] == sha256_of(tmp_path / "worse.rego")
    assert evidence_of(tmp_path, "policy")["file"] == "evidence/policy.2.json"


@needs_regorus
def test_policy_is_told_what_is_wrong_elsewhere(tmp_path: Path) -> None:
    """It may pass although another gate refuses, which then keeps the run closed on its own."""
    policy = 'package release\nallow if input.gates.ci.evidence.problem == "not_found"\n'
    source = TESTS.replace("tests.xml", "nothing.xml")
    (tmp_path / "release.rego").write_text(policy)
    config = f"[gate.policy]\n{REGO}\n{source}{GATES}{STAGES}"
    (tmp_path / "run.toml").write_text(config)
    env = {**without_opa(tmp_path), "SHY": HIDDEN}
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path, env=env)
    assert_refused(tmp_path, ended, "not_found", "missing", "ci")
    assert evidence_of(tmp_path, "policy")["problem"] is None
    shown = orchestrate("gates", "--config", "run.toml", "--json", cwd=tmp_path, env=env)
    found = {one["gate"]: one["evidence"] for one in json.loads(shown.stdout)["gates"]}
    assert found["policy"]["problem"] is None
    assert found["ci"]["problem"] == "not_found"


@needs_regorus
@pytest.mark.parametrize(("flag", "status"), [("allow", "deny"), ("deny", "deny")])
def test_typed_signal_never_loosens_a_policy(tmp_path: Path, flag: str, status: str) -> None:
    """The stricter of both counts; the policy gets the signal."""
    policy = f'package release\nallow := input.signals.policy.status == "{flag}"\n'
    if flag == "allow":
        policy = "package release\nallow := false\n"
    ended = run(tmp_path, policy, "--policy-status", flag)
    assert ended.code == 3
    decision = next(
        one for one in report_of(tmp_path / "out")["gate_decisions"] if one["gate"] == "policy"
    )
    assert decision["status"] == status
    assert told(tmp_path)["signals"]["policy"]["status"] == flag


@needs_cedarpy
def test_document_is_a_context_that_cedar_takes(tmp_path: Path) -> None:
    """Cedar has a type for each of its values, and the published schema describes it."""
    (tmp_path / "thing.txt").write_text("thing")
    (tmp_path / "release.cedar").write_text(
        "permit (principal, action, resource) when {\n"
        "  context.stages has manager && context.stages.manager.args_left_out == 1 &&\n"
        "  context.gates has ci && !(context.gates.ci has given) &&\n"
        "  context.gates.ci has evidence && !(context.gates.ci.evidence has problem) &&\n"
        "  context.gates.ci.evidence has checks && context.gates.ci.evidence.checks.passed >= 2\n"
        "};\n"
    )
    source = f'cedar = {{ policy = ["release.cedar"], schema = "{CEDAR_SCHEMA}" }}'
    words = ("--lifecycle", "closure_gated")
    ended = run(tmp_path, "", *words, source=source, more='[subject]\nfiles = ["thing.txt"]')
    assert ended.code == 0, ended.stderr
    policy = told(tmp_path)["policy"]
    assert policy["language"] == "cedar"
    assert [one["kind"] for one in policy["files"]] == ["policy", "schema"]


TYPES: Final = {
    "PolicyFile": policy_input.PolicyFile,
    "Thing": policy_input.ThingNamed,
    "Stage": policy_input.StageToJudge,
    "Given": SignalGiven,
    "Signal": GateSignal,
    "Decision": GateDecision,
    "Evidence": EvidenceRecord,
    "Approval": ApprovalState,
    "Answer": Answer,
}


def test_schema_for_cedar_has_every_key() -> None:
    """It agrees with the published JSON Schema on the keys and on which may be missing."""
    text = CEDAR_SCHEMA.read_text()
    for name, model in TYPES.items():
        flat = re.sub(r"(: |<)\{[^}]*\}", r"\1{}", text)
        found = re.search(rf"^type {name} = \{{((?:[^{{}}]|\{{\}})*)\}};", flat, re.MULTILINE)
        assert found is not None, name
        said = dict(re.findall(r"(\w+)(\??): ", found[1]))
        schema = adapter_of(model).json_schema(mode="serialization")
        nullable = {
            key: "?" if {"type": "null"} in one.get("anyOf", []) else ""
            for key, one in schema["properties"].items()
        }
        assert said == nullable, name
