"""Checkpoints of real runs, forged in every way: each is refused by name, and nothing is run."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.record import checkpoint_reader
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    REPORT,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    stages,
    start,
    tree_of,
)

Document = dict[str, Any]
Place = tuple[str | int, ...]
GONE: Final = object()

NAME: Final = "/some/where/orchestrator_checkpoint.json"
RAN: Final = 'touch "$ORCHESTRATOR_OUTPUT_DIR/ran.$ORCHESTRATOR_STAGE"'
PLAN: Final = f"{RAN}; echo '[1]' > plan.json"
PLANNED: Final = ("--manager-expected-artifact", "plan.json", "--manager-env", "TOKEN=4711")
DENIED: Final = ("--policy-status", "deny", *PASSING[2:])
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
        *("private_ref", "open_attempt", "pid", "pid_identity"),
        *("finished_at", "exit_code", "reason_code", "error", "signal", "stdout_log"),
        *("stderr_log", "resources", "gates", "outcome", "guard", "unless"),
        *LIMIT_FIELDS,
        *("keeper_pid", "keeper_identity", "ending", "postmortem", "containment", "problem"),
        *("retry", "rework_exit_code", "at_most"),
    }
)
"""The keys that may be null: whether a null is true there is another question."""
ABSENT: Final[Mapping[str | int, tuple[Any, ...]]] = {
    "gates_guard": ("stages",),
    "gates": (None, ["policy", "ci", "review"]),
    **dict.fromkeys(("outcome", "guard", "unless", "at_most", *LIMIT_FIELDS), (None,)),
    **dict.fromkeys(("retry", "rework_exit_code"), (None,)),
}
"""What it says when a key is not in a lifecycle."""
OTHER_TYPES: Final[Mapping[type, tuple[Any, ...]]] = {
    str: (0, 1.5, True, [], {}, None),
    int: ("1", 1.5, True, [], {}, None),
    float: ("1", True, [], {}, None),
    bool: (0, 1, "true", [], {}, None),
    list: ({}, "", 0, True, None),
    dict: ([], "", 0, True, None),
    type(None): ([], {}, 0.5, False),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a run for each way of ending, made by the command itself."""
    cwd = tmp_path_factory.mktemp("runs")
    hang = (*stages(PLAN, "exec sleep 60"), "--executor-timeout-ms", "1")
    commands = {
        ("blocked", *DENIED, *stages(PLAN, RAN)): 3,
        ("failed", *PASSING, *stages(PLAN, "exit 7")): 1,
        ("timeout", *PASSING, *hang): 124,
        ("done", *PASSING, *stages(PLAN, RAN)): 0,
        ("resumed", *PASSING, *stages(PLAN, "exit 7")): 1,
        ("resumed", "--resume", *shell("executor", RAN)): 0,
        ("repeated", *PASSING, *stages(PLAN, "exit 7")): 1,
        ("repeated", "--resume", "--rerun", "manager", *shell("executor", RAN)): 0,
        ("repeated", "--resume"): 0,
        ("set_aside", *DENIED, *stages(PLAN, "exit 7")): 3,
        ("set_aside", "--resume", *PASSING): 1,
        ("set_aside", "--resume", "--rerun", "manager", *shell("manager", "exit 8")): 1,
        ("passed_over", *PASSING, *shell("executor", RAN)): 0,
    }
    for command, code in commands.items():
        planned = PLANNED if PLAN in command else ()
        assert orchestrate(*command, *planned, cwd=cwd).code == code
    assert ended_in_mid_stage("interrupted", signal.SIGTERM, cwd) == 143
    for name in ("killed", "revived"):
        assert ended_in_mid_stage(name, signal.SIGKILL, cwd) == -signal.SIGKILL
    assert orchestrate("revived", "--resume", *shell("executor", RAN), cwd=cwd).code == 0
    return cwd


