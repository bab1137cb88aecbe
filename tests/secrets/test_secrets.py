"""Declared secrets: in nothing that the program writes, kept nowhere, required again."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.secrets.masking import MASK
from tests.secrets.secret_cases import AWKWARD, OTHER, VALUE, places_of
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    PASSING,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
)


@pytest.mark.parametrize("value", [VALUE, AWKWARD], ids=["plain", "awkward"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_values_are_in_nothing_that_the_program_writes(
    tmp_path: Path, value: str, log_format: str
) -> None:
    """A given, passed, quoted or leaked value is never written down by the program.

    The one exception is the log into which the stage itself printed it, readable by its owner.
    """
    given_now = (
        *(*PASSING, *shell("manager", '/bin/sh -c "sleep 60; :" "$TOKEN" & exit 0')),
        *("--manager-secret", "TOKEN", "--manager-arg", f"--key={value}"),
        *shell("executor", 'printf %s "$TOKEN" >&2; exit 3'),
        *("--executor-secret", "TOKEN", "--log-format", log_format),
    )
    env = {"TOKEN": value}

    planned = orchestrate("plan", "out", *given_now[:-2], cwd=tmp_path, env=env)
    ended = orchestrate("out", *given_now, cwd=tmp_path, env={**env, "OPERATORS_OWN": OTHER})
    as_json = orchestrate("out", "--resume", "--json", cwd=tmp_path, env=env)

    report = report_of(tmp_path / "out")
    assert (planned.code, ended.code, as_json.code) == (0, 1, 1)
    executor = report["stage_executions"][1]
    assert (executor["stderr_tail"], executor["env_keys"]) == (MASK, ["TOKEN"])
    assert report["stage_executions"][0]["args"][-1] == f"--key={MASK}"
    logs = {"logs/executor.1.stderr.log", "logs/executor.2.stderr.log"}
    assert places_of(value, tmp_path / "out", planned, ended, as_json) == logs
    assert places_of(value, tmp_path / "state") == set()
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
    """A value is secret everywhere: in the command, a directory, an artifact's path."""
    given_now = (*PASSING, *options, "--manager-secret", "TOKEN")
    env = {"TOKEN": VALUE}
    planned = orchestrate("plan", "out", *given_now, cwd=tmp_path, env=env)
    ended = orchestrate("out", *given_now, cwd=tmp_path, env=env)
    resumed = orchestrate("out", "--resume", cwd=tmp_path, env=env)
    assert (planned.code, ended.code, resumed.code) == (0, 1, 1)
    assert places_of(VALUE, tmp_path / "out", planned, ended, resumed) == set()


def test_an_error_that_quotes_a_value_is_masked(tmp_path: Path) -> None:
    """Report and summary name the failure without the value."""
    options = ("--manager-bin", f"./{VALUE}/tool", "--manager-secret", "TOKEN")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path, env={"TOKEN": VALUE})
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
    """A quotation is masked before it is cut, so no end of a value remains at the cut."""
    options = (*shell("manager", script), "--manager-secret", "TOKEN")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path, env={"TOKEN": value})
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


def test_a_value_inside_an_argument_survives_a_resume_exactly(tmp_path: Path) -> None:
    """It is masked in checkpoint and report, and complete for the resumed stage."""
    script = 'printf "%s|" "$@" > seen; test -e ready'
    options = (
        *(*PASSING, *shell("manager", script), "--manager-arg", "name"),
        *("--manager-arg", f"--key={AWKWARD}!", "--manager-arg", MASK),
        *("--manager-secret", "TOKEN"),
    )
    env = {"TOKEN": AWKWARD}
    assert orchestrate("out", *options, cwd=tmp_path, env=env).code == 1
    kept = checkpoint_of(tmp_path / "out")["stages"]["manager"]
    assert kept["args"][3:] == [f"--key={MASK}!", MASK]
    (tmp_path / "seen").unlink()
    (tmp_path / "ready").touch()

    assert orchestrate("out", "--resume", cwd=tmp_path, env=env).code == 0

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
    """Output of stages is masked, however the checkpoint is formatted."""
    options = (*shell("manager", "echo token is $TOKEN; exit 1"), "--manager-secret", "TOKEN")
    env = {"TOKEN": VALUE}
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=env).code == 1
    text = SPELLINGS[spelling](checkpoint_of(tmp_path / "out"))
    (tmp_path / "out" / CHECKPOINT).write_text(text)

    logs = orchestrate("logs", "out", cwd=tmp_path, env=env)
    status = orchestrate("status", "out", "out", cwd=tmp_path, env=env)
    page = orchestrate("report", "out", "--html", "page.html", cwd=tmp_path, env=env)

    assert (logs.code, status.code, page.code) == (0, 0, 0)
    assert logs.stdout == "manager | token is ***\n"
    assert "token is ***" in status.stdout
    assert "token is ***" in (tmp_path / "page.html").read_text()
    shown = (logs, status, page)
    everything = "".join(one.stdout + one.stderr for one in shown)
    assert VALUE not in everything + (tmp_path / "page.html").read_text()


@pytest.mark.parametrize("content", ["", "{", '{"run_id": "x"}', '{"private_ref": 7}', "[]"])
def test_what_cannot_be_masked_is_not_shown(tmp_path: Path, content: str) -> None:
    """Without a record of the values to mask, no output is shown."""
    options = (*shell("manager", "echo token is $TOKEN; exit 1"), "--manager-secret", "TOKEN")
    env = {"TOKEN": VALUE}
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=env).code == 1
    (tmp_path / "out" / CHECKPOINT).write_text(content)
    (tmp_path / "out" / EVENTS).unlink()  # otherwise a torn record is restored from them

    logs = orchestrate("logs", "out", cwd=tmp_path, env=env)
    status = orchestrate("status", "out", "out", cwd=tmp_path, env=env)
    orchestrate("report", "out", "--html", "page.html", cwd=tmp_path, env=env)

    assert (logs.code, logs.stdout) == (1, "")
    assert str(tmp_path / "out" / "logs") in logs.stderr
    everything = logs.stderr + status.stdout + (tmp_path / "page.html").read_text()
    assert VALUE not in everything


def test_run_id_that_holds_a_secret_is_refused_unseen(tmp_path: Path) -> None:
    """It would name files and events: it is refused, not printed, and nothing is written."""
    options = (
        *shell("manager", "true"),
        "--manager-secret",
        "API_TOKEN",
        "--run-id",
        "run-hunter2secret",
    )
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path, env={"API_TOKEN": "hunter2secret"})
    assert ended.code == 2
    assert "the value of secret API_TOKEN is in the run id" in ended.stderr
    assert "hunter2secret" not in ended.stderr + ended.stdout
    assert not (tmp_path / "out").exists()
