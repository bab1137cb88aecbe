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

from fsm_orchestrator import checkpoint_file
from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.lifecycle_model import Lifecycle
from tests.support import (
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
Edit = Callable[[Document], None]

NAME: Final = "/some/where/orchestrator_checkpoint.json"
RAN: Final = 'touch "$ORCHESTRATOR_OUTPUT_DIR/ran.$ORCHESTRATOR_STAGE"'
PLAN: Final = f"{RAN}; echo '[1]' > plan.json"
PLANNED: Final = ("--manager-expected-artifact", "plan.json", "--manager-env", "TOKEN=4711")
DENIED: Final = ("--policy-status", "deny", *PASSING[2:])
RUNS: Final = ("blocked", "failed", "timeout", "done", "resumed", "interrupted", "killed")
STATES: Final = ("pending", "gating", "manager", "executor", "done", "blocked", "failed", "timeout")
TRIGGERS: Final = (
    *("start", "gates_passed", "gates_refused", "stage_succeeded"),
    *("stage_failed", "stage_timed_out", "run_aborted", "resume"),
)
FAILURES: Final = ("failed", "timeout", "spawn_failed", "artifact_missing", "interrupted")
STATUSES: Final = ("success", "skipped", *FAILURES)
NULLABLE: Final = frozenset(
    {
        *("private_ref", "timeout_ms", "kill_grace_ms", "open_attempt", "pid", "pid_identity"),
        *("finished_at", "exit_code", "reason_code", "error", "signal", "stdout_log"),
        *("stderr_log", "resources", "gates", "outcome", "guard", "unless"),
    }
)
"""The keys that may be null: whether a null is true there is another question."""
ABSENT: Final[Mapping[str | int, tuple[Any, ...]]] = {
    "gates_guard": ("stages",),
    "gates": (None, ["policy", "ci", "review"]),
    **dict.fromkeys(("outcome", "timeout_ms", "guard", "unless"), (None,)),
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
    codes = [
        orchestrate("blocked", *DENIED, *stages(PLAN, RAN), *PLANNED, cwd=cwd).code,
        orchestrate("failed", *PASSING, *stages(PLAN, "exit 7"), *PLANNED, cwd=cwd).code,
        orchestrate("timeout", *PASSING, *hang, *PLANNED, cwd=cwd).code,
        orchestrate("done", *PASSING, *stages(PLAN, RAN), *PLANNED, cwd=cwd).code,
        orchestrate("resumed", *PASSING, *stages(PLAN, "exit 7"), *PLANNED, cwd=cwd).code,
        orchestrate("resumed", "--resume", *shell("executor", RAN), cwd=cwd).code,
        ended_in_mid_stage("interrupted", signal.SIGTERM, cwd),
        ended_in_mid_stage("killed", signal.SIGKILL, cwd),
    ]
    assert codes == [3, 1, 124, 0, 1, 0, 143, -signal.SIGKILL]
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
        checkpoint_file.parse(data, NAME)
    except CheckpointError as error:
        said = re.search(rf"{NAME}: (\S.*)", str(error), re.DOTALL)
        assert said, f"file and reason are not named: {error}"
        assert error.remedy
        return said[1]
    return None


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
        f"{'.'.join(map(str, path))}: {value!r}"
        for value in values
        if refusal(with_value(document, path, value)) is None
    ]


def put(**changes: Any) -> Edit:
    """An edit that puts values in places; `__` stands between the keys of a path."""

    def edit(document: Document) -> None:
        for name, value in changes.items():
            path = tuple(int(key) if key.isdigit() else key for key in name.split("__"))
            at(document, path[:-1])[path[-1]] = value

    return edit


def drop(place: str, index: int) -> Edit:
    """An edit that takes an entry out of a list."""
    return lambda document: at_name(document, place).pop(index)


def at_name(document: Document, name: str) -> Any:
    """What stands at a path whose keys are joined by `__`."""
    return at(document, tuple(int(key) if key.isdigit() else key for key in name.split("__")))


def both(*edits: Edit) -> Edit:
    """Several edits as one."""

    def edit(document: Document) -> None:
        for one in edits:
            one(document)

    return edit


def test_real_checkpoints_are_read_and_written_again_as_they_are(runs: Path) -> None:
    """What real runs leave, however they ended, is restored, to the byte."""
    for run in RUNS:
        data = (runs / run / CHECKPOINT).read_bytes()
        assert checkpoint_file.parse(data, NAME).model_dump_json().encode() + b"\n" == data


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
        if path != ("lifecycle", "schema_version"):
            found += accepted(document, path, others)
    assert found == []


@pytest.mark.parametrize(
    "version", [0, 2, -1, "1", True, 1.5, None, [1], "\ud800", [[[]]], 10**400]
)
@pytest.mark.parametrize("path", ["schema_version", "lifecycle__schema_version"])
def test_other_version_is_refused(path: str, version: Any, runs: Path) -> None:
    """Version 1 is the number 1, in the file and in the lifecycle it holds."""
    document = checkpoint_of(runs / "done")
    put(**{path: version})(document)
    assert refusal(encoded(document))


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
                forged = with_value(document, path, "@@").replace(b'"@@"', number)
                found += [(run, path)] if refusal(forged) is None else []
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
        checkpoint_file.load(tmp_path)
