"""The contents of a bundle that follow from the record: pure, so they can be derived again.

The checkpoint must be as its run left it, with its paths from there, and up to its events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from fsm_orchestrator.bundle.statement import (
    AnswerSummary,
    ApprovalSummary,
    ArtifactFile,
    ArtifactSummary,
    ChainSummary,
    EvidenceSummary,
    GateSummary,
    GiverSummary,
    InvocationSummary,
    LifecycleSummary,
    ListedMember,
    LogsKept,
    OutcomeSummary,
    ProgramSummary,
    RunPredicate,
    StageSummary,
    VerificationSummary,
    document_bytes,
)
from fsm_orchestrator.bundle.summary import (
    LEVEL_FAILED,
    LEVEL_PASSED,
    VERIFIER,
    Resource,
    SummaryPredicate,
    VerificationResult,
    Verifier,
)
from fsm_orchestrator.constants import PRODUCT, REPORT_FILE
from fsm_orchestrator.lifecycle.digest import relation_of
from fsm_orchestrator.model.approval import ApprovalState
from fsm_orchestrator.model.evidence import EvidenceRecord, SubjectEntry
from fsm_orchestrator.model.invocation import GateDecision, InvocationRecord
from fsm_orchestrator.record.chain import genesis
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.record.settings_part import HISTORY

NO_CONTENTS: Final[Mapping[tuple[str, str], tuple[ArtifactFile, ...]]] = MappingProxyType({})
FILE: Final = "sha256"
LIST: Final = "sha256List"
"""The digest of several files: SHA-256 of their list, which no single file can be taken for."""
_NO_SETTINGS: Final = frozenset(
    {
        *("schema_version", "product", "version", "run_id", "private_ref", "secret_keys"),
        *("home", "lifecycle_sha256", "lifecycle", "doubt"),
    }
)
"""The fields of a checkpoint that are neither history nor settings."""
_DIGESTS: Final = frozenset({"env_digests", "secret_digests", "hidden"})
"""The fields of a stage's record that stand in for values."""


class Contents(NamedTuple):
    """The parts of a bundle that do not follow from the record.

    Attributes:
        members: the listed ones, in order.
        artifacts: the files of artifacts that are there, by stage and path of the artifact.
    """

    members: tuple[ListedMember, ...]
    logs: LogsKept
    artifacts: Mapping[tuple[str, str], tuple[ArtifactFile, ...]] = NO_CONTENTS


def lifecycle_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the whole lifecycle that the run followed."""
    return document_bytes(checkpoint.lifecycle.model_dump(mode="json"))


def relation_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the text whose SHA-256 is the digest of the lifecycle."""
    return relation_of(checkpoint.lifecycle)


def config_bytes(checkpoint: Checkpoint) -> bytes:
    """Return the last settings of the run: variables by their names, without values."""
    names = [one for one in Checkpoint.model_fields if one not in HISTORY | _NO_SETTINGS]
    document = checkpoint.model_dump(mode="json")
    settings = {name: document[name] for name in names if name in document}
    settings["stages"] = {
        stage: {
            **{key: value for key, value in record.items() if key not in _DIGESTS},
            "env_keys": [*record["env_digests"]],
            "secret_keys": [*record["secret_digests"]],
        }
        for stage, record in document["stages"].items()
    }
    return document_bytes(settings)


def genesis_of(checkpoint: Checkpoint) -> str:
    """Return the digest that the first event of the run is chained to."""
    return genesis(checkpoint.run_id_in(1), checkpoint.lifecycle.relation_sha256)


def predicate_of(
    checkpoint: Checkpoint, report: Report, chain: ChainSummary, contents: Contents
) -> RunPredicate:
    """Return the predicate of the statement. `report` is the checked one (report_check.py)."""
    lifecycle = checkpoint.lifecycle
    return RunPredicate(
        runId=checkpoint.run_id,
        lifecycle=LifecycleSummary(
            name=lifecycle.name,
            sha256=checkpoint.lifecycle_sha256,
            gatesGuard=lifecycle.gates_guard,
        ),
        outcome=OutcomeSummary(
            terminalState=report.terminal_state,
            state=checkpoint.current_state,
            closureReady=report.closure_ready,
            exitCode=report.exit_code,
            reasonCodes=report.blocked_reason_codes,
            waitingFor=tuple(one.gate for one in report.waiting_for),
            startedAt=checkpoint.invocations[0].started_at,
            finishedAt=report.finished_at,
        ),
        chain=chain,
        gates=tuple(map(_gate, report.gate_decisions)),
        stages=tuple(_stage(checkpoint, one) for one in lifecycle.stages),
        artifacts=tuple(_artifacts(checkpoint, contents)),
        invocations=tuple(map(_invocation, checkpoint.invocations)),
        logs=contents.logs,
        members=contents.members,
    )


def subject_of(
    checkpoint: Checkpoint, members: tuple[ListedMember, ...]
) -> tuple[SubjectEntry, ...]:
    """Return the subject of the statement: artifacts, the run's subject, else its report."""
    artifacts = (
        SubjectEntry(name=one.path, digest={LIST if one.files is not None else FILE: one.sha256})
        for completion in checkpoint.completed
        for one in completion.artifacts
    )
    own = () if checkpoint.subject is None else checkpoint.subject.entries
    found = (*artifacts, *own)
    if found:
        return found
    report = next(one for one in members if one.name == REPORT_FILE)
    return (SubjectEntry(name=report.name, digest={FILE: report.sha256}),)


