"""Approvals of something else: record and request agree on it, but it was not what ran."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import pytest

from fsm_orchestrator.approvals.request import predicate_of, request_bytes
from fsm_orchestrator.bundle.verified import Break, Link
from tests.bundle.bundle_cases import members
from tests.bundle.proof_cases import Whole, archive_of, first_broken, made_up

OTHERS: Final[Mapping[str, tuple[dict[str, Any] | None, str]]] = {
    "another command": ({"argv": ("sh", "other.sh")}, "the command of executor"),
    "more variables": ({"environment": ("PATH",)}, "the environment of executor"),
    "another directory": ({"directory": "/elsewhere"}, "the directory of executor"),
    "a cage": ({"confinement": "0" * 64}, "what confines executor"),
    "terms": ({"held_to": "0" * 64}, "what executor is held to"),
    "nothing of what was run": (None, "executor, which it releases,"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_approval_of_something_else_is_no_approval(whole: Whole, name: str) -> None:
    """All facts of a request about a command are compared with the record."""
    update, said = OTHERS[name]
    found = members(whole.path)
    file = next(one for one in found if one.endswith(".1.request.json"))
    asked = predicate_of(found[file])
    (command,) = asked.commands
    changed = () if update is None else (command.model_copy(update=update),)
    other = request_bytes(asked.model_copy(update={"commands": changed}))
    lies = {hashlib.sha256(found[file]).hexdigest(): hashlib.sha256(other).hexdigest()}
    for one in changed:
        lies[command.sha256] = one.sha256
    check = first_broken(archive_of(made_up({**found, file: other}, lies)), whole.wanted)
    assert check is not None
    assert (check.link, check.problem) == (Link.REQUESTS, Break.OTHER_THING)
    assert f"{said} is not what the record has" in check.detail