def ended_in_mid_stage(name: str, signum: int, cwd: Path) -> int:
    """Start a run, end its orchestrator while the executor works, and return its exit code."""
    hold = cwd / f"{name}.hold"
    os.mkfifo(hold)
    working = stages(PLAN, f"exec cat '{hold}'")
    orchestrator = start(name, *PASSING, *working, *PLANNED, cwd=cwd)
    with hold.open("w"):  # opens once the stage reads it; closing it ends what is left
        orchestrator.send_signal(signum)
        orchestrator.communicate()
    return orchestrator.returncode


def refusal(data: bytes) -> str | None:
    """Why a checkpoint is refused; None when it is not. Any other exception is a bug."""
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
    """A document as JSON."""
    return json.dumps(document).encode()


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """The path of everything inside of a value."""
    keys = range(len(value)) if isinstance(value, list) else value
    for key in keys if isinstance(value, dict | list) else ():
        yield (*place, key)
        yield from places(value[key], (*place, key))


def at(document: Any, place: Place) -> Any:
    """What stands at a path."""
    for key in place:
        document = document[key]
    return document


def own_places(run: str, document: Document) -> list[Place]:
    """The paths to forge in a run: its lifecycle is the same as all others', so only once."""
    return [path for path in places(document) if run == "done" or path[0] != "lifecycle"]


def with_value(document: Document, path: Place, value: Any) -> bytes:
    """The document with another value at a path, as JSON; it is left as it was itself."""
    if not path:
        return encoded(value)
    holder, before = at(document, path[:-1]), at(document, path)
    holder[path[-1]] = value
    data = encoded(document)
    holder[path[-1]] = before
    return data


def accepted(document: Document, path: Place, values: tuple[Any, ...]) -> list[str]:
    """The values that may stand at a path though another does; the document is left as it was."""
    return [
        f"{'.'.join(map(str, path))}: {str(value)[:80]!r}"
        for value in values
        if refusal(with_value(document, path, value)) is None
    ]


def change(document: Document, changes: Mapping[str, Any]) -> None:
    """Put values in places, the keys of a path joined by dots; `@0` is the first invocation.

    A value that is a function is told what stands there and returns what shall; `GONE` removes.
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
    """The checkpoint of a run with some changes, the lifecycle's digest made to fit if asked."""
    document = checkpoint_of(runs / run)
    change(document, changes)
    if sign:
        declared = Lifecycle.model_validate_json(encoded(document["lifecycle"]))
        document["lifecycle_sha256"] = declared.sha256
    return encoded(document)


def test_real_checkpoints_are_read_and_written_again_as_they_are(runs: Path) -> None:
    """What real runs leave, however they ended, is restored, to the byte."""
    for run in RUNS:
        data = (runs / run / CHECKPOINT).read_bytes()
        assert checkpoint_reader.parse(data, NAME).model_dump_json().encode() + b"\n" == data
    assert refusal(forged(runs, "blocked", IN_GATING)) is None


@pytest.mark.parametrize("run", RUNS)
def test_missing_field_is_refused(run: str, runs: Path) -> None:
    """No field may be missing but those of a lifecycle that say what their absence says."""
    document = checkpoint_of(runs / run)
    found = []
    for path in own_places(run, document):
        holder, key = at(document, path[:-1]), path[-1]
        if not isinstance(holder, dict) or path[-2:-1] in {("stages",), ("env_digests",)}:
            continue  # entries, not fields
        rest = {name: value for name, value in holder.items() if name != key}
        is_said_by_absence = path[0] == "lifecycle" and holder[key] in ABSENT.get(key, ())
        if refusal(with_value(document, path[:-1], rest)) is None and not is_said_by_absence:
            found.append(path)
    assert found == []


@pytest.mark.parametrize("run", RUNS)
def test_value_of_another_type_is_refused(run: str, runs: Path) -> None:
    """No text stands for a number, no number for a truth, no null where none belongs."""
    document = checkpoint_of(runs / run)
    found = []
    for path in own_places(run, document):
        others = OTHER_TYPES[type(at(document, path))]
        if path[-1] in NULLABLE:
            others = tuple(value for value in others if value is not None)
        if path[-1] == "retry":
            others = tuple(value for value in others if value != {})  # which says what null says
        if path != ("lifecycle", "schema_version"):
            found += accepted(document, path, others)
    assert found == []


