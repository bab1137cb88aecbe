"""Runs that people approve: a lifecycle that plans, asks and applies, and keys made for a test."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.approvals.request import predicate_of
from fsm_orchestrator.approvals.said import (
    NAMESPACES,
    DecisionPredicate,
    Speaker,
    bundle_bytes,
    statement_bytes,
)
from fsm_orchestrator.approvals.standing import Awaited, asked_gates
from fsm_orchestrator.gates.sources.approval import ApprovalSource
from fsm_orchestrator.model.approval import Said
from fsm_orchestrator.record.checkpoint_reader import load_saved
from tests.support.command import Ended, orchestrate, report_of

ASKED: Final = "review"
NAMESPACE: Final = "fsm-orchestrator.approve"
_TERMINAL: Final = "".join(
    f'[[state]]\nname = "{name}"\nkind = "terminal"\noutcome = "{name}"\n'
    for name in ("done", "blocked", "failed", "timeout")
)


def _edge(trigger: str, source: str, dest: str, more: str = "") -> str:
    sources = ", ".join(f'"{one}"' for one in source.split())
    return (
        f'[[transition]]\ntrigger = "{trigger}"\nsource = [{sources}]\ndest = "{dest}"\n{more}'
        'why = "because"\n'
    )


LIFECYCLE: Final = "\n".join(
    [
        'schema_version = 1\nname = "plan_apply"\ntitle = "Plan, ask, apply"\ninitial = "pending"',
        'gates_guard = "closure"',
        '[[state]]\nname = "pending"\nkind = "initial"',
        '[[state]]\nname = "gating"\nkind = "gate"\ngates = ["policy", "ci"]',
        '[[state]]\nname = "manager"\nkind = "stage"',
        '[[state]]\nname = "approving"\nkind = "gate"\ngates = ["review"]',
        '[[state]]\nname = "executor"\nkind = "stage"\nexit_codes = { 7 = "rework" }',
        _TERMINAL,
        _edge("start", "pending", "gating"),
        _edge("gates_passed", "gating", "manager"),
        _edge("gates_refused", "gating approving", "blocked"),
        _edge("stage_succeeded", "manager", "approving"),
        _edge("gates_passed", "approving", "executor"),
        _edge("rework_requested", "executor", "manager", "at_most = 2\n"),
        _edge("rework_requested", "executor", "failed"),
        _edge("stage_succeeded", "executor", "failed", 'unless = "artifacts_intact"\n'),
        _edge("stage_succeeded", "executor", "blocked", 'unless = "gates_hold"\n'),
        _edge("stage_succeeded", "executor", "done"),
        _edge("stage_failed", "manager executor", "failed"),
        _edge("stage_timed_out", "manager executor", "timeout"),
        _edge("run_aborted", "pending gating manager approving executor", "failed"),
        _edge(
            "resume",
            "pending gating manager approving executor blocked failed timeout",
            "gating",
        ),
    ]
)
PLAN: Final = "echo the plan > plan.md"
APPLY: Final = "cp plan.md applied.md"
SIGNED: Final = 'allowed_signers = "signers"\nrequester = "ann@example.org"'


def project(
    folder: Path, terms: str = SIGNED, *, plan: str = PLAN, apply: str = APPLY, more: str = ""
) -> Path:
    """Write a project whose review gate asks people."""
    (folder / "plan_apply.toml").write_text(LIFECYCLE)
    (folder / "apply.sh").write_text(f"{apply}\n")
    (folder / "run.toml").write_text(
        'lifecycle = "plan_apply.toml"\n'
        f"{more}\n"
        '[gates]\npolicy = "allow"\nci = "success"\n'
        f"[gate.{ASKED}.approval]\n{terms}\n"
        f'[stage.manager]\nbin = "sh"\nargs = ["-c", {json.dumps(plan)}]\ncwd = "."\n'
        'expected_artifacts = ["plan.md"]\n'
        '[stage.executor]\nbin = "sh"\nargs = ["apply.sh"]\ncwd = "."\n'
        'expected_artifacts = ["applied.md"]\n'
    )
    return folder


def begin(folder: Path, **options: Any) -> Ended:
    """Run until people are asked."""
    return orchestrate("run", "./out", "--config", "run.toml", cwd=folder, **options)


def go_on(folder: Path, *words: str, **options: Any) -> Ended:
    """Resume the run."""
    return orchestrate("run", "./out", "--resume", *words, cwd=folder, **options)


def tool(*words: str | Path, cwd: Path, given: bytes = b"") -> bytes:
    """Run a tool that must succeed; return what it printed."""
    path = shutil.which(str(words[0]))
    assert path is not None
    done = subprocess.run(
        [path, *map(str, words[1:])], cwd=cwd, input=given, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def make_key(folder: Path, name: str) -> Path:
    """Make a key without a passphrase."""
    path = folder / name
    tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path, cwd=folder)
    return path


def line(key: Path, principal: str, options: str = "") -> str:
    """Return the line of allowed_signers for a key."""
    kind, text, *_ = key.with_suffix(".pub").read_text().split()
    return " ".join(filter(None, (principal, options, kind, text))) + "\n"


def requests(folder: Path) -> list[Path]:
    """Return the requests of a run, in order."""
    return sorted(
        (folder / "out" / "approvals").glob(f"{ASKED}.*.request.json"),
        key=lambda one: int(one.name.split(".")[1]),
    )


def request_sha256(folder: Path) -> str:
    """Return the digest of the latest request."""
    return hashlib.sha256(requests(folder)[-1].read_bytes()).hexdigest()


def approve(folder: Path, key: Path, *words: str) -> Ended:
    """Approve the latest request without a terminal."""
    named = ("--digest", request_sha256(folder))
    return orchestrate("approve", "./out", "--key", key, *named, *words, cwd=folder)


def sign_plainly(folder: Path, key: Path, namespace: str = NAMESPACE) -> Path:
    """Sign the latest request with ssh-keygen alone."""
    request = requests(folder)[-1]
    signature = request.with_name(f"{request.name}.{key.name}.sig")
    words = ("ssh-keygen", "-Y", "sign", "-f", key, "-n", namespace)
    signature.write_bytes(tool(*words, cwd=folder, given=request.read_bytes()))
    return signature


def evidence(folder: Path) -> dict[str, Any]:
    """Return the evidence of the gate that asks."""
    decisions: Iterator[dict[str, Any]] = iter(report_of(folder / "out")["gate_decisions"])
    found = next(one for one in decisions if one["gate"] == ASKED)["evidence"]
    assert isinstance(found, dict)
    return found


def look(folder: Path, now: datetime | None = None, **terms: Any) -> Awaited:
    """Read the asking gate as it stands now, with some terms changed."""
    saved = load_saved(folder / "out")
    source = saved.checkpoint.sources[ASKED]
    assert isinstance(source, ApprovalSource)
    changed = source.approval.model_copy(update=terms)
    sources = {ASKED: source.model_copy(update={"approval": changed})}
    checkpoint = saved.checkpoint.model_copy(update={"sources": sources})
    (found,) = asked_gates(
        saved._replace(checkpoint=checkpoint), folder / "out", now or datetime.now(UTC)
    )
    return found


def judged(folder: Path, now: datetime | None = None, **terms: Any) -> tuple[str | None, str]:
    """Return the problem of the gate that asks, and its sentence."""
    found = look(folder, now, **terms).look.judged
    return (None if found.problem is None else found.problem.value), found.detail


def say(folder: Path, key: Path | None, said: Said = Said.APPROVE, **changes: Any) -> Path:
    """Write an answer to the latest request, as somebody's own program might.

    `changes` are of the statement; `namespace` is what it is signed for.
    """
    request = requests(folder)[-1]
    namespace = changes.pop("namespace", NAMESPACES[said])
    raw_request = changes.pop("request", request.read_bytes())
    predicate = predicate_of(raw_request)
    given = {
        "decision": said,
        "gate": predicate.gate,
        "runId": predicate.runId,
        "cycle": predicate.cycle,
        "reason": "",
        "decidedAt": predicate.askedAt,
        "expiresAt": predicate.expiresAt if said is Said.APPROVE else None,
        "approver": Speaker(user="x", uid=4711, host="there"),
        "withdraws": (),
        **changes,
    }
    digest = hashlib.sha256(raw_request).hexdigest()
    raw = statement_bytes(DecisionPredicate(**given), request.name, digest)
    signature = None
    if key is not None:
        words = ("ssh-keygen", "-Y", "sign", "-f", key, "-n", namespace)
        signature = tool(*words, cwd=folder, given=raw).decode()
    number = request.name.split(".")[1]
    bundle = bundle_bytes(raw, signature)
    mark = hashlib.sha256(bundle).hexdigest()[:16]
    path = request.with_name(f"{ASKED}.{number}.{said}.{mark}.json")
    path.write_bytes(bundle)
    return path
