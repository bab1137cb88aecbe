"""A refusal of the system to a source refuses its gate."""

from __future__ import annotations

import errno
import os
from typing import Any, cast

from fsm_orchestrator.gates.sources.base import Evidence, SourceModel, Tools, evidence_from
from fsm_orchestrator.model.evidence import EvidenceProblem, SourceKind, Subject, SubjectEntry


class Broken(SourceModel):
    """A source that the system does not let work."""

    @property
    def kind(self) -> SourceKind:
        """Any kind of source."""
        return SourceKind.STATEMENT

    def source(self, tools: Tools) -> Any:
        """Return itself."""
        del tools
        return self

    def collect(self, subject: Subject | None, work: tuple[SubjectEntry, ...]) -> Evidence:
        """Raise the error of a full disk."""
        del subject, work
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_full_disk_is_a_problem_of_the_evidence() -> None:
    """It is no crash: the gate stays closed, with the reason."""
    evidence = evidence_from(Broken(), cast("Tools", None), None, ())
    assert evidence.raw is None
    assert evidence.record.problem is EvidenceProblem.ENGINE_ERROR
    assert evidence.record.detail == "it cannot be asked here: no space left on device"
