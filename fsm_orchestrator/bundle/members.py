"""The members of a bundle: a closed list of names, each of a kind with its own bounds.

Files that a run has left keep their names from the output directory, so that a file that its report
names is the member of that name.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from fsm_orchestrator.constants import (
    APPROVALS_DIRECTORY,
    CHECKPOINT_FILE,
    EVENTS_FILE,
    EVIDENCE_DIRECTORY,
    INVOCATIONS_FILE,
    LOGS_DIRECTORY,
    REPORT_FILE,
)
from fsm_orchestrator.text.late_pattern import late_pattern

SUFFIX: Final = ".fsmbundle"
MEMBERS_MAX: Final = 200_000
NAME_BYTES_MAX: Final = 255
ARCHIVE_BYTES_MAX: Final = 1024**4
_MIB: Final = 1024**2
_GIB: Final = 1024**3


class MemberKind(StrEnum):
    """The kind of a member of a bundle."""

    STATEMENT = "statement"
    SUMMARY = "summary"
    REPORT = "report"
    CHECKPOINT = "checkpoint"
    EVENTS = "events"
    INVOCATIONS = "invocations"
    LIFECYCLE = "lifecycle"
    RELATION = "relation"
    CONFIG = "config"
    EVIDENCE = "evidence"
    APPROVAL = "approval"
    LOG = "log"
    ARTIFACT = "artifact"
    SIGNATURE = "signature"

    @property
    def bytes_max(self) -> int:
        """The largest size of a member of this kind."""
        return _BYTES_MAX.get(self, 64 * _MIB)

    @property
    def is_listed(self) -> bool:
        """True if the statement lists it: all but the statement itself, and what signs that."""
        return self not in {MemberKind.STATEMENT, MemberKind.SIGNATURE}


_BYTES_MAX: Final = {
    MemberKind.EVENTS: 16 * _GIB,
    MemberKind.INVOCATIONS: 16 * _GIB,
    MemberKind.LOG: 1024 * _GIB,
    MemberKind.ARTIFACT: 16 * _GIB,
    MemberKind.SIGNATURE: 128 * _MIB,
}

STATEMENT_MEMBER: Final = "statement.json"
SUMMARY_MEMBER: Final = "vsa.json"
LIFECYCLE_MEMBER: Final = "lifecycle.json"
RELATION_MEMBER: Final = "lifecycle.relation.json"
"""The text whose SHA-256 is the digest of the lifecycle."""
CONFIG_MEMBER: Final = "config.json"
ARTIFACTS_DIRECTORY: Final = "artifacts"
SIGNATURES_DIRECTORY: Final = "signatures"

FIXED: Final = {
    STATEMENT_MEMBER: MemberKind.STATEMENT,
    SUMMARY_MEMBER: MemberKind.SUMMARY,
    REPORT_FILE: MemberKind.REPORT,
    CHECKPOINT_FILE: MemberKind.CHECKPOINT,
    EVENTS_FILE: MemberKind.EVENTS,
    INVOCATIONS_FILE: MemberKind.INVOCATIONS,
    LIFECYCLE_MEMBER: MemberKind.LIFECYCLE,
    RELATION_MEMBER: MemberKind.RELATION,
    CONFIG_MEMBER: MemberKind.CONFIG,
}
"""The members that have a fixed name."""
OPTIONAL: Final = frozenset({INVOCATIONS_FILE})
"""The fixed members that a bundle may lack."""

_NUMBERED: Final = r"[a-z][a-z0-9_]{0,63}\.[1-9][0-9]{0,8}"
_IN_DIRECTORIES: Final = {
    MemberKind.EVIDENCE: late_pattern(rf"{EVIDENCE_DIRECTORY}/{_NUMBERED}\.json"),
    MemberKind.APPROVAL: late_pattern(
        rf"{APPROVALS_DIRECTORY}/{_NUMBERED}\.(request\.json|used\.json"
        r"|(approve|deny|withdraw)\.[0-9a-f]{16}\.json"
        r"|request\.json(\.[A-Za-z0-9_@+-]+)*\.sig)"
    ),
    MemberKind.LOG: late_pattern(
        rf"{LOGS_DIRECTORY}/(gate\.)?{_NUMBERED}(\.verify\.[1-9][0-9]{{0,8}})?"
        r"\.(stdout\.log|stderr\.log|postmortem\.json|protected\.json|meter\.jsonl)"
    ),
    MemberKind.ARTIFACT: late_pattern(rf"{ARTIFACTS_DIRECTORY}/[0-9a-f]{{64}}"),
    MemberKind.SIGNATURE: late_pattern(
        rf"{SIGNATURES_DIRECTORY}/(statement\.[0-9a-f]{{16}}\.sig"
        r"|(statement|vsa)\.[0-9a-f]{16}\.(dsse|sigstore)\.json)"
    ),
}


def kind_of(name: str) -> MemberKind | None:
    """Return the kind of a member of this name, or None if there can be none."""
    if len(name) > NAME_BYTES_MAX or not name.isascii():
        return None
    for kind, pattern in _IN_DIRECTORIES.items():
        if pattern.fullmatch(name) is not None:
            return kind
    return FIXED.get(name)


def artifact_member(sha256: str) -> str:
    """Return the name of the member for a file of an artifact: by its bytes, not its path."""
    return f"{ARTIFACTS_DIRECTORY}/{sha256}"
