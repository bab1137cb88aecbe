"""Checkpoints of real runs, damaged or forged in one place: each is refused by name."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.record import checkpoint_reader
from tests.record.history_cases import (
    EQUAL_STEPS,
    IN_GATING,
    NAME,
    Document,
    Place,
    at,
    encoded,
    forged,
    refusal,
)
from tests.support.command import CHECKPOINT, checkpoint_of
from tests.support.places import of_each_kind
from tests.support.soak import SOAK

RUNS: Final = (
    *("blocked", "failed", "timeout", "done", "passed_over"),
    *("resumed", "repeated", "set_aside", "interrupted", "killed", "revived"),
)
STATES: Final = ("pending", "gating", "manager", "executor", "done", "blocked", "failed", "timeout")
TRIGGERS: Final = (
    *("start", "gates_passed", "gates_refused", "stage_succeeded"),
    *("stage_failed", "stage_timed_out", "run_aborted", "resume"),
)
FAILURES: Final = ("failed", "timeout", "spawn_failed", "artifact_missing", "interrupted")
STATUSES: Final = ("success", "skipped", *FAILURES)
NULLABLE: Final = frozenset(
    {
        *("private_ref", "pid", "pid_identity"),
        *("finished_at", "exit_code", "reason_code", "error", "signal", "stdout_log"),
        *("stderr_log", "resources", "gates", "stages", "outcome", "guard", "unless"),
        *LIMIT_FIELDS,
        *("keeper_pid", "keeper_identity", "ending", "postmortem", "containment", "problem"),
        *("no_postmortem", "stop_reason"),
        *(
            "retry",
            "exit_codes",
            "on_finally_failure",
            "at_most",
            "events",
            "last_event_sha256",
            "repeats",
            "doubt",
            "mac",
            "accepted",
        ),
        *("given", "user", "uid", "host", "origin", "evidence", "subject", "judged_by"),
    }
)
"""The keys that may be null; a null that is not true is another matter."""
ENTRIES: Final = {("stages",), ("env_digests",), ("by_setting",), ("stages_since",)}
"""The keys of tables whose own keys can be any name."""
ABSENT: Final[Mapping[str | int, tuple[Any, ...]]] = {
    "gates_guard": ("stages",),
    "gates": (None, ["policy", "ci", "review"]),
    **dict.fromkeys(("outcome", "guard", "unless", "at_most", *LIMIT_FIELDS), (None,)),
    **dict.fromkeys(("retry", "exit_codes", "evidence", "on_finally_failure"), (None,)),
    "accepts_early_signals": (False,),
    "effects": (True,),
    "finally": (False,),
    "stages": (None,),
    "fail_fast": (True,),
    "gate": ([],),
}
"""The values that a key's absence from a lifecycle stands for."""
OTHERS: Final = 3
"""The number of values of another type that are tried at each place."""
OTHER_TYPES: Final[Mapping[type, tuple[Any, ...]]] = {
    str: (0, 1.5, True, [], {}, None),
    int: ("1", 1.5, True, [], {}, None),
    float: ("1", True, [], {}, None),
    bool: (0, 1, "true", [], {}, None),
    list: ({}, "", 0, True, None),
    dict: ([], "", 0, True, None),
    type(None): ([], {}, 0.5, False),
}


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the path of each value inside a value."""
    keys = range(len(value)) if isinstance(value, list) else value
    for key in keys if isinstance(value, dict | list) else ():
        yield (*place, key)
        yield from places(value[key], (*place, key))


Kind = tuple[Place, type]
"""The path and type that places in different runs have in common."""


def kind_of(document: Document, path: Place) -> Kind:
    """Return the kind of a place."""
    way = tuple("*" if isinstance(key, int) else key for key in path)
    return way, type(at(document, path))


@cache
def runs_with(runs: Path) -> Mapping[Kind, Sequence[str]]:
    """Return the runs that have a place of a kind, in order."""
    found: dict[Kind, list[str]] = {}
    for run in RUNS:
        document = checkpoint_of(runs / run)
        for kind in {kind_of(document, path) for path in places(document)}:
            found.setdefault(kind, []).append(run)
    return found


def own_places(runs: Path, run: str, document: Document) -> list[Place]:
    """Return the paths to forge in a run, one of each kind; those of the lifecycle in one run only.

    Without `SOAK=1`, a kind that many runs have is forged in the first and the last of them.
    """
    paths = (path for path in places(document) if run == "done" or path[0] != "lifecycle")
    found = of_each_kind(paths)
    if SOAK:
        return found
    having = {path: runs_with(runs)[kind_of(document, path)] for path in found}
    return [
        path
        for path, (first, *others) in having.items()
        if path[0] == "lifecycle" or run in {first, *others[-1:]}
    ]


def with_value(document: Document, path: Place, value: Any) -> bytes:
    """Return the document as JSON with another value at a path; the document stays unchanged."""
    if not path:
        return encoded(value)
    holder, before = at(document, path[:-1]), at(document, path)
    holder[path[-1]] = value
    data = encoded(document)
    holder[path[-1]] = before
    return data


def accepted(document: Document, path: Place, values: tuple[Any, ...]) -> list[str]:
    """Return the wrong values that are accepted at a path; the document stays unchanged."""
    return [
        f"{'.'.join(map(str, path))}: {str(value)[:80]!r}"
        for value in values
        if refusal(with_value(document, path, value)) is None
    ]


def test_real_checkpoints_are_read_and_written_again_as_they_are(runs: Path) -> None:
    """A checkpoint of a real run, however it ended, is restored byte for byte."""
    for run in RUNS:
        data = (runs / run / CHECKPOINT).read_bytes()
        assert checkpoint_reader.parse(data, NAME).model_dump_json().encode() + b"\n" == data
    assert refusal(forged(runs, "blocked", IN_GATING)) is None


@pytest.mark.parametrize("run", RUNS)
def test_missing_field_is_refused(run: str, runs: Path) -> None:
    """A missing field is refused unless its absence has a meaning.

    Those fields are in a lifecycle, or are the digest of a program for which none was taken.
    """
    document = checkpoint_of(runs / run)
    found = []
    for path in own_places(runs, run, document):
        holder, key = at(document, path[:-1]), path[-1]
        if not isinstance(holder, dict) or path[-2:-1] in ENTRIES:
            continue  # entries, not fields
        if key == "stop_reason" or (key == "program" and path[-3:-2] == ("stage_executions",)):
            continue  # only the key of the record shows that it is missing
        rest = {name: value for name, value in holder.items() if name != key}
        is_said_by_absence = path[0] == "lifecycle" and holder[key] in ABSENT.get(key, ())
        if refusal(with_value(document, path[:-1], rest)) is None and not is_said_by_absence:
            found.append(path)
    assert found == []


@pytest.mark.parametrize("run", RUNS)
def test_value_of_another_type_is_refused(run: str, runs: Path) -> None:
    """No text is accepted for a number, no number for a boolean, no null where none belongs."""
    document = checkpoint_of(runs / run)
    found = []
    for path in own_places(runs, run, document):
        others = OTHER_TYPES[type(at(document, path))]
        if path[-1] in NULLABLE or "program" in path:  # its digest may be null
            others = tuple(value for value in others if value is not None)
        if path[-1] in {"retry", "confine"}:  # means what null means, or something else
            others = tuple(value for value in others if value != {})
        if path[-1] == "env_inherit":  # means that nothing is inherited
            others = tuple(value for value in others if value != [])
        if not SOAK:  # a few, others at each place: pytest-randomly prints the seed
            others = tuple(random.sample(others, min(OTHERS, len(others))))
        if path != ("lifecycle", "schema_version"):
            found += accepted(document, path, others)
    assert found == []


@pytest.mark.parametrize(
    "version", [0, 2, -1, "1", True, 1.5, None, [1], "\ud800", [[[]]], 10**400]
)
@pytest.mark.parametrize("path", ["schema_version", "lifecycle.schema_version"])
def test_other_version_is_refused(path: str, version: Any, runs: Path) -> None:
    """Any version other than the number 1 is refused, in the file and in its lifecycle."""
    assert refusal(forged(runs, "done", {path: version}))


@pytest.mark.parametrize("run", RUNS)
def test_unknown_or_doubled_key_is_refused(run: str, runs: Path) -> None:
    """No object in the file may have an unknown or a repeated key."""
    document = checkpoint_of(runs / run)
    for path in [(), *own_places(runs, run, document)]:
        inside = at(document, path)
        if isinstance(inside, dict):
            assert refusal(with_value(document, path, {**inside, "forged": None})), path
        if isinstance(inside, dict) and inside:
            key = next(iter(inside))
            doubled = with_value(document, path, {**inside, "@@": inside[key]})
            said = refusal(doubled.replace(b'"@@"', encoded(key)))
            assert said == f"the key {key!r} is twice in one object"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_number_that_is_none_is_refused(number: bytes, runs: Path) -> None:
    """Numbers that are not JSON, or that overflow to infinity, are refused."""
    found = []
    for run in RUNS:
        document = checkpoint_of(runs / run)
        for path in own_places(runs, run, document):
            if type(at(document, path)) in {int, float}:
                data = with_value(document, path, "@@").replace(b'"@@"', number)
                found += [(run, path)] if refusal(data) is None else []
    assert found == []


@pytest.mark.parametrize("run", RUNS)
def test_cut_file_is_refused(run: str, runs: Path, turn: int) -> None:
    """A checkpoint that is cut anywhere before its last line break is refused."""
    step = 5 if SOAK else 20
    data = (runs / run / CHECKPOINT).read_bytes()
    for size_bytes in [*range(turn % step, len(data) - 1, step), len(data) - 2]:
        assert refusal(data[:size_bytes]), size_bytes
    assert refusal(data[:-1]) is None


NOT_A_CHECKPOINT: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "empty": lambda _: b"",
    "blank": lambda _: b" \n\t\n",
    "null": lambda _: b"null",
    "a number": lambda _: b"1",
    "a list": lambda data: b"[" + data + b"]",
    "an empty object": lambda _: b"{}",
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "UTF-16 without a mark": lambda data: data.decode().encode("utf-16-le"),
    "UTF-32": lambda data: data.decode().encode("utf-32"),
    "a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
    "Latin-1": lambda data: data.replace(b"executor", "exécuteur".encode("latin-1")),
    "doubled": lambda data: data + data,
    "something after": lambda data: data + b"x",
    "a zero byte after": lambda data: data + b"\0",
    "zero bytes": lambda data: bytes(len(data)),
    "another product": lambda data: data.replace(b'"fsm-orchestrator"', b'"another"'),
    "no product": lambda data: data.replace(b'"product"', b'"products"'),
    "deep lists": lambda _: b"[" * 100_000 + b"]" * 100_000,
    "deep objects": lambda _: b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep inside": lambda data: data.replace(b"[]", b"[" * 100_000 + b"]" * 100_000, 1),
    "deeper than it is read": lambda data: data.replace(b"[]", b"[" * 900 + b"]" * 900, 1),
    "open brackets": lambda _: b"[" * 100_000,
    "a megabyte of garbage": lambda _: random.Random(4711).randbytes(1_000_000),  # noqa: S311
    "a megabyte of text": lambda _: b"orchestrator " * 80_000,
    "a megabyte inside": lambda data: data.replace(b"[]", encoded(["x" * 1_000_000]), 1)[:-9],
}


@pytest.mark.parametrize("kind", NOT_A_CHECKPOINT)
def test_file_that_is_no_checkpoint_is_refused(kind: str, runs: Path) -> None:
    """Any bytes that are no checkpoint are refused with the file and the reason."""
    assert refusal(NOT_A_CHECKPOINT[kind]((runs / "done" / CHECKPOINT).read_bytes()))


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling link", "nothing"])
def test_what_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    """Anything but a regular file in the checkpoint's place is refused without waiting for it."""
    path = tmp_path / CHECKPOINT
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        checkpoint_reader.load(tmp_path)