@pytest.mark.parametrize(
    "version", [0, 2, -1, "1", True, 1.5, None, [1], "\ud800", [[[]]], 10**400]
)
@pytest.mark.parametrize("path", ["schema_version", "lifecycle.schema_version"])
def test_other_version_is_refused(path: str, version: Any, runs: Path) -> None:
    """Version 1 is the number 1, in the file and in the lifecycle it holds."""
    assert refusal(forged(runs, "done", {path: version}))


@pytest.mark.parametrize("run", RUNS)
def test_unknown_or_doubled_key_is_refused(run: str, runs: Path) -> None:
    """No object of the file takes a key it does not know, or one it has already."""
    document = checkpoint_of(runs / run)
    for path in [(), *own_places(run, document)]:
        inside = at(document, path)
        if isinstance(inside, dict):
            assert refusal(with_value(document, path, {**inside, "forged": None})), path
        if isinstance(inside, dict) and inside:
            key = next(iter(inside))
            doubled = with_value(document, path, {**inside, "@@": inside[key]})
            said = refusal(doubled.replace(b'"@@"', encoded(key)))
            assert said == f"the key {key!r} stands twice in one object"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
def test_number_that_is_none_is_refused(number: bytes, runs: Path) -> None:
    """What JSON has not, and what overflows to infinity, stands for no number of the file."""
    found = []
    for run in RUNS:
        document = checkpoint_of(runs / run)
        for path in own_places(run, document):
            if type(at(document, path)) in {int, float}:
                data = with_value(document, path, "@@").replace(b'"@@"', number)
                found += [(run, path)] if refusal(data) is None else []
    assert found == []


@pytest.mark.parametrize("run", RUNS)
def test_cut_file_is_refused(run: str, runs: Path) -> None:
    """A checkpoint cut anywhere before its last line break is no checkpoint."""
    data = (runs / run / CHECKPOINT).read_bytes()
    for size_bytes in [*range(0, len(data) - 1, 5), len(data) - 2]:
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
    """Whatever the bytes are, the answer is a refusal that names file and reason."""
    assert refusal(NOT_A_CHECKPOINT[kind]((runs / "done" / CHECKPOINT).read_bytes()))


@pytest.mark.parametrize("kind", ["directory", "fifo", "dangling link", "nothing"])
def test_what_is_no_file_is_refused(kind: str, tmp_path: Path) -> None:
    """Nothing else in the checkpoint's place is read, or waited for."""
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
    """No transition may be left out, doubled, swapped, renumbered, or lead elsewhere."""
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
    """No failure may be told as a success, no success as anything else, none may be left out."""
    document = checkpoint_of(runs / run)
    found = []
    for position, invocation in enumerate(document["invocations"]):
        place: Place = ("invocations", position, "stage_executions")
        for index, execution in enumerate(invocation["stage_executions"]):
            status = execution["status"]
            lies = ("success", "skipped") if status in FAILURES else other(STATUSES, status)
            found += accepted(document, (*place, index, "status"), lies)
            found += accepted(document, (*place, index, "stage"), ("gating",))
            # An aborted stage may not have begun, and looking at a done run proves nothing.
            if status != "interrupted" and invocation["transitions"]:
                rest = [one for one in invocation["stage_executions"] if one is not execution]
                found += accepted(document, place, (rest,))
    assert found == []


@pytest.mark.parametrize("run", RUNS)
def test_verdict_that_does_not_follow_is_refused(run: str, runs: Path) -> None:
    """A decision says what its status implies, and there is one for each gate, in order."""
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
    """The values but the one."""
    return tuple(one for one in values if one != value)


EQUAL_STEPS: Final = ("run_aborted", "resume")
"""An abort ends in `failed` as a failure does, and resume leads where start leads."""


