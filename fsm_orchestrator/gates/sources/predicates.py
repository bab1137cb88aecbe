"""The predicates that a statement may have, and their meaning for a gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Final

from fsm_orchestrator.model.declared import BaseModel, ConfigDict, Field, StringConstraints
from fsm_orchestrator.model.evidence import Checks, EvidenceProblem
from fsm_orchestrator.model.gate_rules import GateRule
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.instants import instant
from fsm_orchestrator.text.phrases import counted, described, listed
from fsm_orchestrator.vocabulary import Gate

TEST_RESULT: Final = "https://in-toto.io/attestation/test-result/v0.1"
VSA: Final = "https://slsa.dev/verification_summary/v1"
SVR: Final = "https://in-toto.io/attestation/svr/v0.1"
GATE_SIGNAL: Final = "urn:fsm-orchestrator:gate-signal:v0.1"
NAMED_MAX: Final = 5

Name = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Instant = Annotated[
    str,
    StringConstraints(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
        r"(Z|[+-][0-9]{2}:[0-9]{2})$"
    ),
]
Names = Annotated[tuple[Name, ...], Field(max_length=100_000)]


@dataclass(frozen=True)
class Asked:
    """The demands of the source on a predicate."""

    rule: GateRule
    accepts_warned: bool
    properties: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """The result of a predicate. `problem` is None if it passes its gate."""

    problem: EvidenceProblem | None
    detail: str
    checks: Checks | None = None
    issuer: str | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None


class _Predicate(BaseModel):
    """The keys of a foreign predicate that count; it may have more."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class _TestResult(_Predicate):
    result: str
    passedTests: Names = ()  # noqa: N815 - the predicate's names
    warnedTests: Names = ()  # noqa: N815
    failedTests: Names = ()  # noqa: N815


class _Verifier(_Predicate):
    id: Name


class _Vsa(_Predicate):
    verifier: _Verifier
    timeVerified: str | None = None  # noqa: N815
    verificationResult: str  # noqa: N815


class _Svr(_Predicate):
    verifier: _Verifier
    timeCreated: str | None = None  # noqa: N815
    properties: Names = ()


class Check(BaseModel):
    """One check behind a signal."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name = Field(description="Its name, for people.")
    status: Annotated[
        str, StringConstraints(pattern=r"^(passed|failed|skipped|pending|missing)$")
    ] = Field(description="Its result: passed, failed, skipped, pending or missing.")


class GateSignalPredicate(BaseModel):
    """A gate's signal with its grounds, in an in-toto statement: this program's own predicate."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    gate: Name | None = Field(
        default=None, description="The gate that it is for; any that knows its status if left out."
    )
    status: Name = Field(description="The signal, such as `success`, `allow` or `approved`.")
    checks: Annotated[tuple[Check, ...], Field(min_length=1, max_length=100_000)] | None = Field(
        default=None, description="What was checked; left out where the signal says all there is."
    )
    issuer: Name = Field(description="Who gives it.")
    issuedAt: Instant = Field(description="When it was given, in RFC 3339.")  # noqa: N815
    expiresAt: Instant | None = Field(  # noqa: N815
        default=None, description="Until when it holds, in RFC 3339; forever if left out."
    )


def _test_result(predicate: Any, asked: Asked) -> Said:
    found = _TestResult.model_validate(predicate, strict=False)
    passed, warned, failed = found.passedTests, found.warnedTests, found.failedTests
    count = len(passed) + len(warned)
    checks = Checks(passed=count, failed=len(failed), skipped=0, missing=0)
    said = f"{counted(len(passed), 'test')} passed, {len(warned)} warned, {len(failed)} failed"
    if failed or found.result == "FAILED":
        named = f": {named_words(failed)}" if failed else ""
        return Said(EvidenceProblem.CHECK_FAILED, f"{said}{named}", checks)
    if found.result == "WARNED" or (warned and found.result == "PASSED"):
        if not asked.accepts_warned:
            words = f"{said}, and accept_warned is not set"
            return Said(EvidenceProblem.CHECK_FAILED, words, checks)
    elif found.result != "PASSED":
        words = f"its result is {described(found.result)}"
        return Said(EvidenceProblem.NOT_A_STATEMENT, words, checks)
    if not count:
        return Said(EvidenceProblem.NOTHING_CHECKED, f"it lists no test: {said}", checks)
    return Said(None, said, checks)


