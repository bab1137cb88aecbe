"""The duties of an attempt besides an exit code of 0: contracts, protected paths and inputs."""

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
"""The number of violations that the cause names: the record and the facts have them all."""


class Earned(NamedTuple):
    """The findings about the duties of an attempt.

    Attributes:
        changes: the changes of the protected paths.
        is_compared: True if the protected paths were compared.
        inputs: the inputs that the stage used; empty if it did not complete.
    """

    changes: tuple[Changed, ...]
    is_compared: bool
    inputs: tuple[InputDigest, ...] = ()


class Earning:
    """The duties of the attempt of a stage; made before its process is started.

    Attributes:
        earned: the findings so far.
        guard: its protected paths, with their state before the stage; None if it has none.
    """

    def __init__(self, asked: Asked, *, is_done: bool = False) -> None:
        """Prepare the checks; `is_done` if an earlier attempt's work is only looked at again."""
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
        """Read the schemas before the stage can change them; return why one cannot be used."""
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
        """The record of its protected paths, when they were just found to be unchanged."""
        kept = None if self.guard is None else self.guard.protection
        return None if kept is None else kept.model_copy(update={"is_compared": True})

    def compare(self, may_go_on: Callable[[str], bool], *, must: bool) -> None:
        """Compare the protected paths with their state before.

        Raises:
            JudgingCutShortError: `may_go_on` returned False, and the result must be known.
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
        """Return the present inputs of a stage that has completed."""
        return digests_of(self._asked.settings, lambda _path: None)

    def note_inputs(
        self, end: ProcessEnd, verdict: ArtifactsVerdict, may_go_on: Callable[[str], bool]
    ) -> None:
        """Digest the inputs of a stage if it seems to have completed.

        Raises:
            JudgingCutShortError: `may_go_on` returned False.
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
    """The findings as the record of an attempt has them, fit to be shown."""

    violations: tuple[ContractViolation, ...]
    changes: tuple[ProtectedChange, ...]
    protected: str
    contracts: str

    def too(self, cause: StageResult) -> list[str]:
        """Return what else is wrong, when something else was the cause."""
        said = []
        if self.protected and not isinstance(cause, ProtectedChanged | NotSpawned):
            said.append(f"it also changed what is protected: {self.protected}")
        if self.contracts and not isinstance(cause, ContractViolated):
            said.append(f"it also broke its contract: {self.contracts}")
        return said


def earned_record(asked: Asked, verdict: ArtifactsVerdict, earned: Earned | None) -> EarnedRecord:
    """Return the findings about contracts and protected paths for a record."""
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