TO_DONE: Final = {"current_state": "done", "@0.transitions.3.dest": "done"}
SUCCEEDED: Final = {**TO_DONE, "@0.transitions.3.trigger": "stage_succeeded"}
REFUSED_CI: Final = {
    "gate": "ci",
    "status": "failure",
    "passed": False,
    "reason_code": "GATE_CI_NOT_SUCCESS",
    "source": "flag",
}
OPEN: Final = {
    "stage": "executor",
    "cycle": 1,
    "attempt": 2,
    "reason": "first attempt",
    "token": "0" * 32,
    "started_at": "2026-01-31T09:00:00.000Z",
    "pid": None,
    "pid_identity": None,
}
CLOSING: Final = {
    "seq": 4,
    "trigger": "stage_succeeded",
    "source": "executor",
    "dest": "done",
    "at": "2026-01-31T09:00:00.000Z",
    "cause": "",
    "details": [],
}
IN_GATING: Final = {
    "current_state": "gating",
    "@0.transitions.1": GONE,
    "@0.gate_decisions": [],
}
"""A run that was killed before its gates were judged."""


def cut_in_two(invocations: list[Document]) -> list[Document]:
    """The one invocation as two, the second beginning with the executor's end."""
    [one] = invocations
    halves = ((0, 3, 1, "run"), (3, 4, 2, "resume"))
    return [
        {
            **one,
            "number": number,
            "execution_mode": mode,
            "transitions": one["transitions"][begin:end],
            "stage_executions": one["stage_executions"][number - 1 : number],
        }
        for begin, end, number, mode in halves
    ]


