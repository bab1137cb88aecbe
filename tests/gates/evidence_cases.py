"""Runs whose gates ask sources: config files, statements and repositories made for a test."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.support.command import Ended, orchestrate, report_of

STAGES: Final = '[stage.manager]\nbin = "true"\n[stage.executor]\nbin = "true"\n'
TEST_RESULT: Final = "https://in-toto.io/attestation/test-result/v0.1"
VSA: Final = "https://slsa.dev/verification_summary/v1"
SVR: Final = "https://in-toto.io/attestation/svr/v0.1"
GATE_SIGNAL: Final = "urn:fsm-orchestrator:gate-signal:v0.1"
REASON_CODES: Final = {
    "policy": "GATE_POLICY_DENIED_OR_UNKNOWN",
    "ci": "GATE_CI_NOT_SUCCESS",
    "review": "GATE_REVIEW_NOT_APPROVED",
}
PASSING: Final = {"policy": "allow", "ci": "success", "review": "approved"}


def config_with(folder: Path, source: str, *, gate: str = "ci", more: str = "") -> Path:
    """Write a config file in which one gate has a source, and the others pass by signal."""
    others = "\n".join(f'{name} = "{value}"' for name, value in PASSING.items() if name != gate)
    text = f"{more}\n[gate.{gate}]\n{source}\n[gates]\n{others}\n{STAGES}"
    path = folder / "run.toml"
    path.write_text(text)
    return path


def run_with(folder: Path, source: str, *, gate: str = "ci", more: str = "", **rest: Any) -> Ended:
    """Run with one gate that asks a source."""
    config_with(folder, source, gate=gate, more=more)
    return orchestrate("run", "./out", "--config", "run.toml", cwd=folder, **rest)


def decision_of(folder: Path, gate: str = "ci") -> dict[str, Any]:
    """Return the decision of a gate in the report."""
    decisions = report_of(folder / "out")["gate_decisions"]
    found = next(one for one in decisions if one["gate"] == gate)
    assert isinstance(found, dict)
    return found


def evidence_of(folder: Path, gate: str = "ci") -> dict[str, Any]:
    """Return the evidence in the decision of a gate."""
    found = decision_of(folder, gate)["evidence"]
    assert isinstance(found, dict)
    return found


def assert_refused(folder: Path, ended: Ended, problem: str, status: str, gate: str = "ci") -> None:
    """Assert that a gate is closed by a problem, with the runbook's reason code."""
    assert ended.code == 3, ended.stderr
    decision = decision_of(folder, gate)
    assert decision["evidence"]["problem"] == problem
    assert decision["status"] == status
    assert decision["reason_code"] == REASON_CODES[gate]
    assert report_of(folder / "out")["blocked_reason_codes"] == [REASON_CODES[gate]]


def sha256_of(path: Path) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def statement(
    digest: Mapping[str, str], predicate_type: str, predicate: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """Return an in-toto statement."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "it", "digest": dict(digest)}],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
        **more,
    }


def write(path: Path, document: Any) -> None:
    """Write a document as JSON."""
    path.write_text(json.dumps(document))


def tool(folder: Path, *words: str, given: bytes = b"") -> bytes:
    """Run a tool in a directory."""
    path = shutil.which(words[0])
    assert path is not None
    done = subprocess.run(
        [path, *words[1:]], cwd=folder, input=given, capture_output=True, check=True
    )
    return done.stdout


def git(folder: Path, *words: str) -> str:
    """Run git in a repository, with a neutral identity."""
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["/usr/bin/env", "git", "-C", str(folder), *who, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def repository(folder: Path) -> str:
    """Make a repository with one commit, which ignores `out`, `state` and `run.toml`."""
    git(folder, "init", "--quiet")
    (folder / "file.txt").write_text("one\n")
    (folder / ".gitignore").write_text("/out\n/state\n/run.toml\n/ignored\n")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "one")
    return git(folder, "rev-parse", "HEAD")
