"""What one attempt has to leave, leave alone and go by, beside an exit code of 0."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.model.contracts import (
    ContractViolation,
    InputDigest,
    ProtectedChange,
    Protection,
)
from fsm_orchestrator.model.endings import (
    ContractViolated,
    Exited,
    Interrupted,
    NotSpawned,
    ProcessEnd,
    ProtectedChanged,
    SpawnFailure,
    StageResult,
)
from fsm_orchestrator.stages.artifacts import ArtifactsVerdict, JudgingCutShortError
from fsm_orchestrator.stages.contract_terms import Terms
from fsm_orchestrator.stages.contracted import Contracted, stamps_of
from fsm_orchestrator.stages.declared_inputs import digests_of
from fsm_orchestrator.stages.json_schemas import Schema, SchemaError, read_schema
from fsm_orchestrator.stages.matching import Matcher
from fsm_orchestrator.stages.protected import CHANGES_MAX, Changed, summary_of
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted

if TYPE_CHECKING:
    from fsm_orchestrator.stages.asked import Asked

VIOLATIONS_NAMED_MAX: Final = 1
"""How many the cause names: the record and the facts have them all."""


class Earned(NamedTuple):
    """What was found of that.

    Attributes:
        changes: of the protected paths.
        is_compared: whether those were compared.
        inputs: what the stage went by; empty where it did not complete.
    """

    changes: tuple[Changed, ...]
    is_compared: bool
    inputs: tuple[InputDigest, ...] = ()


class Earning:
    """What the attempt of a stage has to earn; made before its process is started.

    Attributes:
        earned: what was found of it so far.
        guard: its protected paths, with what they were before the stage; None where it has none.
    """

    def __init__(self, asked: Asked, *, is_done: bool = False) -> None:
        """Prepare it; `is_done` where what an earlier attempt has left is looked at again."""
        settings = asked.settings
        self._asked = asked
        self.guard = asked.guard
        self.earned = Earned((), is_compared=False)
        self._schemas: dict[str, Schema] = {}
        self.refusal: NotSpawned | Interrupted | None = (
            None if self.guard is None else self.guard.refusal
        )
        if self.refusal is None:
            self.refusal = self._read_schemas()
        self.files = tuple(
            path
            for path in settings.artifact_paths
            if path not in {one.path for one in settings.contracts if one.is_set}
        )
        self.contracted = Contracted(
            settings.contracts,
            Terms(self._schemas, Matcher()),
            None if settings.allow_stale or is_done else stamps_of(settings.contracts),
        )

    def _read_schemas(self) -> NotSpawned | None:
        """Hold the schemas, before the stage can change them; return why one is not to be had."""
        for one in self._asked.settings.contracts:
            if one.json_schema is None or one.json_schema in self._schemas:
                continue
            try:
                schema = read_schema(one.json_schema)
            except SchemaError as error:
                return NotSpawned(SpawnFailure.NO_CONTRACT, str(error))
            if schema.sha256 != one.json_schema_sha256:
                return NotSpawned(
                    SpawnFailure.NO_CONTRACT,
                    f"{copyable(one.json_schema)} has the sha256 {schema.sha256}, and had"
                    f" {one.json_schema_sha256} when it was given",
                )
            self._schemas[one.json_schema] = schema
        return None

    @property
    def protection(self) -> Protection | None:
        """What its protected paths are, where they have just been found to be what they were."""
        kept = None if self.guard is None else self.guard.protection
        return None if kept is None else kept.model_copy(update={"is_compared": True})

    def compare(self, may_go_on: Callable[[str], bool], *, must: bool) -> None:
        """Compare the protected paths with what they were.

        Raises:
            JudgingCutShortError: `may_go_on` said no, and it must be known.
        """
        guard = self.guard
        if guard is None or (guard.refusal is None and self.refusal is not None):
            # There are none, or nothing was started that could have changed them.
            self.earned = Earned((), is_compared=True)
        elif guard.baseline is None or guard.refusal is not None:
            self.earned = Earned(guard.changes, is_compared=False)
        else:
            try:
                changes = guard.baseline.changes_since(_asking(may_go_on))
            except JudgingCutShortError:
                if must:
                    raise
            else:
                self.earned = Earned(changes, is_compared=True)

    def all_inputs(self) -> tuple[InputDigest, ...]:
        """Return the inputs of a stage that has completed, as they are now."""
        return digests_of(self._asked.settings, lambda _path: None)

    def note_inputs(
        self, end: ProcessEnd, verdict: ArtifactsVerdict, may_go_on: Callable[[str], bool]
    ) -> None:
        """Digest the inputs of a stage that seems to have completed; not those of another.

        Raises:
            JudgingCutShortError: `may_go_on` said no.
        """
        if end == Exited(0) and verdict.is_good and not verdict.broken:
            inputs = digests_of(self._asked.settings, _asking(may_go_on))
            self.earned = self.earned._replace(inputs=inputs)


def _asking(may_go_on: Callable[[str], bool]) -> Callable[[str], None]:
    def ask(path: str) -> None:
        if not may_go_on(path):
            raise JudgingCutShortError

    return ask


class EarnedRecord(NamedTuple):
    """What the record of an attempt has of it, as it may be shown."""

    violations: tuple[ContractViolation, ...]
    changes: tuple[ProtectedChange, ...]
    protected: str
    contracts: str

    def too(self, cause: StageResult) -> list[str]:
        """Return what is wrong as well, where something else was the cause."""
        said = []
        if self.protected and not isinstance(cause, ProtectedChanged | NotSpawned):
            said.append(f"it changed what is protected, too: {self.protected}")
        if self.contracts and not isinstance(cause, ContractViolated):
            said.append(f"it broke its contract, too: {self.contracts}")
        return said


def earned_record(asked: Asked, verdict: ArtifactsVerdict, earned: Earned | None) -> EarnedRecord:
    """Return what a record may have of contracts and protected paths."""
    changes = () if earned is None else earned.changes
    violations = tuple(one.recorded(asked.masker, asked.output_masker) for one in verdict.broken)
    return EarnedRecord(
        violations=violations,
        changes=tuple(one.recorded(asked.masker) for one in changes[:CHANGES_MAX]),
        protected=summary_of(changes) if changes else "",
        contracts=_contract_words(violations),
    )


def _contract_words(violations: Sequence[ContractViolation]) -> str:
    named = "; ".join(one.sentence for one in violations[:VIOLATIONS_NAMED_MAX])
    more = len(violations) - VIOLATIONS_NAMED_MAX
    return f"{named}; and {counted(more, 'more violation')}" if more > 0 else named
