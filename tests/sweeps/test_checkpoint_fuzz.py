"""Checkpoints damaged at random and by rule: refused with file, field and reason, or read as meant.

What is asked of each: no other exception than the refusal, no hang, no run. A change that is
accepted is either none (the same record, spelt differently) or in a field that nothing else in the
file can contradict. Whole lies about a history are test_history.py's. `SOAK=1` looks further.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from fsm_orchestrator import RunConfig, StageGiven, resume, run, vocabulary
from fsm_orchestrator.errors import CheckpointError, OperationError, UsageError
from fsm_orchestrator.lifecycle.reading import shipped, shipped_names
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import CHECKPOINT, report_of

Document = dict[str, Any]
Place = tuple[str | int, ...]

FAILURES: Final = ("failed", "timeout", "spawn_failed", "artifact_missing", "interrupted")
SOAK: Final = bool(os.environ.get("SOAK"))
pytestmark = pytest.mark.timeout(7_200 if SOAK else 600)
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
        # what a stage that is still to run will be run with, and what the run is told to allow
        *("timeout_ms", "kill_grace_ms", "on_leak", "private_ref", "run_id", "stages", "stages.**"),
        *("gate_signals.*.source", "open_attempt"),
        "gate_signals.*.status",  # until it is judged
        # words, times and measures
        *("version", "lifecycle.title", "lifecycle.transition.*.why", "lifecycle.state.*.gates"),
        *("open_attempt.reason", "open_attempt.token", "open_attempt.started_at"),
        *("open_attempt.pid", "open_attempt.pid_identity"),
        *("open_attempt.keeper_pid", "open_attempt.keeper_identity"),
        *("invocations.*.version", "invocations.*.started_at", "invocations.*.finished_at"),
        *("invocations.*.exit_code", "invocations.*.containment", "invocations.*.warnings"),
        *("invocations.*.execution_mode", "invocations.*.rerun", "invocations.*.rerun.*"),
        *("invocations.*.passed_over", "invocations.*.stage_executions"),
        *("invocations.*.gate_decisions.*.source", "invocations.*.transitions.*.at"),
        *("invocations.*.transitions.*.cause", "invocations.*.transitions.*.trigger"),
        *("invocations.*.transitions.*.details", "invocations.*.transitions.*.details.*"),
        # what completed a stage, where only the time it may take or the word of one side is told
        *(
            f"completions.*.settings.{key}"
            for key in (
                *LIMIT_FIELDS,
                *("retry", "allow_stale", "is_masked", "env_digests.*"),
            )
        ),
        *(
            f"invocations.*.stage_executions.*.{key}"
            for key in (
                *("args", "args.*", "command", "cwd", "env_keys", "env_keys.*", "artifacts"),
                *("artifacts.*", "artifacts.*.path", "artifacts.*.sha256", "flaky"),
                *("artifacts.*.size_bytes", "duration_ms", "ending", "error", "exit_code"),
                *("malformed_artifacts", "missing_artifacts", "stale_artifacts", "postmortem"),
                *("reason", "resources", "resources.user_seconds", "resources.system_seconds"),
                *("resources.rss_bytes_max", "signal", "started_at", "stderr_log", "stderr_tail"),
                *("stdout_log", "leaked_processes", "leaked_count"),
                *("problem", "problem.cause", "problem.details", "problem.details.*"),
            )
        ),
    }
)
"""The fields of which nothing else in the file tells whether they are true, in some ending.

