"""Checkpoints that are huge, strange or no files: refused in bounded time, and left."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from fsm_orchestrator import RunConfig, resume
from fsm_orchestrator.errors import CheckpointError, OperationError, UsageError
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.preparation.elsewhere import ElsewhereError
from fsm_orchestrator.record import checkpoint_reader
from tests.support.command import CHECKPOINT, report_of
from tests.support.copies import own_copy
from tests.support.soak import SOAK
from tests.sweeps.checkpoint_cases import (
    BOUND_SECONDS,
    ENDINGS,
    MESSAGE_CHARACTERS_MAX,
    NAME,
    PASSED,
    assert_refused_or_harmless,
    config,
    generic,
    is_unwitnessed,
    often,
    refusal,
)
from tests.sweeps.checkpoint_damage import encoded, places, put, with_value

pytestmark = pytest.mark.timeout(7_200 if SOAK else 600)


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
    """Return the checkpoint with a value for its version, which accepts any text."""
    return re.sub(rb'(?<="version":)"[^"]*"', lambda _: value, data, count=1)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("bomb", BOMBS)
def test_huge_file_is_refused_in_bounded_time(
    bomb: str, checkpoints: Mapping[str, bytes], tmp_path: Path
) -> None:
    """At any size and depth the refusal comes soon, is short and names the file."""
    path = tmp_path / CHECKPOINT
    path.write_bytes(BOMBS[bomb](checkpoints["done"]))
    began = time.monotonic()
    with pytest.raises(CheckpointError, match=re.escape(str(path))) as caught:
        checkpoint_reader.load(tmp_path)
    assert time.monotonic() - began < BOUND_SECONDS
    assert len(str(caught.value)) < MESSAGE_CHARACTERS_MAX + len(str(path))
    path.unlink()


def test_long_text_is_no_reason_to_refuse(checkpoints: Mapping[str, bytes]) -> None:
    """Long recorded texts are read again, and soon."""
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
    """Lists in lists and objects in objects are refused at one level or thousands, in any field."""
    document = json.loads(checkpoints[ending])
    place = data.draw(st.sampled_from(list(places(document))))
    opening, closing = data.draw(st.sampled_from([(b"[", b"]"), (b'{"a":', b"}"), (b"[{", b"}]")]))
    inner = b"" if opening != b'{"a":' else b"1"
    value = opening * depth + inner + closing * depth
    marked = encoded(with_value(document, place, "@@"))
    damaged = marked.replace(b'"@@"', value, 1)
    assert_refused_or_harmless(damaged, checkpoints[ending])


# -- other kinds of files in its place -----------------------------------------------------------


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
    """It is refused by path, nothing waits or runs, the report is failed, the object stays."""
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


# -- resumes from it -----------------------------------------------------------------------------

STRANGE: Final[tuple[Any, ...]] = (
    *("", "\0", "a\0b", ".", "..", "/", "~", "-", "\n", "\u2028", "'", "x" * 5_000, "/" * 5_000),
    *(0, 1, -1, 2**31, 2**63, 10**400, 0.0, -0.5, 1e308, True, False, None, [], {}),
    *([""], ["\0"], ["x"], ["/"], {"": ""}, {"=": "\0"}, {"A": "x"}),
)
WITHOUT_ORIGIN: Final = frozenset(
    f"completions.*.settings.{key}"
    for key in (*LIMIT_FIELDS, "retry", "confine", "env_inherit", "allow_stale", "pins")
)
"""The settings recorded of a completed stage whose origin is not: a resume takes one over only if
the private state is gone, and then the run may not be closed; the next one asks where it came
from."""
sometimes = settings(often, max_examples=1_000 if SOAK else 40)


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an output directory for repeated resumes."""
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
    ending: str, data: st.DataObject, runs: Path, output: Path
) -> None:
    """A value that was read may be unusable for a stage, a path or a process, but crashes nothing.

    With the key in the private state, every difference is refused.
    """
    has_key = data.draw(st.booleans())
    state = output.parent / "state"
    for path in (output, state):
        shutil.rmtree(path, ignore_errors=True)
    if has_key:
        shutil.copytree(runs / "state", state)
    own_copy(runs / ending, output)
    document = original = json.loads((output / CHECKPOINT).read_bytes())
    open_to_all = [
        one
        for one in places(document)
        if is_unwitnessed(generic(one)) and (has_key or generic(one) not in WITHOUT_ORIGIN)
    ]
    for _ in range(data.draw(st.integers(1, 2))):
        place, value = data.draw(st.sampled_from(open_to_all)), data.draw(st.sampled_from(STRANGE))
        document = put(document, place, value)
    (output / CHECKPOINT).write_bytes(encoded(document))
    said = refusal(encoded(document))
    asked = RunConfig(output_directory=output, gates=PASSED, timeout_ms=20_000)
    if said is not None or (has_key and document != original):
        is_elsewhere = said is None and document["home"] != original["home"]
        with pytest.raises((CheckpointError, ElsewhereError) if is_elsewhere else CheckpointError):
            resume(asked)
        assert (output / CHECKPOINT).read_bytes() == encoded(document)
        return
    try:
        event(str(resume(asked).terminal_state))
    except (UsageError, OperationError, CheckpointError) as error:  # its events contradict it
        event(type(error).__name__)
    assert refusal((output / CHECKPOINT).read_bytes()) is None