def _vsa(predicate: Any, _asked: Asked) -> Said:
    found = _Vsa.model_validate(predicate, strict=False)
    has_passed = found.verificationResult == "PASSED"
    return Said(
        None if has_passed else EvidenceProblem.CHECK_FAILED,
        f"the verification result is {described(found.verificationResult)}",
        issuer=found.verifier.id,
        issued_at=None if found.timeVerified is None else instant(found.timeVerified),
    )


def _svr(predicate: Any, asked: Asked) -> Said:
    found = _Svr.model_validate(predicate, strict=False)
    issued_at = None if found.timeCreated is None else instant(found.timeCreated)
    missing = tuple(one for one in asked.properties if one not in found.properties)
    checks = Checks(
        passed=len(asked.properties) - len(missing), failed=0, skipped=0, missing=len(missing)
    )
    problem, detail = None, f"it has all of {listed(asked.properties)}"
    if not asked.properties:
        problem = EvidenceProblem.NOTHING_CHECKED
        detail = "the source names no properties that it must have"
    elif missing:
        problem = EvidenceProblem.CHECK_MISSING
        detail = f"it does not have {named_words(missing)}"
    return Said(problem, detail, checks, issuer=found.verifier.id, issued_at=issued_at)


def _gate_signal(predicate: Any, asked: Asked) -> Said:
    found = GateSignalPredicate.model_validate(predicate, strict=False)
    by_status: dict[str, list[str]] = {}
    for one in found.checks or ():
        by_status.setdefault(one.status, []).append(one.name)
    failed, pending = by_status.get("failed", []), by_status.get("pending", [])
    missing, passed = by_status.get("missing", []), by_status.get("passed", [])
    checks = None
    if found.checks is not None:
        checks = Checks(
            passed=len(passed),
            failed=len(failed),
            skipped=len(by_status.get("skipped", [])),
            missing=len(missing) + len(pending),
        )
    rule = asked.rule
    problem, detail = None, f"{copyable(found.issuer)} says {copyable(found.status)}"
    if found.gate not in {None, rule.name}:
        problem, detail = (
            EvidenceProblem.WRONG_PREDICATE,
            f"it is for the gate {described(found.gate)}",
        )
    elif found.status not in rule.values:
        problem = EvidenceProblem.WRONG_PREDICATE
        detail = f"{described(found.status)} is no value of the gate {rule.name}"
    elif failed or rule.is_denial(found.status):
        problem = EvidenceProblem.CHECK_FAILED
        detail = f"{detail}; failed: {named_words(failed)}" if failed else detail
    elif pending or found.status == "pending":
        problem = EvidenceProblem.CHECK_PENDING
        detail = f"{detail}; pending: {named_words(pending)}" if pending else detail
    elif missing or found.status != rule.passing:
        problem = EvidenceProblem.CHECK_MISSING
        detail = f"{detail}; missing: {named_words(missing)}" if missing else detail
    elif found.checks is not None and not passed:
        problem, detail = EvidenceProblem.NOTHING_CHECKED, f"{detail}, and no check passed"
    return Said(
        problem,
        detail,
        checks,
        issuer=found.issuer,
        issued_at=instant(found.issuedAt),
        expires_at=None if found.expiresAt is None else instant(found.expiresAt),
    )


def named_words(names: tuple[str, ...] | list[str]) -> str:
    """Return some names, and the number of the rest."""
    shown = [described(one) for one in names[:NAMED_MAX]]
    more = len(names) - len(shown)
    return listed([*shown, *([f"{more} more"] if more else [])])


Reader = Callable[[Any, Asked], Said]
_READERS: Final[Mapping[str, tuple[Reader, frozenset[Gate] | None]]] = {
    TEST_RESULT: (_test_result, frozenset({Gate.CI})),
    VSA: (_vsa, frozenset({Gate.POLICY})),
    SVR: (_svr, frozenset({Gate.POLICY})),
    GATE_SIGNAL: (_gate_signal, None),
}
"""Each predicate with its reader, and the gates that read it; None stands for any gate."""


def reader_of(predicate_type: str, gate: str) -> Reader | None:
    """Return the reader of a predicate for a gate, or None if the gate does not read it."""
    return _READERS[predicate_type][0] if predicate_type in known_to(gate) else None


def known_to(gate: str) -> tuple[str, ...]:
    """Return the predicates that a gate reads."""
    return tuple(one for one, (_, gates) in _READERS.items() if gates is None or gate in gates)
