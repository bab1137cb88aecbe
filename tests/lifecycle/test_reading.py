"""The reading of lifecycles: where they are found, what is unreadable, what makes two equal."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fsm_orchestrator.constants import DEFAULT_LIFECYCLE
from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.reading import check, find, parse, shipped, shipped_names
from fsm_orchestrator.lifecycle.source import LIFECYCLE_BYTES_MAX, shipped_text
from fsm_orchestrator.vocabulary import ExitCode, Trigger

DEFAULT = shipped_text(DEFAULT_LIFECYCLE).decode()
TOO_DEEP_OR_LARGE = "is nested too deeply, or has a number with too many digits"


def make_directory(path: Path) -> None:
    """Make a directory in the file's place."""
    path.mkdir()


def make_huge(path: Path) -> None:
    """Make a sparse file larger than any lifecycle."""
    with path.open("wb") as stream:
        stream.truncate(LIFECYCLE_BYTES_MAX + 1)


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "no such file or directory"),
    "a dangling link": (lambda path: path.symlink_to("nowhere"), "no such file or directory"),
    "a link to itself": (
        lambda path: path.symlink_to(path.name),
        "too many levels of symbolic links",
    ),
    "a directory": (make_directory, "is a directory"),
    "a FIFO": (os.mkfifo, "is a fifo, not a regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "is a device, not a regular file"),
    "too large": (make_huge, "larger than 1048576 bytes"),
    "empty": (Path.touch, "key 'schema_version' is missing"),
    "not text": (lambda path: path.write_bytes(b"a = '\xff'"), "is not UTF-8: byte 6 is wrong"),
    "UTF-16": (lambda path: path.write_text(DEFAULT, "utf-16"), "is not UTF-8: byte 1 is wrong"),
    "text with a byte order mark": (
        lambda path: path.write_text(DEFAULT, "utf-8-sig"),
        "begins with a byte order mark; save it without one",
    ),
    "not TOML": (
        lambda path: path.write_text('{"name": "x"}'),
        "is not TOML: Invalid statement (at line 1, column 1)",
    ),
    "a key given twice": (
        lambda path: path.write_text('name = "a"\nname = "b"\n'),
        "is not TOML: Cannot overwrite a value (at line 2, column 11)",
    ),
    "nested beyond the reader": (
        lambda path: path.write_text("x = " + "[" * 100_000),
        TOO_DEEP_OR_LARGE,
    ),
    "nested beyond the writer": (
        lambda path: path.write_text("x = " + f"[\n{{ a{'.a' * 99} = " * 30 + "1" + " }]" * 30),
        TOO_DEEP_OR_LARGE,
    ),
    "nested beyond the model": (
        lambda path: path.write_text("x = " + "[" * 250 + "]" * 250),
        TOO_DEEP_OR_LARGE,
    ),
    "a decimal number without end": (
        lambda path: path.write_text("x = " + "9" * 5000),
        TOO_DEEP_OR_LARGE,
    ),
    "a hexadecimal number without end": (
        lambda path: path.write_text("x = 0x" + "f" * 5000),
        TOO_DEEP_OR_LARGE,
    ),
}


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_lifecycle_loads(name: str) -> None:
    """Every built-in lifecycle passes its own rules and has the name of its file."""
    assert shipped(name).name == name


def test_default_lifecycle_is_the_contract() -> None:
    """The default's edges are those of the contract, which are repeated here."""
    running = ("pending", "gating", "manager", "executor")
    expected = {
        ("pending", "start", "gating", None),
        ("gating", "gates_passed", "manager", None),
        ("gating", "gates_refused", "blocked", None),
        ("manager", "stage_succeeded", "executor", None),
        ("executor", "stage_succeeded", "failed", "artifacts_intact"),
        ("executor", "stage_succeeded", "blocked", "gates_hold"),
        ("executor", "stage_succeeded", "done", None),
        *((stage, "stage_failed", "failed", None) for stage in ("manager", "executor")),
        *((stage, "stage_timed_out", "timeout", None) for stage in ("manager", "executor")),
        *((state, "run_aborted", "failed", None) for state in running),
        *(
            (state, "resume", "gating", None)
            for state in (*running, "blocked", "failed", "timeout")
        ),
    }
    lifecycle = shipped(DEFAULT_LIFECYCLE)
    found = [(edge.source, edge.trigger, edge.dest, edge.unless) for edge in lifecycle.edges]
    assert len(found) == len(expected)
    assert set(found) == expected
    assert not any(edge.guard for edge in lifecycle.edges)
    tried = lifecycle.edges_from("executor", Trigger.STAGE_SUCCEEDED)
    assert [edge.dest for edge in tried] == ["failed", "blocked", "done"]


