"""A policy in Rego: the rule that it is asked for has to be true."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from typing import Annotated, Any, Final, Self

from fsm_orchestrator.gates.sources.base import Evidence, PathWord, Tools, based_path
from fsm_orchestrator.gates.sources.policy_terms import PolicyTerms, policy_words
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import BeforeValidator, Field, StringConstraints
from fsm_orchestrator.model.evidence import SourceKind, Subject, SubjectEntry

INSTALL: Final = (
    "opa on PATH, and no regorus module: install Open Policy Agent, or"
    " pip install 'fsm-orchestrator[rego]'"
)
QUERY_PATTERN: Final = r"^data(\.[A-Za-z_][A-Za-z0-9_]*)+$"


def _path_of_a_rule(value: Any) -> Any:
    """Refuse an expression, which can be true without any rule."""
    if isinstance(value, str) and re.fullmatch(QUERY_PATTERN, value) is None:
        raise ValueError("should be the path of one rule, such as data.release.allow")
    return value


class RegoPolicy(StrictModel):
    """The files of a policy, and the rule that is asked for."""

    policy: Annotated[tuple[PathWord, ...], Field(min_length=1)] = Field(
        description="The policy's files, or directories of them (*.rego); relative to the config"
        " file."
    )
    data: tuple[PathWord, ...] = Field(
        default=(), description="JSON files that are merged into `data`, or directories of them."
    )
    query: Annotated[
        str, StringConstraints(pattern=QUERY_PATTERN), BeforeValidator(_path_of_a_rule)
    ] = Field(description="The rule that has to be true: `data.release.allow`.")


class RegoSource(PolicyTerms):
    """`rego = { policy = ["release.rego"], query = "data.release.allow" }`: a policy in Rego."""

    rego: RegoPolicy = Field(
        description="The policy; it is judged by `opa` on PATH, else by a regorus module."
    )

    def source(self, tools: Tools) -> _Rego:
        """Return the policy, ready to be judged."""
        return _Rego(self, tools)

    def based(self, directory: str) -> Self:
        """Return the settings with absolute paths."""
        paths = {
            "policy": tuple(based_path(directory, one) for one in self.rego.policy),
            "data": tuple(based_path(directory, one) for one in self.rego.data),
        }
        return self.model_copy(update={"rego": self.rego.model_copy(update=paths)})

    @property
    def authorities(self) -> tuple[str, ...]:
        """The files of the policy; its data may be made by stages."""
        return self.rego.policy

    @property
    def kind(self) -> SourceKind:
        """The kind of the source."""
        return SourceKind.REGO

    @property
    def words(self) -> str:
        """The rule and the files."""
        return policy_words(f"rego {self.rego.query} in", self.rego.policy)


@dataclass(frozen=True)
class _Rego:
    """One evaluation of the policy."""

    given: RegoSource
    tools: Tools

    def collect(self, subject: Subject | None, work: tuple[SubjectEntry, ...]) -> Evidence:
        """Judge the policy on the known facts of the run."""
        from fsm_orchestrator.gates.policy_input import PolicyFileKind as Kind  # noqa: PLC0415 - when asked
        from fsm_orchestrator.gates.sources.policy import ToJudge, judged  # noqa: PLC0415 - when asked

        given = self.given.rego
        to_judge = ToJudge(
            kind=SourceKind.REGO,
            query=given.query,
            what=given.query,
            answers=("is true", "is false"),
            install=INSTALL,
            paths={Kind.POLICY: given.policy, Kind.DATA: given.data},
            suffixes={Kind.POLICY: ".rego", Kind.DATA: ".json"},
            asked={"opa": shutil.which("opa")},
        )
        return judged(self.given, to_judge, self.tools, (subject, work))