Each is meant alone, `**` with all in it.
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a run for each ending."""
    directory = tmp_path_factory.mktemp("endings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))
        make_runs(directory)
        yield directory


@pytest.fixture(scope="module")
def checkpoints(runs: Path) -> Mapping[str, bytes]:
    """The checkpoint of each ending."""
    return {ending: (runs / ending / CHECKPOINT).read_bytes() for ending in ENDINGS}


def config(directory: Path, name: str, executor: str = "exit 0", **given_too: Any) -> RunConfig:
    """Two stages, of which the manager leaves an artifact and has a variable."""
    manager = StageGiven(
        bin="/bin/sh",
        args=("-c", "echo '[1]' > plan.json"),
        expected_artifacts=("plan.json",),
        env={"TOKEN": "4711-0815"},
    )
    stages = {"manager": manager, "executor": StageGiven(bin="/bin/sh", args=("-c", executor))}
    basis = {"gates": PASSED, "stages": stages, **given_too}
    return RunConfig(output_directory=directory / name, directory=directory, **basis)


def make_runs(directory: Path) -> None:
    """Let runs end in every way; what a kill leaves is copied while they work."""

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


# -- what is asked of each -------------------------------------------------------------------


def refusal(data: bytes) -> str | None:
    """Why a checkpoint is refused; None when it is not. Any other exception is a bug."""
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
    """What the bytes say as JSON; `Ellipsis`, which no JSON says, when they are none."""

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
    """The refusal; where there is none, what was read is what the bytes say, and may be said."""
    said = refusal(data)
    meant, was = meant_by(data), json.loads(original)
    if said is not None:
        assert not is_same(meant, was), f"the same record is refused: {said}"
        return said
    assert meant is not ..., "bytes that are no JSON are read"
    read = checkpoint_reader.parse(data, NAME).model_dump(mode="json")
    misread = [*differences(spoken(read), spoken(meant))]
    assert misread == [], "what was read is not what the bytes say"
    changed = {generic(place) for place in differences(spoken(was), spoken(meant))}
    assert all(is_unwitnessed(place) for place in changed), f"accepted: {sorted(changed)}"
    return None


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: 1 is 1.0, but not true; fractions are doubles."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    is_rounded = isinstance(one, float) and isinstance(other, int)
    return bool(one == (float(other) if is_rounded else other))


def spoken(document: Document) -> Document:
    """The document with all that its lifecycle says by leaving it out, and in one order.

    The order of completions and of stage executions is for people, and so are the words for the
    ways to fail that were no fact for the run, or the same.
    """
    lifecycle = {"gates_guard": "stages", **document["lifecycle"]}
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
    """Whether a state or a transition says the same without a key."""
    return value is None or (key == "gates" and sorted(value) == ["ci", "policy", "review"])


def in_order(entries: list[Document]) -> list[Document]:
    """Entries about stages, in one order, failures called so."""
    told = (
        {**one, "status": "failed"} if one.get("status") in FAILURES else one for one in entries
    )
    return sorted(told, key=lambda one: (one["stage"], one["attempt"]))


def differences(one: Any, other: Any, place: Place = ()) -> Iterator[Place]:
    """The places in which two documents differ; a whole one where it has other keys or length."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], (*place, key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from differences(*pair, (*place, index))
    elif not is_same(one, other):
        yield place


def generic(place: Place) -> str:
    """A place as a path in which `*` stands for every index and every name that a run chose."""
    parts = ["*" if isinstance(part, int) else part for part in place]
    for index, part in enumerate(parts[:-1]):
        if part == "env_digests" or (part == "stages" and index == 0):
            parts[index + 1] = "*"
    return ".".join(parts)


def is_unwitnessed(place: str) -> bool:
    """Whether a field may have any value that is of its shape."""
    parts = place.split(".")
    holders = (".".join((*parts[:end], "**")) for end in range(1, len(parts)))
    return place in UNWITNESSED or not UNWITNESSED.isdisjoint(holders)


def names(said: str, place: Place) -> bool:
    """Whether a refusal names a field, or one that holds it; by `a.0.b` or `a[0].b`.

    Where the text breaks off being JSON there are no fields: a line and a column are named.
    """
    if re.search(r"invalid JSON: .* at line \d+ column \d+$", said):
        return True
    path = re.sub(r"\[(\d+)\]", r".\1", said.partition(": ")[0])
    dotted = ".".join(map(str, place))
    return dotted == path or dotted.startswith(f"{path}.") or path.startswith(f"{dotted}.")


# -- documents and what is done to them --------------------------------------------------------


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