@pytest.mark.parametrize("run", RUNS)
def test_walk_with_another_step_is_refused(run: str, runs: Path) -> None:
    """A record with a missing, repeated, swapped, renumbered or rerouted transition is refused."""
    document = checkpoint_of(runs / run)
    found = accepted(document, ("current_state",), other(STATES, document["current_state"]))
    for position, invocation in enumerate(document["invocations"]):
        place: Place = ("invocations", position, "transitions")
        walk = invocation["transitions"]
        for index, step in enumerate(walk):
            before, after = walk[:index], walk[index + 1 :]
            walks = [[*before, *after], [*before, step, step, *after]]
            if after:
                walks.append([*before, after[0], step, *after[1:]])
            found += accepted(document, place, tuple(walks))
            triggers = [one for one in other(TRIGGERS, step["trigger"]) if one not in EQUAL_STEPS]
            found += accepted(document, (*place, index, "trigger"), tuple(triggers))
            for key in ("source", "dest"):
                found += accepted(document, (*place, index, key), other(STATES, step[key]))
            seqs = (step["seq"] - 1, step["seq"] + 1, 10**9)
            found += accepted(document, (*place, index, "seq"), seqs)
    assert found == []


@pytest.mark.parametrize("run", RUNS)
def test_attempt_that_ended_otherwise_is_refused(run: str, runs: Path) -> None:
    """An attempt that is recorded with another ending, or left out, is refused."""
    document = checkpoint_of(runs / run)
    found = []
    for position, invocation in enumerate(document["invocations"]):
        place: Place = ("invocations", position, "stage_executions")
        for index, execution in enumerate(invocation["stage_executions"]):
            status = execution["status"]
            lies = ("success", "skipped") if status in FAILURES else other(STATUSES, status)
            found += accepted(document, (*place, index, "status"), lies)
            found += accepted(document, (*place, index, "stage"), ("gating",))
            # An aborted stage may not have begun, and a visit to a done run proves nothing.
            if status != "interrupted" and invocation["transitions"]:
                rest = [one for one in invocation["stage_executions"] if one is not execution]
                found += accepted(document, place, (rest,))
    assert found == []