def summary_of(checkpoint: Checkpoint, report: Report) -> SummaryPredicate:
    """Return the predicate of the VSA."""
    is_ready = report.closure_ready
    evidence = (one.evidence for one in report.gate_decisions)
    return SummaryPredicate(
        verifier=Verifier(id=VERIFIER, version={PRODUCT: report.version}),
        timeVerified=report.finished_at,
        resourceUri=f"{VERIFIER}:run:{checkpoint.run_id}",
        policy=Resource(
            uri=f"{VERIFIER}:lifecycle:{checkpoint.lifecycle.name}",
            digest={"sha256": checkpoint.lifecycle_sha256},
        ),
        inputAttestations=tuple({one.uri: one for one in _attestations(evidence)}.values()),
        verificationResult=VerificationResult.PASSED if is_ready else VerificationResult.FAILED,
        verifiedLevels=(LEVEL_PASSED if is_ready else LEVEL_FAILED,),
    )


def _attestations(evidence: Iterator[EvidenceRecord | None]) -> Iterator[Resource]:
    for one in evidence:
        if one is None:
            continue
        if one.file is not None and one.statement_sha256 is not None:
            yield Resource(uri=one.file, digest={"sha256": one.statement_sha256})
        asked = one.approval
        if asked is not None and asked.request is not None and asked.request_sha256 is not None:
            yield Resource(uri=asked.request, digest={"sha256": asked.request_sha256})


def _gate(one: GateDecision) -> GateSummary:
    given, evidence = one.given, one.evidence
    return GateSummary(
        gate=one.gate,
        status=one.status,
        passed=one.passed,
        reasonCode=one.reason_code,
        source=one.source,
        givenBy=None
        if given is None
        else GiverSummary(user=given.user, uid=given.uid, host=given.host, at=given.at),
        evidence=None if evidence is None else _evidence(evidence),
        approval=None
        if evidence is None or evidence.approval is None
        else _approval(evidence.approval),
    )


def _evidence(one: EvidenceRecord) -> EvidenceSummary:
    return EvidenceSummary(
        source=one.source,
        problem=one.problem,
        sha256=one.statement_sha256,
        member=one.file,
        issuer=one.issuer,
        signer=one.signer,
        subject=one.subject,
    )


def _approval(one: ApprovalState) -> ApprovalSummary:
    answers = (
        AnswerSummary(
            said=answer.said,
            principal=answer.principal,
            key=answer.key,
            member=answer.file,
            counts=answer.counts,
            at=answer.at,
        )
        for answer in one.answers
    )
    return ApprovalSummary(
        member=one.request,
        sha256=one.request_sha256,
        needed=one.needed,
        given=one.given,
        answers=tuple(answers),
    )


def _stage(checkpoint: Checkpoint, stage: str) -> StageSummary:
    """Return the last attempt at a stage; while it is at work, what was configured for it."""
    begun = checkpoint.open_attempt_of(stage)
    ended = checkpoint.attempts_of(stage)
    count = checkpoint.next_attempt(stage) - 1
    if begun is None and ended:
        last = ended[-1]
        return StageSummary(
            stage=stage,
            attempts=count,
            attempt=last.attempt,
            status=last.status,
            ending=last.ending,
            exitCode=last.exit_code,
            command=(last.command, *last.args),
            directory=last.cwd,
            environment=last.env_keys,
            programs=tuple(ProgramSummary(path=x.path, sha256=x.sha256) for x in last.program),
            startedAt=last.started_at,
            durationMs=last.duration_ms,
            verifications=tuple(
                VerificationSummary(command=x.words, passed=x.is_good) for x in last.verifications
            ),
        )
    asked = None if begun is None else checkpoint.stages.get(stage)
    return StageSummary(
        stage=stage,
        attempts=count,
        attempt=0 if begun is None else begun.attempt,
        status=None,
        ending=None,
        exitCode=None,
        command=() if asked is None else (asked.command, *asked.args),
        directory=None if asked is None else asked.cwd,
        environment=() if asked is None else (*asked.env_digests, *asked.secret_digests),
        programs=(),
        startedAt=None if begun is None else begun.started_at,
        durationMs=0,
        verifications=(),
    )


def _artifacts(checkpoint: Checkpoint, contents: Contents) -> Iterator[ArtifactSummary]:
    for completion in checkpoint.completed:
        for one in completion.artifacts:
            yield ArtifactSummary(
                stage=completion.stage,
                path=one.path,
                sha256=one.sha256,
                sizeBytes=one.size_bytes,
                files=one.files,
                contents=contents.artifacts.get((completion.stage, one.path), ()),
            )


def _invocation(one: InvocationRecord) -> InvocationSummary:
    origin = one.origin
    return InvocationSummary(
        number=one.number,
        mode=one.execution_mode,
        version=one.version,
        user=None if origin is None else origin.user,
        uid=None if origin is None else origin.uid,
        host=None if origin is None else origin.host,
        containment=one.containment,
        startedAt=one.started_at,
        finishedAt=one.finished_at,
        exitCode=one.exit_code,
    )