def with_value(document: Any, place: Place, value: Any) -> Any:
    """The document with another value at a path; what is not on the path is shared."""
    if not place:
        return value
    key, *rest = place
    copy: Any = list(document) if isinstance(document, list) else dict(document)
    copy[key] = with_value(document[key], tuple(rest), value)
    return copy


def put(document: Any, place: Place, value: Any) -> Any:
    """The same; the document as it is where it has no such path any more."""
    try:
        return with_value(document, place, value)
    except (LookupError, TypeError, ValueError):
        return document


def encoded(document: object) -> bytes:
    """A document as JSON."""
    return json.dumps(document).encode()


WORDS: Final = tuple(
    tuple(member.value for member in kind)
    for kind in vars(vocabulary).values()
    if isinstance(kind, type) and issubclass(kind, StrEnum) and kind is not StrEnum
)
"""The words of each closed set."""
NUMBERS: Final = (
    *(-1, 0, 1, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**19, 10**400),
    *(0.5, -0.5, 1e308, -1e308, 5e-324),
)
SHAPES: Final[tuple[Any, ...]] = ({"x": 1}, [[]], 1.5, True, "\ud800", "x" * 2_000)
HUGE_NUMBERS: Final = (b"1" * 5_000, b"-" + b"9" * 100_000, b"1e400", b"-1e400", b"1E+999999999")
NO_NUMBERS: Final = (b"01", b"+1", b"0x10", b"1_000", b".5", b"5.", b"1e", b"--1", b"\xc2\xb2")


def other_words(value: Any) -> set[str]:
    """The other words of the closed sets that a word is in."""
    return {word for words in WORDS if value in words for word in words if word != value}


def siblings(holder: Any, key: str | int) -> Iterator[str | int]:
    """The keys beside one, behind it, whose values are of the same type and not the same."""
    keys = list(range(len(holder))) if isinstance(holder, list) else list(holder)
    for other in keys[keys.index(key) + 1 :]:
        if type(holder[other]) is type(holder[key]) and holder[other] != holder[key]:
            yield other


def swapped(document: Document, place: Place, other: str | int) -> Document:
    """The document with the values of two siblings in each other's place."""
    holder, key = place[:-1], place[-1]
    values = at(document, holder)
    once = with_value(document, place, values[other])
    return dict(with_value(once, (*holder, other), values[key]))


def own_places(ending: str, document: Document) -> list[Place]:
    """The paths to change: the lifecycle is the same in all, so in one ending only."""
    return [one for one in places(document) if ending == SWEPT[0] or one[0] != "lifecycle"]


def is_entry(place: Place) -> bool:
    """Whether a place is an entry of a map that may have any, and no field."""
    return place[-2:-1] in {("stages",), ("env_digests",)}


# -- bytes -----------------------------------------------------------------------------------

