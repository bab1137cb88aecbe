"""Values of the environment: in nothing that the program writes, and kept for a resume."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.masking import MASK
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    Ended,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    stages,
    tree_of,
)

VALUE = "open-sesame-4711"
AWKWARD = 'two words, "quoted" \\ back\nnext line: ünïcode 🔑'
OTHER = "another-value-0815"
STORE = "state/fsm-orchestrator"


def spellings(value: str) -> set[bytes]:
    """How a value may stand in a file: as it is, as JSON, as Python shows it."""
    return {
        value.encode(),
        json.dumps(value)[1:-1].encode(),
        json.dumps(value, ensure_ascii=False)[1:-1].encode(),
        repr(value)[1:-1].encode(),
    }


def places_of(value: str, directory: Path, *shown: Ended) -> set[str]:
    """The files below `directory`, and the streams of `shown`, that hold a value in any way."""
    found = {
        name
        for name, content in tree_of(directory).items()
        if any(one in content or one in name.encode() for one in spellings(value))
    }
    streams = {
        f"{stream} {position}": text.encode()
        for position, ended in enumerate(shown)
        for stream, text in (("stdout", ended.stdout), ("stderr", ended.stderr))
    }
    return found | {
        name for name, text in streams.items() if any(one in text for one in spellings(value))
    }


def saver(name: str, then: str = "exit 0") -> str:
    """A script that leaves the value of TOKEN beside the output directory."""
    return f'printf %s "$TOKEN" > {name}; {then}'


# -- where values are not -------------------------------------------------------------------


@pytest.mark.parametrize("value", [VALUE, AWKWARD], ids=["plain", "awkward"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_values_are_in_nothing_that_the_program_writes(
    tmp_path: Path, value: str, log_format: str
) -> None:
    """Given, passed as an argument, quoted from stderr, left in a process: never written down.

    The one exception is the log into which the stage itself printed it, readable by its owner.
    """
    given_now = (
        *(*PASSING, *shell("manager", '/bin/sh -c "sleep 60; :" "$TOKEN" & exit 0')),
        *("--manager-env", f"TOKEN={value}", "--manager-arg", f"--key={value}"),
        *shell("executor", 'printf %s "$TOKEN" >&2; exit 3'),
        *("--executor-env", f"TOKEN={value}", "--log-format", log_format),
    )

    planned = orchestrate("plan", "out", *given_now[:-2], cwd=tmp_path)
    ended = orchestrate("out", *given_now, cwd=tmp_path, env={"OPERATORS_OWN": OTHER})
    as_json = orchestrate("out", "--resume", "--json", cwd=tmp_path)

    report = report_of(tmp_path / "out")
    assert (planned.code, ended.code, as_json.code) == (0, 1, 1)
    executor = report["stage_executions"][1]
    assert (executor["stderr_tail"], executor["env_keys"]) == (MASK, ["TOKEN"])
    assert report["stage_executions"][0]["args"][-1] == f"--key={MASK}"
    logs = {"logs/executor.1.stderr.log", "logs/executor.2.stderr.log"}
    assert places_of(value, tmp_path / "out", planned, ended, as_json) == logs
    assert places_of(OTHER, tmp_path / "out", ended) == set()
    for name in logs:
        assert stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "options",
    [
        ("--manager-bin", f"./{VALUE}/tool"),
        ("--manager-bin", "true", "--manager-cwd", VALUE),
        ("--manager-bin", "true", "--manager-expected-artifact", f"{VALUE}/plan.json"),
    ],
    ids=["command", "cwd", "artifact"],
)
def test_a_path_that_holds_a_value_is_masked_too(tmp_path: Path, options: tuple[str, ...]) -> None:
    """A value is secret wherever it stands: in the command, a directory, an artifact's path."""
    given_now = (*PASSING, *options, "--manager-env", f"TOKEN={VALUE}")
    planned = orchestrate("plan", "out", *given_now, cwd=tmp_path)
    ended = orchestrate("out", *given_now, cwd=tmp_path)
    resumed = orchestrate("out", "--resume", cwd=tmp_path)
    assert (planned.code, ended.code, resumed.code) == (0, 1, 1)
    assert places_of(VALUE, tmp_path / "out", planned, ended, resumed) == set()


def test_an_error_that_quotes_a_value_is_masked(tmp_path: Path) -> None:
    """Report and summary tell what went wrong without the value."""
    options = ("--manager-bin", f"./{VALUE}/tool", "--manager-env", f"TOKEN={VALUE}")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path)
    error = report_of(tmp_path / "out")["stage_executions"][0]["error"]
    assert f"{tmp_path}/{MASK}/tool" in error
    assert error in ended.stdout
    assert VALUE not in ended.stdout