@pytest.mark.parametrize("run", RUNS)
def test_verdict_that_does_not_follow_is_refused(run: str, runs: Path) -> None:
    """A decision must follow from its status, and each gate must have one, in order."""
    document = checkpoint_of(runs / run)
    found = []
    for position, invocation in enumerate(document["invocations"]):
        place: Place = ("invocations", position, "gate_decisions")
        decisions = invocation["gate_decisions"]
        if not decisions:
            continue  # a visit to a done run judges nothing
        shorter = (decisions[:end] for end in range(len(decisions)))
        others = (decisions[1:], decisions[::-1], [*decisions, decisions[0]])
        found += accepted(document, place, (*shorter, *others))
        for index, decision in enumerate(decisions):
            at_one = (*place, index)
            codes = ("GATE_POLICY_DENIED_OR_UNKNOWN", "GATE_CI_NOT_SUCCESS", "", None)
            found += accepted(document, (*at_one, "passed"), (not decision["passed"],))
            found += accepted(
                document, (*at_one, "reason_code"), other(codes, decision["reason_code"])
            )
            statuses = ("allow", "deny", "success", "pending", "missing", "approved", "", "ALLOW")
            found += accepted(document, (*at_one, "status"), other(statuses, decision["status"]))
            found += accepted(
                document, (*at_one, "gate"), other(("policy", "ci", "review"), decision["gate"])
            )
    assert found == []


def other(values: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    """Return the values without the given one."""
    return tuple(one for one in values if one != value)
