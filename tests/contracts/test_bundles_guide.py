"""docs/bundles.md: its commands run as printed, and its tables are true."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from fsm_orchestrator.bundle.members import (
    ARCHIVE_BYTES_MAX,
    ARTIFACTS_DIRECTORY,
    FIXED,
    MEMBERS_MAX,
    SIGNATURES_DIRECTORY,
    MemberKind,
)
from fsm_orchestrator.bundle.signatures import NAMESPACE, Form, Signed
from fsm_orchestrator.bundle.statement import RUN_TYPE, LogsKept, RunPredicate
from fsm_orchestrator.constants import APPROVALS_DIRECTORY, EVIDENCE_DIRECTORY, LOGS_DIRECTORY
from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "bundles.md"
VARYING = re.compile(r"\b[0-9a-f]{64}\b|SHA256:[A-Za-z0-9+/]{43}|\b\d+ bytes")


@pytest.mark.skipif(
    not all(map(shutil.which, ("ssh-keygen", "openssl", "tar", "sha256sum"))),
    reason="needs ssh-keygen, openssl, tar and sha256sum",
)
def test_commands_print_what_the_guide_says() -> None:
    """Every command of the guide works, in its order, in one directory."""
    follow(GUIDE, VARYING)


def _rows(heading: str) -> list[str]:
    text = GUIDE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)


def test_members_are_those_of_the_guide() -> None:
    """The guide lists each name and each directory, and nothing else."""
    directories = {
        *(EVIDENCE_DIRECTORY, APPROVALS_DIRECTORY, LOGS_DIRECTORY),
        *(ARTIFACTS_DIRECTORY, SIGNATURES_DIRECTORY),
    }
    assert set(_rows("Contents")) == {*FIXED, *(f"{one}/" for one in directories)}
    assert len(FIXED) + len(directories) == len(MemberKind)


def test_keys_of_the_predicate_are_those_of_the_guide() -> None:
    """The guide lists the keys of the predicate in their order."""
    assert _rows("The statement") == [*RunPredicate.model_fields]


def test_names_and_bounds_are_those_of_the_guide() -> None:
    """Types, namespaces, forms and sizes in the guide are those of the program."""
    text = GUIDE.read_text()
    for one in (RUN_TYPE, NAMESPACE, *LogsKept):
        assert f"`{one}`" in text
    for form in Form:
        assert f"`{Signed.STATEMENT}.KEY.{form}`" in text
    assert f"at most\n{MEMBERS_MAX:,} members" in text
    assert (ARCHIVE_BYTES_MAX, "and 1 TiB" in text) == (1024**4, True)
