"""The last links: who has signed the bundle, and whether its chain ends where it should."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fsm_orchestrator.approvals.keys import (
    NotAKeyError,
    allowed_lines,
    certified_in,
    counted_lines,
    principals_in,
    signing_key,
)
from fsm_orchestrator.bundle.archive_links import Notes
from fsm_orchestrator.bundle.known import BrokenError, Known, NotApplicableError, Requirement
from fsm_orchestrator.bundle.members import (
    STATEMENT_MEMBER,
    SUMMARY_MEMBER,
    MemberFacts as _Facts,
    MemberKind,
)
from fsm_orchestrator.bundle.signatures import NAMESPACE, Form, SignatureName, Signed, named
from fsm_orchestrator.bundle.verified import Break, FoundSignature
from fsm_orchestrator.disk import files
from fsm_orchestrator.gates.sources.envelope import RefusedError, envelope_of, json_value
from fsm_orchestrator.gates.sources.signatures import (
    KEY_BYTES_MAX,
    SignedBy,
    SshSignature,
    SshTerms,
    readable,
    signer_of,
    without_tool,
)
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.processes.tool import ToolError
from fsm_orchestrator.text.instants import instant