OWN_WORK: Final = {"stage": "executor", "attempt": 0, "command": "closure.verify"}
EXECUTOR: Final = "@0.stage_executions.1"
LIES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    # the walk
    "refused gates lead to done": (
        "blocked",
        {"current_state": "done", "@0.transitions.1.dest": "done"},
    ),
    "gates passed that were refused": (
        "blocked",
        {
            "current_state": "manager",
            "@0.transitions.1.dest": "manager",
            "@0.transitions.1.trigger": "gates_passed",
        },
    ),
    "failure leads to done": ("failed", TO_DONE),
    "timeout leads to done": ("timeout", TO_DONE),
    "abort leads to done": ("interrupted", TO_DONE),
    "success that no attempt had": ("failed", SUCCEEDED),
    "success that no attempt had before a timeout": ("timeout", SUCCEEDED),
    "success that no attempt had before an abort": ("interrupted", SUCCEEDED),
    "success of an attempt that has not ended": (
        "killed",
        {
            "current_state": "done",
            "@0.transitions": lambda walk: [*walk, CLOSING],
            "open_attempt": None,
        },
    ),
    "failure that no attempt had": (
        "timeout",
        {
            "current_state": "failed",
            "@0.transitions.3.dest": "failed",
            "@0.transitions.3.trigger": "stage_failed",
        },
    ),
    "second invocation that began a run": ("resumed", {"@1.execution_mode": "run"}),
    "stage passed over that there is not": ("done", {"@0.passed_over": ["nowhere"]}),
    "stage set aside that there is not": ("resumed", {"@1.rerun": ["nowhere"]}),
    "invocation numbered from 2": ("blocked", {"@0.number": 2}),
    "invocation numbered twice": ("resumed", {"@1.number": 1}),
    "invocation number left out": ("resumed", {"@1.number": 3}),
    "first invocation lost": ("resumed", {"@0": GONE}),
    "first invocation lost, the second numbered anew": ("resumed", {"@0": GONE, "@0.number": 1}),
    "last invocation lost": ("resumed", {"@1": GONE}),
    "no invocation": ("blocked", {"invocations": []}),
    "going on after the end": (
        "failed",
        {
            "current_state": "gating",
            "@0.transitions": lambda walk: [
                *walk,
                {**CLOSING, "seq": 5, "trigger": "resume", "source": "failed", "dest": "gating"},
            ],
        },
    ),
    "resume in the middle of an invocation": (
        "killed",
        {
            "current_state": "gating",
            "@0.transitions": lambda walk: [
                *walk,
                {**CLOSING, "trigger": "resume", "dest": "gating"},
            ],
            "open_attempt": None,
        },
    ),
    "invocation begun by the end of a stage": ("failed", {"invocations": cut_in_two}),
    "state that the lifecycle has not": ("failed", {"current_state": "nowhere"}),
    # verdicts
    "passed although a decision refuses": ("failed", {"@0.gate_decisions.1": REFUSED_CI}),
    "done although a decision refuses": ("done", {"@0.gate_decisions.1": REFUSED_CI}),
    "done behind the decisions of an earlier invocation": ("resumed", {"@1.gate_decisions": []}),
    "signal that was not judged so": ("blocked", {"gate_signals.0.status": "allow"}),
    "signal that passes and was never given": ("failed", {"gate_signals.0.source": "default"}),
    "signal that was not judged so before a visit": (
        "repeated",
        {"gate_signals.0.status": "deny"},
    ),
    "decision that passes what was never given": (
        "failed",
        {"@0.gate_decisions.0.source": "default"},
    ),
    "signal that its gate does not know": ("failed", {"gate_signals.0.status": "approved"}),
    "signal that its gate does not know before it is judged": (
        "blocked",
        {**IN_GATING, "gate_signals.0.status": "approved"},
    ),
    "signal missing": ("failed", {"gate_signals.0": GONE}),
    "signals in another order": ("failed", {"gate_signals": lambda signals: signals[::-1]}),
    "signal doubled": ("failed", {"gate_signals": lambda signals: [*signals, signals[0]]}),
    # attempts
    "success that exited with 7": ("failed", {**SUCCEEDED, f"{EXECUTOR}.status": "success"}),
    "success that nothing completed": (
        "failed",
        {
            **SUCCEEDED,
            f"{EXECUTOR}.status": "success",
            f"{EXECUTOR}.exit_code": 0,
            f"{EXECUTOR}.error": None,
        },
    ),
    "success with another exit code": ("done", {f"{EXECUTOR}.exit_code": 7}),
    "success with an error": ("done", {f"{EXECUTOR}.error": "exited with code 7"}),
    "failure without an error": ("failed", {f"{EXECUTOR}.error": None}),
    "failure without a problem": ("failed", {f"{EXECUTOR}.problem": None}),
    "success with a signal": ("done", {f"{EXECUTOR}.signal": "SIGSEGV"}),
    "failure that exited with 0": ("failed", {f"{EXECUTOR}.exit_code": 0}),
    "success of the program's own work": (
        "failed",
        {**SUCCEEDED, "@0.stage_executions": lambda ran: [*ran, {**ran[0], **OWN_WORK}]},
    ),
    "skip by the program's own work": (
        "failed",
        {
            **SUCCEEDED,
            "@0.stage_executions": lambda ran: [
                *ran,
                {**ran[0], **OWN_WORK, "status": "skipped", "exit_code": None},
            ],
        },
    ),
    "passed over although it failed": ("failed", {**SUCCEEDED, "@0.passed_over": ["executor"]}),
    "attempt number left out": ("failed", {f"{EXECUTOR}.attempt": 2}),
    "attempt that is none": ("failed", {f"{EXECUTOR}.attempt": 0}),
    "attempt number used twice": (
        "resumed",
        {"@1.stage_executions.1.attempt": 1, "completions.1.attempt": 1},
    ),
    "attempts of another run": ("failed", {"run_id": "another"}),
    "attempt of another run": ("failed", {f"{EXECUTOR}.idempotency_key": "another:executor:1"}),
    "skip of an attempt there never was": ("resumed", {"@1.stage_executions.0.attempt": 2}),
    "completion of a stage that failed": (
        "failed",
        {"completions": lambda done: [*done, {**done[0], "stage": "executor"}]},
    ),
    "completion told twice": ("done", {"completions": lambda done: [*done, done[0]]}),
    "rerun that is not told": ("set_aside", {"@2.rerun": []}),
    "completion of no stage": ("done", {"completions.0.stage": "gating"}),
    "completion by another attempt": ("done", {"completions.0.attempt": 2}),
    "completion in another invocation": ("done", {"completions.0.invocation": 2}),
    "completion in another cycle": ("done", {"completions.0.cycle": 2}),
    "completion of another command": ("done", {"completions.0.settings.command": "/bin/true"}),
    "completion with other arguments": ("done", {"completions.0.settings.args.1": "exit 0"}),
    "completion elsewhere": ("done", {"completions.0.settings.cwd": "/"}),
    "completion without its environment": ("done", {"completions.0.settings.env_digests": {}}),
    "completion with another artifact": ("done", {"completions.0.artifacts.0.sha256": "0" * 64}),
    "completion without its artifact": ("done", {"completions.0.artifacts": []}),
    "completion that expected nothing": (
        "done",
        {"completions.0.settings.expected_artifacts": []},
    ),
    "completion lost of a done run": ("done", {"completions.0": GONE}),
    "completion lost of a failed run": ("failed", {"completions.0": GONE}),
    "attempt open in a done run": ("done", {"open_attempt": OPEN}),
    "attempt open in a failed run": ("failed", {"open_attempt": OPEN}),
    "attempt open before the gates passed": ("blocked", {"open_attempt": {**OPEN, "attempt": 1}}),
    "attempt open of a stage that is complete": (
        "killed",
        {"open_attempt.stage": "manager", "open_attempt.attempt": 2},
    ),
    "attempt open of no stage": ("killed", {"open_attempt.stage": "nowhere"}),
    "attempt open out of order": ("killed", {"open_attempt.attempt": 9}),
    # settings
    "settings of no stage": ("done", {"stages": lambda known: {**known, "x": known["manager"]}}),
    "settings lost of a stage that ran": ("failed", {"stages.executor": GONE}),
    "argument that no process takes": ("failed", {"stages.executor.args.1": "exit\0 0"}),
    "timeout of no time": ("failed", {"stages.executor.timeout_ms": 0}),
    "timeout that poll cannot wait for": ("failed", {"stages.executor.timeout_ms": 2**31}),
}