LONG_LINE = "".join(f"{number:04}" for number in range(20))
MANY_LINES = "\n".join(f"key material, line {number:02}" for number in range(30))


@pytest.mark.parametrize(
    ("value", "script"),
    [
        (LONG_LINE, 'printf "%s%4060s" "$TOKEN" . >&2; exit 1'),
        (MANY_LINES, 'printf "%s" "$TOKEN" >&2; exit 1'),
        ("\r\n".join(MANY_LINES.splitlines()[:5]), 'printf "%s" "$TOKEN" >&2; exit 1'),
        (LONG_LINE[:60], 'printf "%s" "$TOKEN" >&2; printf "€%.0s" $(seq 1430) >&2; exit 1'),
    ],
    ids=["cut by size", "cut by lines", "other line ends", "characters of several bytes"],
)
def test_no_piece_of_a_value_is_quoted_from_stderr(tmp_path: Path, value: str, script: str) -> None:
    """What is quoted is masked before it is cut: no end of a value survives at the cut."""
    options = (*shell("manager", script), "--manager-env", f"TOKEN={value}")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path)
    (tmp_path / "out" / "logs" / "manager.1.stderr.log").unlink()
    for piece in value.splitlines():
        assert places_of(piece[-16:], tmp_path / "out", ended) == set()


@pytest.mark.parametrize("pair", [f"{VALUE}", f"={VALUE}"], ids=["no =", "no key"])
def test_a_malformed_pair_is_refused_without_showing_it(tmp_path: Path, pair: str) -> None:
    """A usage error names the option, not the pair; nothing is made."""
    options = ("--manager-bin", "true", "--manager-env", "A=fine", "--manager-env", pair)
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path)
    assert ended.code == 2
    assert "--manager-env" in ended.stderr
    assert places_of(VALUE, tmp_path, ended) == set()
    assert list(tmp_path.iterdir()) == []


def test_plain_words_are_not_masked(tmp_path: Path) -> None:
    """A flag's value is no secret: masking `true` would hide nothing and explain nothing."""
    options = ("--manager-bin", "true", "--manager-arg", "true", "--manager-arg", "n=1")
    flags = ("--manager-env", "ENABLED=true", "--manager-env", "COUNT=1")
    assert orchestrate("out", *PASSING, *options, *flags, cwd=tmp_path).code == 0
    execution = report_of(tmp_path / "out")["stage_executions"][0]
    assert (execution["command"], execution["args"]) == ("true", ["true", "n=1"])
    assert execution["env_keys"] == ["ENABLED", "COUNT"]


# -- where values are -----------------------------------------------------------------------


def test_values_wait_in_a_private_file_until_the_run_is_done(tmp_path: Path) -> None:
    """0600 in a 0700 directory below XDG_STATE_HOME; a resume has them exactly; done, they go."""
    options = (
        *(*PASSING, *shell("manager", saver("manager-saw"))),
        *("--manager-env", f"TOKEN={AWKWARD}"),
        *shell("executor", saver("executor-saw", "test -e ready")),
        *("--executor-arg", f"--key={VALUE}", "--executor-env", f"TOKEN={VALUE}"),
        *("--executor-env", "EMPTY=", "--executor-env", "A=b=c"),
    )
    assert orchestrate("out", *options, cwd=tmp_path).code == 1

    (private,) = (tmp_path / STORE).iterdir()
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (private, private.parent)]
    assert modes == [0o600, 0o700]
    assert places_of(VALUE, tmp_path / STORE) == {private.name}
    (tmp_path / "ready").touch()
    (tmp_path / "executor-saw").unlink()

    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0

    assert (tmp_path / "manager-saw").read_text() == AWKWARD
    assert (tmp_path / "executor-saw").read_text() == VALUE
    for value in (VALUE, AWKWARD):
        assert places_of(value, tmp_path / "state") == set()
        assert places_of(value, tmp_path / "out") == set()
    again = orchestrate("out", "--resume", *options, cwd=tmp_path)
    assert again.code == 0, again.stderr


def test_a_value_inside_an_argument_survives_a_resume_exactly(tmp_path: Path) -> None:
    """Masked in checkpoint and report, whole in what the resumed stage is given."""
    script = 'printf "%s|" "$@" > seen; test -e ready'
    options = (
        *(*PASSING, *shell("manager", script), "--manager-arg", "name"),
        *("--manager-arg", f"--key={AWKWARD}!", "--manager-arg", MASK),
        *("--manager-env", f"TOKEN={AWKWARD}"),
    )
    assert orchestrate("out", *options, cwd=tmp_path).code == 1
    kept = checkpoint_of(tmp_path / "out")["stages"]["manager"]
    assert kept["args"][3:] == [f"--key={MASK}!", MASK]
    (tmp_path / "seen").unlink()
    (tmp_path / "ready").touch()

    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0

    assert (tmp_path / "seen").read_text() == f"--key={AWKWARD}!|{MASK}|"
    assert places_of(AWKWARD, tmp_path / "out") == set()


