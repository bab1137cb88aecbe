"""A gate whose policy is in Cedar: allowed without any error passes, and anything else refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gates.evidence_cases import (
    assert_refused,
    decision_of,
    evidence_of,
    run_with,
    sha256_of,
)
from tests.gates.policy_cases import (
    CEDAR,
    GOOD_CEDAR,
    UNSAFE,
    needs_cedarpy,
    verdict_on,
)
from tests.support.command import orchestrate

pytestmark = needs_cedarpy


def run_policy(folder: Path, text: str, source: str = CEDAR, **rest: Any) -> Any:
    """Run with a policy in Cedar."""
    (folder / "release.cedar").write_text(text)
    return run_with(folder, source, gate="policy", **rest)


def test_allowed_passes_and_what_was_judged_is_kept(tmp_path: Path) -> None:
    """The policy that decided is named by its `@id`, and by its digest."""
    ended = run_policy(tmp_path, GOOD_CEDAR)
    assert ended.code == 0, ended.stderr
    decision = decision_of(tmp_path, "policy")
    evidence = decision["evidence"]
    assert decision["status"] == "allow"
    assert evidence["source"] == "cedar"
    assert evidence["detail"] == "the policy allows it: tested, by cedarpy 4.12.2"
    kept = json.loads((tmp_path / "out" / evidence["file"]).read_text())
    path = tmp_path / "release.cedar"
    assert kept["policy"] == {
        "language": "cedar",
        "query": None,
        "files": [{"kind": "policy", "path": str(path), "sha256": sha256_of(path)}],
    }


ERRING = UNSAFE + "forbid (principal, action, resource) when { context.risk > 3 };"


@pytest.mark.parametrize(
    ("text", "problem", "status", "said"),
    [
        (
            'permit (principal, action, resource) when { context.gate == "ci" };',
            "check_failed",
            "deny",
            "does not allow it",
        ),
        (
            GOOD_CEDAR + '@id("never") forbid (principal, action, resource);',
            "check_failed",
            "deny",
            "does not allow it: never",
        ),
        ("// nothing\n", "undefined", "unknown", "there is no policy"),
        (UNSAFE, "vacuous", "unknown", "on an empty input too"),
        (ERRING, "engine_error", "unknown", "does not have the attribute `risk`"),
        ("permit (", "engine_error", "unknown", "unexpected end of input"),
    ],
)
def test_anything_else_refuses(
    tmp_path: Path, text: str, problem: str, status: str, said: str
) -> None:
    """A `forbid` that errs is skipped by Cedar; here any error refuses."""
    assert_refused(tmp_path, run_policy(tmp_path, text), problem, status, "policy")
    assert said in evidence_of(tmp_path, "policy")["detail"]
    assert problem in orchestrate("explain", "./out", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("text", "given", "verdict"),
    [
        (ERRING, {"risk": 1}, "allowed"),
        (ERRING, {"risk": 4}, "denied"),
        (ERRING, {"risk": "1"}, "error"),
        (ERRING, {"risk": None}, "error"),
        (
            UNSAFE + "forbid (principal, action, resource) when { context has risk };",
            {"a": 1},
            "vacuous",
        ),
        ("permit (principal == ?principal, action, resource);", {}, "undefined"),
        ('permit (principal == Run::"r", action, resource);', {}, "vacuous"),
        ('permit (principal, action, resource) when { context.a.contains("b") };', {}, "error"),
        (
            'permit (principal, action, resource) when { context.a.contains("b") };',
            {"a": ["b", None]},
            "allowed",
        ),
        (
            'permit (principal, action, resource) when { !(context has "a") };',
            {"a": None},
            "vacuous",
        ),
        ("permit (principal, action, resource) when { context.a > 0 };", {"a": 2**63}, "error"),
        ("permit (principal, action, resource) when { context.a > 0 };", {"a": 1.5}, "error"),
    ],
)
def test_verdicts_of_the_engine(
    tmp_path: Path, text: str, given: dict[str, Any], verdict: str
) -> None:
    """A null in the document is missing from the context."""
    assert verdict_on(tmp_path, "cedar", text, given)["verdict"] == verdict


SCHEMA = (
    "entity Run; entity Gate;\naction pass appliesTo"
    " { principal: [Run], resource: [Gate], context: { risk: Long } };\n"
)


@pytest.mark.parametrize(
    ("text", "schema", "given", "verdict"),
    [
        ("context.risk < 3", SCHEMA, {"risk": 1}, "allowed"),
        ("context.rsk < 3", SCHEMA, {"risk": 1}, "error"),
        ("context.risk < 3", SCHEMA, {"risk": 1, "more": 1}, "error"),
        ("context.risk < 3", "no schema (", {"risk": 1}, "error"),
        ("true", SCHEMA, {"risk": 1}, "vacuous"),
    ],
)
def test_schema_holds_for_policy_and_request(
    tmp_path: Path, text: str, schema: str, given: dict[str, Any], verdict: str
) -> None:
    """A misspelled attribute is found before it is missed."""
    (tmp_path / "schema").write_text(schema)
    said = verdict_on(
        tmp_path,
        "cedar",
        f"permit (principal, action, resource) when {{ {text} }};",
        given,
        schema=str(tmp_path / "schema"),
    )
    assert said["verdict"] == verdict, said


def test_schema_that_is_not_there_refuses(tmp_path: Path) -> None:
    """A check that cannot be made is not left out; a directory is no schema."""
    source = 'cedar = { policy = ["release.cedar"], schema = "run.cedarschema" }'
    ended = run_policy(tmp_path, GOOD_CEDAR, source)
    assert_refused(tmp_path, ended, "not_found", "unknown", "policy")
    (tmp_path / "run.cedarschema").mkdir()
    again = orchestrate("./out", "--resume", cwd=tmp_path)
    assert_refused(tmp_path, again, "not_found", "unknown", "policy")