@pytest.mark.parametrize("lie", LIES)
def test_lie_is_refused(lie: str, runs: Path) -> None:
    """A history is a legal walk, and its verdicts, attempts and completions agree with it."""
    run, changes = LIES[lie]
    assert refusal(forged(runs, run, changes))


UNSAFE: Final[Mapping[str, Mapping[str, Any]]] = {
    "one gate of three": {"lifecycle.state.1.gates": ["policy"]},
    "no gates before a stage": {"lifecycle.transition.0.dest": "manager"},
    "refused gates lead on": {"lifecycle.transition.2.dest": "manager"},
    "a failure is done": {"lifecycle.transition.7.dest": "done"},
    "done may be left": {"lifecycle.transition.10.source.4": "done"},
    "no gate at all": {"lifecycle.state.1.kind": "stage", "lifecycle.state.1.gates": None},
    "a state twice": {"lifecycle.state.7.name": "failed"},
    "an unknown state": {"lifecycle.transition.8.dest": "nowhere"},
}


@pytest.mark.parametrize("edit", UNSAFE)
def test_unsafe_lifecycle_is_refused_also_when_its_digest_fits(edit: str, runs: Path) -> None:
    """The lifecycle in a checkpoint must keep what every lifecycle promises."""
    assert refusal(forged(runs, "failed", UNSAFE[edit]))
    said = refusal(forged(runs, "failed", UNSAFE[edit], sign=True))
    assert said
    assert said.startswith("lifecycle: ")


def test_other_lifecycle_is_refused_unless_the_history_is_a_walk_over_it(runs: Path) -> None:
    """A safe change of the relation needs a digest that fits and a history that still does."""
    assert refusal(forged(runs, "done", {"lifecycle_sha256": "0" * 64}))
    slower = {"lifecycle.state.3.timeout_ms": 60_000}
    assert refusal(forged(runs, "done", slower))
    assert refusal(forged(runs, "done", slower, sign=True)) is None

    def swap(part: Any) -> Any:
        text = json.dumps(part).replace("manager", "@").replace("executor", "manager")
        return json.loads(text.replace("@", "executor"))

    said = refusal(forged(runs, "done", {"lifecycle.transition": swap}, sign=True))
    assert said
    assert "no edge leads from 'gating' to 'manager' on gates_passed" in said