POSITION = st.integers(0, 2**20)
LENGTH = st.integers(0, 40) | st.integers(0, 4_000)
FRAGMENTS = st.sampled_from(
    [
        *(b"null", b"true", b"[]", b"{}", b'"', b'""', b",", b":", b"[", b"{", b"]", b"}", b"\\"),
        *(b"\x00", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\\ud800", b"\xef\xbb\xbf", b"/**/"),
        *(b" ", b"\n", b"\r", b"\t", b"\x0b", b"\xe2\x80\xa8", b"0", b"-", b"1e999", b"NaN", b"."),
    ]
)
INSERTED = FRAGMENTS | st.binary(max_size=12)
CHANGES: Final[Mapping[str, st.SearchStrategy[tuple[Any, ...]]]] = {
    "flip": st.tuples(POSITION, st.integers(0, 7)),
    "cut": st.tuples(POSITION, LENGTH),
    "insert": st.tuples(POSITION, INSERTED),
    "replace": st.tuples(POSITION, INSERTED),
    "repeat": st.tuples(POSITION, LENGTH),
    "swap": st.tuples(POSITION, POSITION, LENGTH),
    "end": st.tuples(POSITION),
}
CHANGE = st.one_of(*(st.tuples(st.just(kind), given) for kind, given in CHANGES.items()))


def changed(data: bytes, kind: str, given: tuple[Any, ...]) -> bytes:
    """The bytes after one change; positions wrap around."""
    begin = given[0] % (len(data) + 1)
    before, rest = data[:begin], data[begin:]
    match kind:
        case "flip":
            return before + bytes(byte ^ 1 << given[1] for byte in rest[:1]) + rest[1:]
        case "cut":
            return before + rest[given[1] :]
        case "insert":
            return before + bytes(given[1]) + rest
        case "replace":
            return before + bytes(given[1]) + rest[len(given[1]) :]
        case "repeat":
            return before + rest[: given[1]] + rest
        case "swap":
            return _with_ranges_swapped(data, begin, given[1] % (len(data) + 1), given[2])
        case _:
            return before


def _with_ranges_swapped(data: bytes, one: int, other: int, length: int) -> bytes:
    first, second = sorted((one, other))
    length = min(length, second - first)
    middle = data[first + length : second]
    ranges = data[first : first + length], data[second : second + length]
    return data[:first] + ranges[1] + middle + ranges[0] + data[second + length :]


often = settings(
    max_examples=30_000 if SOAK else 300,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


@often
@given(ending=st.sampled_from(ENDINGS), changes=st.lists(CHANGE, min_size=1, max_size=3))
def test_damaged_bytes_are_refused_or_mean_the_same(
    ending: str, changes: list[tuple[str, tuple[Any, ...]]], checkpoints: Mapping[str, bytes]
) -> None:
    """Bits flipped, ranges cut, inserted, repeated, swapped: refused, or read as they say."""
    data = checkpoints[ending]
    for kind, given_too in changes:
        data = changed(data, kind, given_too)
    said = assert_refused_or_harmless(data, checkpoints[ending])
    event("accepted" if said is None else re.sub(r"[\d\W]+", " ", said)[:40])


@often
@given(
    ending=st.sampled_from(ENDINGS),
    seed=st.integers(0, 2**32),
    layout=st.sampled_from([(None, None), (2, None), (None, (",", ":")), ("\t", (" ,\r\n", " :"))]),
    is_ascii=st.booleans(),
)
def test_same_record_in_another_spelling_is_accepted(
    ending: str,
    seed: int,
    layout: tuple[Any, Any],
    is_ascii: bool,
    checkpoints: Mapping[str, bytes],
) -> None:
    """White space, the order of keys and the way characters are written change nothing."""
    randomness = random.Random(seed)  # noqa: S311 - no secret

    def shuffled(value: Any) -> Any:
        if isinstance(value, list):
            return [shuffled(one) for one in value]
        if isinstance(value, dict):
            keys = randomness.sample(list(value), len(value))
            return {key: shuffled(value[key]) for key in keys}
        return value

    original = checkpoints[ending]
    indent, separators = layout
    text = json.dumps(
        shuffled(json.loads(original)), indent=indent, separators=separators, ensure_ascii=is_ascii
    )
    if is_ascii:
        text = re.sub(r"(?<=[a-z_])m(?=[a-z_])", "\\\\u006d", text)
    assert refusal(text.encode()) is None
    read = checkpoint_reader.parse(text.encode(), NAME)
    assert read == checkpoint_reader.parse(original, NAME)


# -- fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", SWEPT)
def test_removed_or_renamed_field_is_named(ending: str, checkpoints: Mapping[str, bytes]) -> None:
    """A key that is missing or unknown is refused by its path."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        holder, key = at(document, place[:-1]), place[-1]
        if not isinstance(key, str) or is_entry(place) or key in {"product", "schema_version"}:
            continue
        rest = {name: value for name, value in holder.items() if name != key}
        data = encoded(with_value(document, place[:-1], rest))
        said = assert_refused_or_harmless(data, checkpoints[ending])
        assert said is None or names(said, place), (place, said)
        renamed = {f"{key}x" if name == key else name: value for name, value in holder.items()}
        said = refusal(encoded(with_value(document, place[:-1], renamed)))
        assert said is not None, place
        assert names(said, place) or names(said, (*place[:-1], f"{key}x")), (place, said)


@pytest.mark.parametrize("ending", SWEPT)
def test_doubled_key_is_named_wherever_it_stands(
    ending: str, checkpoints: Mapping[str, bytes]
) -> None:
    """Any key that stands twice is refused by name, with the same value or with another."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        key, value = place[-1], at(document, place)
        if isinstance(key, str):
            for second in (value, None):
                holder = {**at(document, place[:-1]), "@@": second}
                data = encoded(with_value(document, place[:-1], holder))
                said = refusal(data.replace(b'"@@"', encoded(key)))
                assert said == f"the key {key!r} stands twice in one object"


@pytest.mark.parametrize("ending", SWEPT)
def test_value_of_another_shape_is_named(ending: str, checkpoints: Mapping[str, bytes]) -> None:
    """A field of another type, and one holding a structure or a huge text, is refused by path."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        for value in SHAPES:
            if type(value) is type(at(document, place)) or place[-1] == "product":
                continue
            data = encoded(with_value(document, place, value))
            said = assert_refused_or_harmless(data, checkpoints[ending])
            assert said is None or names(said, place), (place, said)


@pytest.mark.parametrize("ending", SWEPT)
def test_number_out_of_range_is_refused(ending: str, checkpoints: Mapping[str, bytes]) -> None:
    """Numbers beyond all bounds crash nothing, and stand for no number that the run had."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        if type(at(document, place)) not in {int, float}:
            continue
        for number in NUMBERS:
            data = encoded(with_value(document, place, number))
            assert_refused_or_harmless(data, checkpoints[ending])
        marked = encoded(with_value(document, place, "@@"))
        for text in (*HUGE_NUMBERS, *NO_NUMBERS):
            assert refusal(marked.replace(b'"@@"', text)), (place, text[:20])


@pytest.mark.parametrize("ending", SWEPT)
def test_other_word_of_a_closed_set_is_refused(
    ending: str, checkpoints: Mapping[str, bytes]
) -> None:
    """No state, trigger, status, kind or gate may be told as another, unless nothing tells."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        for word in other_words(at(document, place)) if is_text(at(document, place)) else ():
            data = encoded(with_value(document, place, word))
            assert_refused_or_harmless(data, checkpoints[ending])


@pytest.mark.parametrize("ending", SWEPT)
def test_values_of_siblings_may_not_be_swapped(
    ending: str, checkpoints: Mapping[str, bytes]
) -> None:
    """Two fields of one object, or two entries of one list, do not stand for each other."""
    document = json.loads(checkpoints[ending])
    for place in own_places(ending, document):
        for other in siblings(at(document, place[:-1]), place[-1]):
            data = encoded(swapped(document, place, other))
            assert_refused_or_harmless(data, checkpoints[ending])


@often
@given(ending=st.sampled_from(ENDINGS), data=st.data())
def test_fields_of_other_endings_are_refused_or_mean_the_same(
    ending: str, data: st.DataObject, checkpoints: Mapping[str, bytes]
) -> None:
    """Values from anywhere in any real checkpoint, put anywhere into another, make no lie true."""
    document = json.loads(checkpoints[ending])
    for _ in range(data.draw(st.integers(1, 3))):
        value: Any = json.loads(checkpoints[data.draw(st.sampled_from(ENDINGS))])
        place = data.draw(st.sampled_from(list(places(document))))
        value = at(value, data.draw(st.sampled_from(list(places(value)))))
        document = with_value(document, place, value)
    said = assert_refused_or_harmless(encoded(document), checkpoints[ending])
    event("accepted" if said is None else said.partition(":")[0][:30])


@pytest.mark.parametrize("version", [2, 3, 10**6, 2**64])
def test_newer_version_is_told_as_such(version: int, checkpoints: Mapping[str, bytes]) -> None:
    """What a later program added is not complained of: the version is, and what can read it."""
    document = json.loads(checkpoints["done"])
    del document["gate_signals"]
    newer = {**document, "schema_version": version, "lifecycle": "by reference", "signed": [1]}
    said = refusal(encoded(newer))
    assert said is not None
    assert said.startswith("schema_version: this program reads version 1, the file says ")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", shipped_names())
def test_other_lifecycle_with_its_digest_needs_a_history_that_walks_it(
    name: str, ending: str, checkpoints: Mapping[str, bytes]
) -> None:
    """Where a transition is no edge of the lifecycle that was put in, the file is refused."""
    other = shipped(name)
    document = json.loads(checkpoints[ending])
    document["lifecycle"] = other.model_dump(mode="json")
    document["lifecycle_sha256"] = other.sha256
    walk = [step for one in document["invocations"] for step in one["transitions"]]
    edges = {(edge.trigger.value, edge.source, edge.dest) for edge in other.edges}
    is_walk = {(one["trigger"], one["source"], one["dest"]) for one in walk} <= edges
    assert (refusal(encoded(document)) is None) is is_walk
    document["lifecycle_sha256"] = json.loads(checkpoints[ending])["lifecycle_sha256"]
    is_own = name == "governed_run"
    assert (refusal(encoded(document)) is None) is is_own


def is_text(value: Any) -> bool:
    """Whether a value is a text."""
    return isinstance(value, str)


# -- size and depth --------------------------------------------------------------------------

BOMBS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "100 MB of nesting": lambda _: b"[" * 100_000_000,
    "100 MB of nested objects": lambda _: b'{"a":' * 20_000_000,
    "100 MB of zero bytes": lambda _: bytes(100_000_000),
    "60 MB of nesting": lambda _: b"[" * 60_000_000,
    "60 MB of nesting in a field": lambda data: within(data, b"[" * 60_000_000),
    "60 MB of one number": lambda data: within(data, b"9" * 60_000_000),
    "60 MB of an open text": lambda data: within(data, b'"' + b"x" * 60_000_000)[:-5_000],
    "60 MB of escapes": lambda data: within(data, b'"' + b"\\u0000" * 10_000_000 + b'"')[:-9],
    "60 MB of white space": lambda data: data.replace(b",", b"," + b" " * 60_000_000, 1)[:-2],
}


def within(data: bytes, value: bytes) -> bytes:
    """The checkpoint with a value for its version, which takes any text."""
    return re.sub(rb'(?<="version":)"[^"]*"', lambda _: value, data, count=1)


@pytest.mark.parametrize("bomb", BOMBS)
def test_huge_file_is_refused_in_bounded_time(
    bomb: str, checkpoints: Mapping[str, bytes], tmp_path: Path
) -> None:
    """However large and deep, the answer comes soon, is short and names the file."""
    path = tmp_path / CHECKPOINT
    path.write_bytes(BOMBS[bomb](checkpoints["done"]))
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
        checkpoint_reader.load(tmp_path)
    assert time.monotonic() - began < BOUND_SECONDS
    assert len(str(caught.value)) < MESSAGE_CHARACTERS_MAX + len(str(path))
    path.unlink()


def test_long_text_is_no_reason_to_refuse(checkpoints: Mapping[str, bytes]) -> None:
    """Texts may be long: what was recorded is read again, soon."""
    document = json.loads(checkpoints["failed"])
    document["invocations"][0]["warnings"] = ["x" * 20_000_000, "\u2028" * 1_000_000]
    began = time.monotonic()
    read = checkpoint_reader.parse(json.dumps(document, ensure_ascii=False).encode(), NAME)
    assert time.monotonic() - began < BOUND_SECONDS
    assert list(read.invocation.warnings) == document["invocations"][0]["warnings"]


@often
@given(ending=st.sampled_from(ENDINGS), depth=st.integers(1, 20_000), data=st.data())
def test_nesting_at_any_depth_is_refused(
    ending: str, depth: int, data: st.DataObject, checkpoints: Mapping[str, bytes]
) -> None:
    """Lists in lists and objects in objects, one level or thousands, in any field."""
    document = json.loads(checkpoints[ending])
    place = data.draw(st.sampled_from(list(places(document))))
    opening, closing = data.draw(st.sampled_from([(b"[", b"]"), (b'{"a":', b"}"), (b"[{", b"}]")]))
    inner = b"" if opening != b'{"a":' else b"1"
    value = opening * depth + inner + closing * depth
    marked = encoded(with_value(document, place, "@@"))
    damaged = marked.replace(b'"@@"', value, 1)
    assert_refused_or_harmless(damaged, checkpoints[ending])


# -- what is in the file's place ---------------------------------------------------------------


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(path.parent):
        one.bind(path.name)


def _make_unreadable(path: Path) -> None:
    path.write_bytes(b"{}")
    path.chmod(0)


def _make_link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("fifo"))
    path.symlink_to("fifo")


IN_ITS_PLACE: Final[Mapping[str, Callable[[Path], object]]] = {
    "directory": Path.mkdir,
    "FIFO": os.mkfifo,
    "socket": _make_socket,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "link to a directory": lambda path: path.symlink_to("."),
    "link to a FIFO": _make_link_to_fifo,
    "link to an endless device": lambda path: path.symlink_to("/dev/zero"),
    "link to an empty device": lambda path: path.symlink_to("/dev/null"),
    "file that may not be read": _make_unreadable,
}


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(
            kind, marks=[pytest.mark.unprivileged] if kind == "file that may not be read" else []
        )
        for kind in IN_ITS_PLACE
    ],
)
def test_resume_meets_what_is_no_file_and_leaves_it(
    kind: str, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused by path, nothing waits or runs, the report says failed, the thing stays."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    out = Path(shutil.copytree(runs / "failed", tmp_path / "out"))
    path = out / CHECKPOINT
    path.unlink()
    IN_ITS_PLACE[kind](path)
    before = path.lstat()
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=re.escape(str(path))):
        resume(config(tmp_path, "out", "touch ran"))
    assert time.monotonic() - began < BOUND_SECONDS
    after = path.lstat()
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mode,
        before.st_mtime_ns,
    )
    assert not (tmp_path / "ran").exists()
    assert (report_of(out)["terminal_state"], report_of(out)["exit_code"]) == ("failed", 1)


# -- a resume from it ------------------------------------------------------------------------

STRANGE: Final[tuple[Any, ...]] = (
    *("", "\0", "a\0b", ".", "..", "/", "~", "-", "\n", "\u2028", "'", "x" * 5_000, "/" * 5_000),
    *(0, 1, -1, 2**31, 2**63, 10**400, 0.0, -0.5, 1e308, True, False, None, [], {}),
    *([""], ["\0"], ["x"], ["/"], {"": ""}, {"=": "\0"}, {"A": "x"}),
)
sometimes = settings(often, max_examples=1_000 if SOAK else 40)


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An output directory to resume in again and again."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "out"


@settings(
    sometimes, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    ending=st.sampled_from(["blocked", "failed", "done", "resumed", "killed", "starting"]),
    data=st.data(),
)
def test_resume_from_strange_values_is_a_run_or_a_refusal(
    ending: str, data: st.DataObject, runs: Path, checkpoints: Mapping[str, bytes], output: Path
) -> None:
    """What was read may be unusable for a stage, a path or a process, but crashes nothing."""
    document = json.loads(checkpoints[ending])
    open_to_all = [one for one in places(document) if is_unwitnessed(generic(one))]
    for _ in range(data.draw(st.integers(1, 2))):
        place, value = data.draw(st.sampled_from(open_to_all)), data.draw(st.sampled_from(STRANGE))
        document = put(document, place, value)
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(runs / ending, output)
    (output / CHECKPOINT).write_bytes(encoded(document))
    said = refusal(encoded(document))
    asked = RunConfig(output_directory=output, gates=PASSED, timeout_ms=20_000)
    if said is not None:
        with pytest.raises(CheckpointError):
            resume(asked)
        assert (output / CHECKPOINT).read_bytes() == encoded(document)
        return
    try:
        event(str(resume(asked).terminal_state))
    except (UsageError, OperationError) as error:
        event(type(error).__name__)
    assert refusal((output / CHECKPOINT).read_bytes()) is None
