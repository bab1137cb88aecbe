"""The private file: its place, its lifetime, and the behavior where it cannot exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.state_directory import NoStateDirectoryError, state_directory
from tests.secrets.secret_cases import STORE, VALUE, places_of, saver
from tests.support.command import PASSING, accepting, orchestrate, report_of, shell


def test_the_private_file_follows_the_base_directory_specification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is below XDG_STATE_HOME if that is absolute, else below ~/.local/state."""
    out = tmp_path / "out"
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("relative/path", ""):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert state_directory(out) == tmp_path / ".local/state/fsm-orchestrator"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))
    assert state_directory(out) == tmp_path / "own/fsm-orchestrator"


def test_an_unwritable_state_directory_is_a_warning_and_the_run_goes_on(tmp_path: Path) -> None:
    """The run reaches its end; report and log warn; a resume asks for the values that it needs."""
    (tmp_path / "state").write_text("a file is in the way")
    options = (*shell("manager", "true"), *shell("executor", saver("saw", "test -e ready")))
    given = ("--executor-env", f"MODE={VALUE}")
    ended = orchestrate("out", *PASSING, *options, *given, cwd=tmp_path)
    assert (ended.code, (tmp_path / "saw").read_text()) == (1, VALUE)
    told = report_of(tmp_path / "out")["warnings"]
    (warning,) = [one for one in told if "values cannot be kept" in one]
    assert [one for one in told if "no key can be kept in the private state" in one]
    assert str(tmp_path / STORE) in warning
    assert warning in [event.get("message") for event in ended.events]
    assert warning in ended.stdout

    refused = orchestrate("out", "--resume", cwd=tmp_path)
    assert (refused.code, "MODE" in refused.stderr) == (2, True)
    (tmp_path / "ready").touch()
    accepted = accepting(tmp_path / "out")  # there is no key to prove the record
    assert orchestrate("out", *accepted, *given, cwd=tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"] is True


# -- where there is no place for it ---------------------------------------------------------


@pytest.mark.parametrize(
    "env",
    [
        {"XDG_STATE_HOME": "{out}/state"},
        {"XDG_STATE_HOME": "{cwd}/link"},
        {"XDG_STATE_HOME": "{out}"},
        {"XDG_STATE_HOME": "", "HOME": "{out}"},
        {"XDG_STATE_HOME": "relative", "HOME": "also/relative"},
    ],
    ids=["below OUT", "through a link", "OUT", "home in OUT", "relative"],
)
def test_no_private_file_is_ever_in_the_output_directory(
    tmp_path: Path, env: dict[str, str]
) -> None:
    """Without a place for it none is made, a warning says so, and a resume asks for the values."""
    out = tmp_path / "out"
    (tmp_path / "link").symlink_to("out/below")
    given = {key: value.format(out=out, cwd=tmp_path) for key, value in env.items()}
    options = (*shell("manager", "exit 1"), "--manager-env", f"MODE={VALUE}")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path, env=given)
    assert ended.code == 1
    (warning,) = report_of(out)["warnings"][:1]
    assert "cannot be kept" in warning
    assert "XDG_STATE_HOME" in warning
    assert warning in ended.stdout
    assert places_of(VALUE, tmp_path) == set()
    resumed = orchestrate("out", "--resume", cwd=tmp_path, env=given)
    assert (resumed.code, "--manager-env MODE=VALUE" in resumed.stderr) == (2, True)
    again = ("--resume", "--manager-env", f"MODE={VALUE}")
    assert orchestrate("out", *again, cwd=tmp_path, env=given).code == 1
    assert {path.name for path in tmp_path.iterdir()} == {"out", "link"}


def test_without_a_home_there_is_no_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without HOME and passwd entry, no directory `~` is made; with an entry, that one is used."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", "")
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 9)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoStateDirectoryError):
        state_directory(tmp_path / "out")
    assert private_file.load("0" * 32, tmp_path / "out") is None
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("os.getuid", lambda: 0)
    assert state_directory(tmp_path / "out").is_absolute()
