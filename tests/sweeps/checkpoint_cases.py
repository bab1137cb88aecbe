"""The possible meanings of a damaged checkpoint: make real checkpoints, read them, and compare."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from hypothesis import HealthCheck, settings

from fsm_orchestrator import RunConfig, StageGiven, resume, run
from fsm_orchestrator.errors import CheckpointError
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import CHECKPOINT
from tests.support.soak import SOAK

Document = dict[str, Any]
Place = tuple[str | int, ...]

FAILURES: Final = ("failed", "timeout", "spawn_failed", "artifact_missing", "interrupted")
NAME: Final = "/some/where/orchestrator_checkpoint.json"
PASSED: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
ENDINGS: Final = (
    *("blocked", "failed", "timeout", "done", "visited", "resumed"),
    *("interrupted", "killed", "starting"),
)
SWEPT: Final = ENDINGS if SOAK else ("resumed", "killed")
MESSAGE_CHARACTERS_MAX: Final = 10_000
BOUND_SECONDS: Final = 20.0

UNWITNESSED: Final = frozenset(
    {
        # the settings of a stage that is still to run, and the permissions of the run
        *("timeout_ms", "kill_grace_ms", "on_leak", "private_ref", "run_id", "stages", "stages.**"),
        *("secret_keys", "secret_keys.*"),
        *("gate_signals.*.source", "open_attempts"),
        # until it is judged
        *(f"gate_signals.*.{key}" for key in ("status", "given.at", "given.user")),
        *("gate_signals.*.given.uid", "gate_signals.*.given.host"),
        # the place of the record is compared with the disk, not with the record
        *(
            f"home.{key}"
            for key in ("directory", "device", "inode", "host", "boot", "started_in", "copied_from")
        ),
        # a setting may be given again unchanged, which changes nothing about a stage's work
        *("origins.by_setting.stage.*.invocation", "origins.stages_since.*"),
        *("last_event_seq", "last_event_sha256", "events", "events.last_seq", "events.size_bytes"),
        "events.last_line_sha256",  # compared with the events file
        "mac",  # compared with the key of the private state
        # words, times and measures
        *("version", "lifecycle.title", "lifecycle.transition.*.why", "lifecycle.state.*.gates"),
        *("open_attempts.*.reason", "open_attempts.*.token", "open_attempts.*.started_at"),
        *("open_attempts.*.pid", "open_attempts.*.pid_identity"),
        *("open_attempts.*.keeper_pid", "open_attempts.*.keeper_identity"),
        *("invocations.*.origin", "invocations.*.origin.**"),  # for people to see
        *("invocations.*.version", "invocations.*.started_at", "invocations.*.finished_at"),
        *("invocations.*.exit_code", "invocations.*.containment", "invocations.*.warnings"),
        "invocations.*.warnings.*",
        *("invocations.*.execution_mode", "invocations.*.rerun", "invocations.*.rerun.*"),
        *("invocations.*.passed_over", "invocations.*.stage_executions"),
        *("invocations.*.gate_decisions.*.source", "invocations.*.transitions.*.at"),
        *("invocations.*.transitions.*.cause", "invocations.*.transitions.*.trigger"),
        *("invocations.*.transitions.*.details", "invocations.*.transitions.*.details.*"),
        # what completed a stage, where only its permitted time or the word of one side is recorded
        *(
            f"completions.*.settings.{key}"
            for key in (
                *LIMIT_FIELDS,
                *("retry", "allow_stale", "hidden", "hidden.**"),
                *("env_digests.*", "secret_digests.*"),
            )
        ),
        *(
            f"invocations.*.stage_executions.*.{key}"
            for key in (
                *("args", "args.*", "command", "cwd", "env_keys", "env_keys.*", "artifacts"),
                *("artifacts.*", "artifacts.*.path", "artifacts.*.sha256", "flaky"),
                *("artifacts.*.size_bytes", "artifacts.*.judged_by"),
                *("artifacts_judged_ms", "duration_ms"),
                *("ending", "error", "exit_code"),
                *("malformed_artifacts", "missing_artifacts", "stale_artifacts", "postmortem"),
                "no_postmortem",
                *(
                    "reason",
                    "start_problem",
                    "resources",
                    "resources.user_seconds",
                    "resources.system_seconds",
                ),
                *("resources.rss_bytes_max", "signal", "started_at", "stderr_log", "stderr_tail"),
                *("stdout_log", "leaked_processes", "leaked_count"),
                *("problem", "problem.cause", "problem.details", "problem.details.*"),
            )
        ),
    }
)
"""The fields that nothing else in the file can contradict, in some ending.