@pytest.mark.parametrize(("make", "problem"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_file_that_cannot_be_read_is_refused(
    tmp_path: Path, make: Callable[[Path], object], problem: str
) -> None:
    """Whatever is in the file's place, the refusal is a usage error with path and reason."""
    path = tmp_path / "run.toml"
    make(path)
    with pytest.raises(LifecycleError) as refusal:
        find(str(path), Path())
    assert str(refusal.value).splitlines()[0] == f"{path}: {problem}"
    assert refusal.value.exit_code is ExitCode.USAGE
    assert refusal.value.remedy


@pytest.mark.unprivileged
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    """A file without read permission is refused with the system's reason."""
    path = tmp_path / "run.toml"
    path.write_text(DEFAULT)
    path.chmod(0)
    with pytest.raises(LifecycleError, match="permission denied"):
        find(str(path), Path())


def test_lifecycle_is_found_by_name_or_path(tmp_path: Path) -> None:
    """A name is a built-in lifecycle; anything else is a path relative to the working directory."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "run.toml").write_text(DEFAULT.replace('"governed_run"', '"own_run"'))
    (tmp_path / "Own").write_text(DEFAULT.replace('"governed_run"', '"capital"'))
    assert find("governed_run", tmp_path).name == "governed_run"
    assert find("own/run.toml", tmp_path).name == "own_run"
    assert find("../own/run.toml", tmp_path / "own").name == "own_run"
    assert find(str(tmp_path / "own" / "run.toml"), Path("/nowhere")).name == "own_run"
    assert find("Own", tmp_path).name == "capital"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            "governd_run",
            "there is no built-in lifecycle 'governd_run'; did you mean 'governed_run'?",
        ),
        ("xyz", "there is no built-in lifecycle 'xyz'"),
        ("", "the name or path of the lifecycle is empty"),
    ],
)
def test_unknown_lifecycle_is_refused_with_the_names_there_are(asked: str, message: str) -> None:
    """The refusal of a misspelled name suggests the nearest one, and every refusal lists all."""
    with pytest.raises(LifecycleError) as refusal:
        find(asked, Path())
    assert str(refusal.value) == message
    assert all(name in refusal.value.remedy for name in shipped_names())


def test_shipped_lifecycle_is_never_looked_up_as_a_path() -> None:
    """A lifecycle that is requested as built-in comes from the package or not at all."""
    with pytest.raises(LifecycleError, match="built-in lifecycle"):
        shipped("../states/governed_run")


@pytest.mark.parametrize(
    "text",
    [
        "# a comment\n" + DEFAULT.replace(" = ", "="),
        DEFAULT.replace("\n", "\r\n"),
        DEFAULT.replace('source = "pending"', 'source = ["pending"]'),
        DEFAULT.replace('kind = "initial"', "kind = '''initial'''"),
    ],
    ids=["comments and blanks", "line ends", "a list of one", "quotes"],
)
def test_digest_is_the_same_for_a_reformatted_file(text: str) -> None:
    """Two files that say the same have the same digest, whatever their bytes."""
    assert text != DEFAULT
    assert parse(text.encode(), "run.toml").sha256 == shipped(DEFAULT_LIFECYCLE).sha256


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('dest = "blocked"\nunless', 'dest = "failed"\nunless'),
        ('["manager", "executor"]\ndest = "failed"', '["executor", "manager"]\ndest = "failed"'),
        ('gates_guard = "stages"', 'gates_guard = "closure"'),
        ('name = "manager"\nkind = "stage"', 'name = "manager"\nkind = "stage"\ntimeout_ms = 1'),
    ],
    ids=["an edge", "an order", "what is guarded", "a default"],
)
def test_digest_differs_when_the_lifecycle_does(old: str, new: str) -> None:
    """A lifecycle that says something else has another digest."""
    assert DEFAULT.count(old) == 1
    other = parse(DEFAULT.replace(old, new).encode(), "run.toml")
    assert other.sha256 != shipped(DEFAULT_LIFECYCLE).sha256


def test_embedded_lifecycle_is_checked_like_a_file() -> None:
    """A lifecycle that was never a file is refused for the same reasons as a file."""
    lifecycle = shipped(DEFAULT_LIFECYCLE)
    check(lifecycle, "checkpoint.json")
    said = lifecycle.model_dump()
    lame = Lifecycle.model_validate({**said, "transition": said["transition"][:-1]})
    with pytest.raises(LifecycleError, match=r"checkpoint\.json: state 'pending': lacks an edge"):
        check(lame, "checkpoint.json")
