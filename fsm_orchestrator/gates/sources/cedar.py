"""A policy in Cedar: it has to permit this run to pass this gate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Self

from fsm_orchestrator.gates.sources.base import Evidence, PathWord, Tools, based_path
from fsm_orchestrator.gates.sources.policy_terms import PolicyTerms, policy_words
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.evidence import SourceKind, Subject, SubjectEntry

INSTALL: Final = "cedarpy module: pip install 'fsm-orchestrator[cedar]'"


class CedarPolicy(StrictModel):
    """The files of a policy."""

    policy: Annotated[tuple[PathWord, ...], Field(min_length=1)] = Field(
        description="The policy's files, or directories of them (*.cedar); relative to the config"
        " file."
    )
    schema: PathWord | None = Field(  # type: ignore[assignment]
        default=None,
        description="A Cedar schema that policy and request must agree with, as a file.",
    )


class CedarSource(PolicyTerms):
    """`cedar = { policy = ["release.cedar"] }`: a policy in Cedar."""

    cedar: CedarPolicy = Field(
        description="The policy. Principal is the run, action `pass`, resource the gate; the"
        " context is what is known of the run."
    )

    def source(self, tools: Tools) -> _Cedar:
        """Return the policy, ready to be judged."""
        return _Cedar(self, tools)

    def based(self, directory: str) -> Self:
        """Return the settings with absolute paths."""
        schema = self.cedar.schema
        paths = {
            "policy": tuple(based_path(directory, one) for one in self.cedar.policy),
            "schema": None if schema is None else based_path(directory, schema),
        }
        return self.model_copy(update={"cedar": self.cedar.model_copy(update=paths)})

    @property
    def authorities(self) -> tuple[str, ...]:
        """The policy, and its schema."""
        return tuple(filter(None, (*self.cedar.policy, self.cedar.schema)))

    @property
    def kind(self) -> SourceKind:
        """The kind of the source."""
        return SourceKind.CEDAR

    @property
    def words(self) -> str:
        """The files of the policy."""
        return policy_words("cedar", self.cedar.policy)


@dataclass(frozen=True)
class _Cedar:
    """One evaluation of the policy."""

    given: CedarSource
    tools: Tools

    def collect(self, subject: Subject | None, work: tuple[SubjectEntry, ...]) -> Evidence:
        """Judge the policy on the known facts of the run."""
        from fsm_orchestrator.gates.policy_input import PolicyFileKind as Kind  # noqa: PLC0415 - when asked
        from fsm_orchestrator.gates.sources.policy import ToJudge, judged  # noqa: PLC0415 - when asked

        given, tools = self.given.cedar, self.tools
        to_judge = ToJudge(
            kind=SourceKind.CEDAR,
            query=None,
            what="the policy",
            answers=("allows it", "does not allow it"),
            install=INSTALL,
            paths={
                Kind.POLICY: given.policy,
                Kind.SCHEMA: () if given.schema is None else (given.schema,),
            },
            suffixes={Kind.POLICY: ".cedar"},
            asked={
                "principal": {"type": "Run", "id": tools.run_id},
                "action": {"type": "Action", "id": "pass"},
                "resource": {"type": "Gate", "id": tools.rule.name},
            },
        )
        return judged(self.given, to_judge, tools, (subject, work))