Each is meant alone, `**` with all in it.
"""


def config(directory: Path, name: str, executor: str = "exit 0", **given_too: Any) -> RunConfig:
    """Return two stages, of which the manager leaves an artifact and has a variable."""
    manager = StageGiven(
        bin="/bin/sh",
        args=("-c", "echo '[1]' > plan.json"),
        expected_artifacts=("plan.json",),
        env={"MODE": "4711-0815"},
    )
    stages = {"manager": manager, "executor": StageGiven(bin="/bin/sh", args=("-c", executor))}
    basis = {"gates": PASSED, "stages": stages, **given_too}
    return RunConfig(output_directory=directory / name, directory=directory, **basis)


def make_runs(directory: Path) -> None:
    """Let runs end in every way; copy what a kill leaves while they work."""

    def copy_when_gating(event: Mapping[str, Any]) -> None:
        starting = directory / "starting"
        if event["event"] == "transition" and not (starting / "copy").exists():
            shutil.copy(starting / CHECKPOINT, starting / "copy")

    def interrupt_executor(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.started" and event["stage"] == "executor":
            interrupts.deliver(signal.SIGTERM)

    known = f"until grep -q '\"pid\":[0-9]' {CHECKPOINT}; do sleep 0.01; done"
    copy = f'cd "$ORCHESTRATOR_OUTPUT_DIR"; {known}; cp {CHECKPOINT} copy; exit 7'
    run(config(directory, "blocked", gates={}))
    run(config(directory, "failed", "exit 7"))
    run(config(directory, "timeout", "exec sleep 60", timeout_ms=100))
    run(config(directory, "done"))
    run(config(directory, "visited"))
    resume(RunConfig(output_directory=directory / "visited"))
    run(config(directory, "resumed", "exit 7"))
    mended = {"executor": StageGiven(args=("-c", "exit 0"))}
    again = RunConfig(output_directory=directory / "resumed", rerun=("manager",), stages=mended)
    resume(again)
    with contextlib.closing(Interrupts()) as interrupts:
        interrupted = config(directory, "interrupted", "exec sleep 60")
        run(interrupted, interrupts=interrupts, listener=interrupt_executor)
    run(config(directory, "killed", copy))
    run(config(directory, "starting"), listener=copy_when_gating)
    for ending in ("killed", "starting"):
        (directory / ending / "copy").replace(directory / ending / CHECKPOINT)


# -- the checks of each ----------------------------------------------------------------------


def refusal(data: bytes) -> str | None:
    """Return why a checkpoint is refused, or None if it is not. Any other exception is a bug."""
    try:
        checkpoint_reader.parse(data, NAME)
    except CheckpointError as error:
        message, remedy = str(error), error.remedy
    else:
        return None
    assert message.startswith(f"cannot resume from {NAME}: ")
    assert remedy
    assert len(message) < MESSAGE_CHARACTERS_MAX
    return message.removeprefix(f"cannot resume from {NAME}: ")


def meant_by(data: bytes) -> Any:
    """Return the bytes as JSON, or `Ellipsis`, which no JSON means, if they are none."""

    def single(pairs: list[tuple[str, Any]]) -> Document:
        document = dict(pairs)
        if len(document) != len(pairs):
            raise ValueError("a key stands twice")
        return document

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return json.loads(data.decode(), object_pairs_hook=single, parse_constant=refuse)
    except (ValueError, RecursionError):
        return ...


def assert_refused_or_harmless(data: bytes, original: bytes) -> str | None:
    """Return the refusal; without one, assert that what was read is in the bytes and permitted."""
    said = refusal(data)
    meant, was = meant_by(data), json.loads(original)
    if said is not None:
        assert not is_same(meant, was, or_whole=False), f"the same record is refused: {said}"
        return said
    assert meant is not ..., "bytes that are no JSON are read"
    read = checkpoint_reader.parse(data, NAME).model_dump(mode="json")
    misread = [*differences(spoken(read), spoken(meant))]
    assert misread == [], f"what was read is not what the bytes say: {misread[:5]}"
    changed = {generic(place) for place in differences(spoken(was), spoken(meant))}
    assert all(is_unwitnessed(place) for place in changed), f"accepted: {sorted(changed)}"
    return None


def is_same(one: Any, other: Any, *, or_whole: bool = True) -> bool:
    """Return whether two values are the same JSON: 1 is 1.0, but not true; fractions are doubles.

    With `or_whole=False` 1.0 is not 1, since a whole number may have to be spelled as one.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            is_same(one[key], other[key], or_whole=or_whole) for key in one
        )
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(is_same(*pair, or_whole=or_whole) for pair in pairs)
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, float) and isinstance(other, int):
        return or_whole and one == float(other)
    return bool(one == other)