SPELLINGS: dict[str, Callable[[dict[str, Any]], str]] = {
    "indented": lambda document: json.dumps(document, indent=2),
    "spaced": lambda document: json.dumps(document, separators=(" , ", " : ")),
    "turned round": lambda document: json.dumps(dict(reversed(document.items()))),
    "behind a long member": lambda document: json.dumps(
        {"version": document["version"] + " " * 9000, **document}
    ),
    "escaped": lambda document: json.dumps(document).replace("private_ref", "private\\u005fref"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_the_checkpoint_uncovers_a_value(tmp_path: Path, spelling: str) -> None:
    """Whoever shows what stages print masks it, however the checkpoint is laid out."""
    options = (*shell("manager", "echo token is $TOKEN; exit 1"), "--manager-env", f"TOKEN={VALUE}")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 1
    text = SPELLINGS[spelling](checkpoint_of(tmp_path / "out"))
    (tmp_path / "out" / CHECKPOINT).write_text(text)

    logs = orchestrate("logs", "out", cwd=tmp_path)
    status = orchestrate("status", "out", "out", cwd=tmp_path)
    page = orchestrate("report", "out", "--html", "page.html", cwd=tmp_path)

    assert (logs.code, status.code, page.code) == (0, 0, 0)
    assert logs.stdout == "manager | token is ***\n"
    assert "token is ***" in status.stdout
    assert "token is ***" in (tmp_path / "page.html").read_text()
    shown = (logs, status, page)
    everything = "".join(one.stdout + one.stderr for one in shown)
    assert VALUE not in everything + (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("content", ["", "{", '{"run_id": "x"}', '{"private_ref": 7}', "[]"])
def test_what_cannot_be_masked_is_not_shown(tmp_path: Path, content: str) -> None:
    """Where the checkpoint cannot say which values to mask, none of what was printed is shown."""
    options = (*shell("manager", "echo token is $TOKEN; exit 1"), "--manager-env", f"TOKEN={VALUE}")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 1
    (tmp_path / "out" / CHECKPOINT).write_text(content)

    logs = orchestrate("logs", "out", cwd=tmp_path)
    status = orchestrate("status", "out", "out", cwd=tmp_path)
    orchestrate("report", "out", "--html", "page.html", cwd=tmp_path)

    assert (logs.code, logs.stdout) == (1, "")
    assert str(tmp_path / "out" / "logs") in logs.stderr
    everything = logs.stderr + status.stdout + (tmp_path / "page.html").read_text()
    assert VALUE not in everything


def test_the_private_file_follows_the_base_directory_specification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below XDG_STATE_HOME where that is absolute, else below ~/.local/state."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("relative/path", ""):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert private_file.state_directory() == tmp_path / ".local/state/fsm-orchestrator"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))
    assert private_file.state_directory() == tmp_path / "own/fsm-orchestrator"


def test_an_unwritable_state_directory_is_a_warning_and_the_run_goes_on(tmp_path: Path) -> None:
    """The run reaches its end; report and log warn; a resume that needs the values asks."""
    (tmp_path / "state").write_text("a file is in the way")
    options = (*shell("executor", saver("saw", "test -e ready")), "--executor-env")
    ended = orchestrate("out", *PASSING, *options, f"TOKEN={VALUE}", cwd=tmp_path)
    assert (ended.code, (tmp_path / "saw").read_text()) == (1, VALUE)
    (warning,) = [one for one in report_of(tmp_path / "out")["warnings"] if "state" in one]
    assert str(tmp_path / STORE) in warning
    assert warning in [event.get("message") for event in ended.events]
    assert warning in ended.stdout

    refused = orchestrate("out", "--resume", cwd=tmp_path)
    assert (refused.code, "TOKEN" in refused.stderr) == (2, True)
    (tmp_path / "ready").touch()
    given_again = ("--executor-env", f"TOKEN={VALUE}")
    assert orchestrate("out", "--resume", *given_again, cwd=tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"] is True


# -- values that are gone, or others now ----------------------------------------------------


def test_a_stage_that_must_run_without_its_values_is_refused(tmp_path: Path) -> None:
    """Exit 2 naming the keys that are missing and the option; with them given again it runs."""
    options = (
        *shell("executor", saver("saw", "test -e ready")),
        *("--executor-env", f"TOKEN={VALUE}", "--executor-env", f"SECOND={OTHER}"),
    )
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "ready").touch()
    before = tree_of(tmp_path)

    both = orchestrate("out", "--resume", cwd=tmp_path)
    one = orchestrate("out", "--resume", "--executor-env", f"TOKEN={VALUE}", cwd=tmp_path)

    assert (both.code, one.code) == (2, 2)
    for words in ("executor", "TOKEN", "SECOND", "--executor-env"):
        assert words in both.stderr
    assert "SECOND" in one.stderr
    assert "TOKEN" not in one.stderr
    assert tree_of(tmp_path) == before
    given_again = (f"--executor-env=TOKEN={VALUE}", f"--executor-env=SECOND={OTHER}")
    assert orchestrate("out", "--resume", *given_again, cwd=tmp_path).code == 0
    assert (tmp_path / "saw").read_text() == VALUE


def test_a_completed_stage_does_not_need_its_values(tmp_path: Path) -> None:
    """A stage that is skipped is no reason to ask for what it was given."""
    options = (*stages(saver("saw"), "test -e ready"), "--manager-env", f"TOKEN={VALUE}")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 1
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


def test_arguments_that_are_only_known_masked_are_never_run(tmp_path: Path) -> None:
    """Once an argument's value is gone it is asked for, however many resumes later."""
    options = (
        *(*PASSING, *stages(saver("saw"), "exit 1")),
        *("--manager-arg", f"--key={VALUE}", "--manager-env", f"TOKEN={VALUE}"),
    )
    assert orchestrate("out", *options, cwd=tmp_path).code == 1
    shutil.rmtree(tmp_path / "state")
    assert orchestrate("out", "--resume", f"--executor-env=X={OTHER}", cwd=tmp_path).code == 1
    rerun = ("--rerun", "manager", "--manager-env", f"TOKEN={VALUE}")

    refused = orchestrate("out", "--resume", *rerun, cwd=tmp_path)

    assert refused.code == 2
    assert "--manager-arg" in refused.stderr
    assert not (tmp_path / "out" / "logs" / "manager.2.stdout.log").exists()


def test_another_value_for_a_completed_stage_is_refused_and_neither_is_shown(
    tmp_path: Path,
) -> None:
    """The key is named; the same value again is no change; a replaced one stays secret."""
    options = (
        *stages("exit 0", "test -e ready"),
        *("--manager-arg", f"--key={VALUE}", "--manager-env", f"TOKEN={VALUE}"),
    )
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    before = tree_of(tmp_path)

    changed = ("--manager-env", f"TOKEN={OTHER}")
    refused = orchestrate("out", "--resume", *changed, cwd=tmp_path)
    given_now = (*changed, "--manager-arg", f"--key={OTHER}")
    both_refused = orchestrate("out", "--resume", *given_now, cwd=tmp_path)

    assert (refused.code, both_refused.code) == (2, 2)
    assert "TOKEN" in refused.stderr
    for value in (VALUE, OTHER):
        assert places_of(value, tmp_path / "out", refused, both_refused) == set()
    assert tree_of(tmp_path) == before
    (tmp_path / "ready").touch()
    same = orchestrate("out", "--resume", f"--manager-env=TOKEN={VALUE}", cwd=tmp_path)
    assert same.code == 0
    after_done = orchestrate("out", "--resume", *changed, cwd=tmp_path)
    assert (after_done.code, "TOKEN" in after_done.stderr) == (2, True)
    for value in (VALUE, OTHER):
        assert places_of(value, tmp_path, same, after_done) == set()


def test_a_value_replaced_on_a_resume_counts_and_both_stay_secret(tmp_path: Path) -> None:
    """The new value reaches the stage; the old one is masked still, and kept no longer."""
    prints_old = 'printf %s "$TOKEN" > saw; echo "$(cat old)" >&2; test -e ready'
    (tmp_path / "old").write_text(VALUE)
    options = (*shell("manager", prints_old), "--manager-env", f"TOKEN={VALUE}")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)

    ended = orchestrate("out", "--resume", f"--manager-env=TOKEN={OTHER}", cwd=tmp_path)

    assert (ended.code, (tmp_path / "saw").read_text()) == (1, OTHER)
    assert report_of(tmp_path / "out")["stage_executions"][0]["stderr_tail"] == MASK
    logs = {"logs/manager.1.stderr.log", "logs/manager.2.stderr.log"}
    assert places_of(VALUE, tmp_path / "out", ended) == logs
    assert places_of(OTHER, tmp_path / "out", ended) == set()
    assert places_of(VALUE, tmp_path / "state") == set()
