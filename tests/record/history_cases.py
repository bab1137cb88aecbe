"""Forged checkpoints of real runs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.record import checkpoint_reader
from tests.support.command import PASSING, checkpoint_of, stages, start

Document = dict[str, Any]
Place = tuple[str | int, ...]
GONE: Final = object()

NAME: Final = "/some/where/orchestrator_checkpoint.json"
RAN: Final = 'touch "$ORCHESTRATOR_OUTPUT_DIR/ran.$ORCHESTRATOR_STAGE"'
PLAN: Final = f"{RAN}; echo '[1]' > plan.json"
PLANNED: Final = ("--manager-expected-artifact", "plan.json", "--manager-env", "MODE=4711")
DENIED: Final = ("--policy-status", "deny", *PASSING[2:])


def ended_in_mid_stage(name: str, signum: int, cwd: Path) -> int:
    """Start a run, end its orchestrator while the executor works, and return its exit code."""
    hold = cwd / f"{name}.hold"
    os.mkfifo(hold)
    working = stages(PLAN, f"exec cat '{hold}'")
    orchestrator = start(name, *PASSING, *working, *PLANNED, cwd=cwd)
    with hold.open("w"):  # opens once the stage reads it; closing it ends the remaining processes
        orchestrator.send_signal(signum)
        orchestrator.communicate()
    return orchestrator.returncode


def refusal(data: bytes) -> str | None:
    """Return why a checkpoint is refused, or None; any other exception is a bug."""
    try:
        checkpoint_reader.parse(data, NAME)
    except CheckpointError as error:
        refused = error
    else:
        return None
    said = re.search(rf"{NAME}: (\S.*)", str(refused), re.DOTALL)
    assert said, f"file and reason are not named: {refused}"
    assert refused.remedy
    return said[1]


def encoded(document: object) -> bytes:
    """Return a document as JSON."""
    return json.dumps(document).encode()


def at(document: Any, place: Place) -> Any:
    """Return the value at a path."""
    for key in place:
        document = document[key]
    return document


def change(document: Document, changes: Mapping[str, Any]) -> None:
    """Put values in places; a key is a path joined by dots, and `@0` is the first invocation.

    A value that is a function gets the existing value and returns the new one; `GONE` removes it.
    """
    for name, value in changes.items():
        keys = name.replace("@", "invocations.").split(".")
        *path, key = (int(key) if key.isdigit() else key for key in keys)
        holder = at(document, tuple(path))
        if value is GONE:
            del holder[key]
        else:
            holder[key] = value(holder[key]) if callable(value) else value


def forged(runs: Path, run: str, changes: Mapping[str, Any], *, sign: bool = False) -> bytes:
    """Return the checkpoint of a run with some changes; `sign` makes the lifecycle's digest fit."""
    document = checkpoint_of(runs / run)
    change(document, changes)
    if sign:
        declared = Lifecycle.model_validate_json(encoded(document["lifecycle"]))
        document["lifecycle_sha256"] = declared.sha256
    return encoded(document)


EQUAL_STEPS: Final = ("run_aborted", "resume")
"""Triggers with equal steps: an abort leads to `failed` like a failure, a resume like a start."""
IN_GATING: Final = {
    "current_state": "gating",
    "@0.transitions.1": GONE,
    "@0.gate_decisions": [],
}
"""A run that was killed before its gates were judged."""