def spoken(document: Document) -> Document:
    """Return the document in one order, with the defaults of its lifecycle written out.

    The order of completions and of stage executions is for people, and so are the texts of failures
    that did not affect the run, or affected it equally.
    """
    defaults: dict[str, Any] = {
        "gates_guard": "stages",
        "accepts_early_signals": False,
        "gate": [],
    }
    lifecycle = {**defaults, **document["lifecycle"]}
    for key in ("state", "transition"):
        lifecycle[key] = [
            {name: value for name, value in one.items() if not is_said_by_absence(name, value)}
            for one in lifecycle[key]
        ]
    invocations = [
        {**one, "stage_executions": in_order(one["stage_executions"])}
        for one in document["invocations"]
    ]
    return {
        **document,
        "lifecycle": lifecycle,
        "completions": in_order(document["completions"]),
        "invocations": invocations,
    }


def is_said_by_absence(key: str, value: Any) -> bool:
    """Return whether a state or a transition means the same without a key."""
    is_default = key in {"effects", "fail_fast"} and value is True
    every = key == "gates" and value is not None and sorted(value) == ["ci", "policy", "review"]
    return value is None or is_default or every


def in_order(entries: list[Document]) -> list[Document]:
    """Return entries about stages, in one order, with failures called failures.

    The digest of the program that ran is compared with nothing else in the record.
    """
    told = (
        {**one, "status": "failed"} if one.get("status") in FAILURES else one
        for one in ({key: one[key] for key in one if key != "program"} for one in entries)
    )
    return sorted(told, key=lambda one: (one["stage"], one["attempt"]))


def differences(one: Any, other: Any, place: Place = ()) -> Iterator[Place]:
    """Yield the places in which two documents differ; a whole one if its keys or length differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], (*place, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, (*place, index))
    elif not is_same(one, other):
        yield place


def generic(place: Place) -> str:
    """Return a place as a path in which `*` stands for every index and every name that is free."""
    parts = ["*" if isinstance(part, int) else part for part in place]
    for index, part in enumerate(parts[:-1]):
        if part in {"env_digests", "stages_since"} or (part == "stages" and index == 0):
            parts[index + 1] = "*"
        elif part == "by_setting" and str(parts[index + 1]).startswith("stage."):
            parts[index + 1] = "stage.*"
    return ".".join(parts)


def is_unwitnessed(place: str) -> bool:
    """Return whether a field may have any value of its shape."""
    parts = place.split(".")
    holders = (".".join((*parts[:end], "**")) for end in range(1, len(parts)))
    return place in UNWITNESSED or not UNWITNESSED.isdisjoint(holders)


def names(said: str, place: Place) -> bool:
    """Return whether a refusal names a field, or one that holds it; by `a.0.b` or `a[0].b`.

    Where the text stops being JSON there are no fields: a line and a column are named.
    """
    if re.search(r"invalid JSON: .* at line \d+ column \d+$", said):
        return True
    path = re.sub(r"\[(\d+)\]", r".\1", said.partition(": ")[0])
    dotted = ".".join(map(str, place))
    return dotted == path or dotted.startswith(f"{path}.") or path.startswith(f"{dotted}.")


often = settings(
    max_examples=30_000 if SOAK else 100,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