FORGERIES: Final[Mapping[str, tuple[str, Callable[[Path], bytes | None]]]] = {
    "done that was never reached": ("failed", lambda runs: forged(runs, "failed", TO_DONE)),
    "success that nothing had": ("failed", lambda runs: forged(runs, "failed", SUCCEEDED)),
    "empty": ("done", lambda _: b""),
    "cut": ("done", lambda runs: (runs / "done" / CHECKPOINT).read_bytes()[:-100]),
    "UTF-16": ("done", lambda runs: json.dumps(checkpoint_of(runs / "done")).encode("utf-16")),
    "deeply nested": ("done", lambda _: b"[" * 100_000),
    "version that is no text": (
        "done",
        lambda runs: forged(runs, "done", {"schema_version": "\ud800"}),
    ),
    "gone": ("done", lambda _: None),
}


def forged_output(runs: Path, cwd: Path, forgery: str) -> Path:
    """An output directory whose checkpoint is a forgery; no mark says that a stage ran."""
    run, forge = FORGERIES[forgery]
    output = cwd / "out"
    shutil.copytree(runs / run, output)
    for mark in output.glob("ran.*"):
        mark.unlink()
    data = forge(runs)
    (output / CHECKPOINT).unlink()
    if data is not None:
        (output / CHECKPOINT).write_bytes(data)
    return output


@pytest.mark.parametrize("forgery", FORGERIES)
def test_resume_from_a_forgery_runs_nothing_and_says_failed(
    forgery: str, runs: Path, tmp_path: Path
) -> None:
    """Exit 1, nothing spawned, the file left as it is, the old report archived and replaced."""
    output = forged_output(runs, tmp_path, forgery)
    before = tree_of(output)
    ended = orchestrate("out", "--resume", *PASSING, cwd=tmp_path)
    after = tree_of(output)
    assert ended.code == 1
    assert f"{output / CHECKPOINT}" in ended.stderr
    assert list(output.glob("ran.*")) == []
    assert after.get(CHECKPOINT) == before.get(CHECKPOINT)
    report = report_of(output)
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert (report["exit_code"], report["current_state"]) == (1, None)
    [entry] = report["stage_executions"]
    assert (entry["command"], entry["status"]) == ("checkpoint.load", "failed")
    assert f"{output / CHECKPOINT}" in entry["error"]
    [archived] = output.glob(f"archive/*/{REPORT}")
    assert archived.read_bytes() == before[REPORT]
    assert {name for name in after if name.startswith("logs/")} == {
        name for name in before if name.startswith("logs/")
    }


def test_second_refusal_archives_nothing_more(runs: Path, tmp_path: Path) -> None:
    """A report that already says what this one would is no loss; a good file heals the run."""
    output = forged_output(runs, tmp_path, "cut")
    for _ in range(2):
        assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    [archived] = output.glob("archive/*/*")
    assert json.loads(archived.read_bytes())["terminal_state"] == "done"
    shutil.copy(runs / "done" / CHECKPOINT, output / CHECKPOINT)
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert report_of(output)["terminal_state"] == "done"
    assert list(output.glob("ran.*")) == []


def test_plan_and_status_touch_nothing_of_a_forgery(runs: Path, tmp_path: Path) -> None:
    """Looking at a forged run says what is wrong with it, exits 1 and writes nothing."""
    output = forged_output(runs, tmp_path, "done that was never reached")
    before = tree_of(output)
    for command in (("plan", "out", "--resume"), ("status", "out")):
        ended = orchestrate(*command, cwd=tmp_path)
        assert ended.code == 1
        assert f"{output / CHECKPOINT}" in ended.stdout + ended.stderr
    assert tree_of(output) == before
