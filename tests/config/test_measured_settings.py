"""Durations and sizes in every option and key, with and without unit, under both names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.lifecycle.reading import load_lifecycle
from fsm_orchestrator.model.option_kinds import StageOption
from fsm_orchestrator.model.spelled_out import MEASURED
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.model.verify_options import VERIFY_OPTIONS
from fsm_orchestrator.text.units import Measure
from tests.cli.cli_cases import everything
from tests.support.command import PASSING, orchestrate, report_of, stages

ROWS = [one for one in STAGE_OPTIONS if one.measured]
IDS = [one.key for one in ROWS]
TEXT = {Measure.MILLISECONDS: ("1m30s", 90_000), Measure.BYTES: ("64KiB", 65_536)}
OF_RUN = ("timeout", "kill_grace")
RUNS = "\n".join(f'[stage.{stage}]\nbin = "true"\n' for stage in ("manager", "executor"))
STATES = Path(__file__).parents[2] / "states"


def text_of(row: StageOption) -> tuple[str, int]:
    """Return a text for the row's value, and its meaning."""
    measure = MEASURED[row.key].measure
    assert measure is not None
    return TEXT[measure]


def shown(folder: Path, text: str) -> dict[str, tuple[Any, str]]:
    """Return the settings of a config file, each with its source."""
    (folder / "run.toml").write_text(text)
    ended = orchestrate("config", "show", "run.toml", "--json", cwd=folder)
    assert ended.code == 0, ended.stderr
    return {one["key"]: (one["value"], one["source"]) for one in json.loads(ended.stdout)}


def table_of(row: StageOption, line: str) -> str:
    """Return a config file with that line, the fourth, in the table of the row."""
    retry = "max_attempts = 2\ntimeouts = true\n"
    head = f"[stage.manager.retry]\n{retry}" if row.table else '[stage.manager]\nbin = "true"\n\n'
    rest = '\n[stage.manager]\nbin = "true"' if row.table else ""
    return f"{head}{line}{rest}\n"


def test_every_number_with_a_unit_has_a_name_without_it() -> None:
    """Each row that counts milliseconds or bytes has a name without the unit."""
    ends = ("_ms", "_bytes", "_ms_max", "_bytes_max")
    assert {one.key for one in STAGE_OPTIONS if one.key.endswith(ends)} == {one.key for one in ROWS}


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_key_takes_text_and_number_under_both_names(tmp_path: Path, row: StageOption) -> None:
    """Each of the four notations is the same setting, found in its line."""
    text, value = text_of(row)
    key = ".".join(("stage", "manager", *row.path))
    for name in (row.measured, row.key):
        for written in (f'"{text}"', f'"{value}"', str(value)):
            found = shown(tmp_path, table_of(row, f"{name} = {written}"))[key]
            assert found == (value, "run.toml:4"), (name, written)


@pytest.mark.parametrize("name", OF_RUN)
def test_key_of_the_run_takes_text_and_number_under_both_names(tmp_path: Path, name: str) -> None:
    """A key for all stages takes the same notations."""
    for line in (f'{name} = "10m"', f"{name} = 600000", f'{name}_ms = "10m"'):
        assert shown(tmp_path, f"{line}\n{RUNS}")[f"{name}_ms"] == (600_000, "run.toml:1")


IN_LIFECYCLES = [one for one in ROWS if one not in VERIFY_OPTIONS]
"""The rows that a lifecycle can have; it has no commands, and so no verifications."""


@pytest.mark.parametrize("row", IN_LIFECYCLES, ids=lambda one: one.key)
def test_lifecycle_takes_text_and_number_under_both_names(tmp_path: Path, row: StageOption) -> None:
    """Limits and retries of a state take the same notations, with the same digest."""
    text, value = text_of(row)
    stage = 'name = "manager"\nkind = "stage"\n'
    shipped = (STATES / "governed_run.toml").read_text()
    assert stage in shipped
    digests = set()
    for name in (row.measured, row.key):
        for written in (f'"{text}"', str(value)):
            line = f"{name} = {written}\n"
            if row.table:
                line = f"retry = {{ {name} = {written} }}\n"
            path = tmp_path / "own.toml"
            path.write_text(shipped.replace(stage, stage + line))
            lifecycle = load_lifecycle(path)
            state: Any = lifecycle.states["manager"]
            for part in row.path:
                state = getattr(state, part)
            assert state == value
            digests.add(lifecycle.sha256)
    assert len(digests) == 1


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_option_takes_text_and_number_under_both_names(tmp_path: Path, row: StageOption) -> None:
    """`--print-config` prints the value of the option."""
    text, value = text_of(row)
    for suffix in row.suffixes:
        for written in (text, str(value)):
            option = (f"--manager-{suffix}", written, "--manager-bin", "true")
            ended = orchestrate("run", "./out", *option, "--print-config", cwd=tmp_path)
            assert f"{row.key} = {value}\n" in ended.stdout, ended.stderr


@pytest.mark.parametrize("name", ["timeout", "kill-grace"])
def test_option_of_the_run_takes_text_under_both_names(tmp_path: Path, name: str) -> None:
    """An option for all stages takes the same notations."""
    key = name.replace("-", "_") + "_ms"
    for option in (f"--{name}", f"--{name}-ms"):
        ended = orchestrate("run", "./out", option, "1.5s", "--print-config", cwd=tmp_path)
        assert f"{key} = 1500\n" in ended.stdout


@pytest.mark.parametrize(
    ("first", "second"),
    [
        *((f"--manager-{row.suffixes[0]}", f"--manager-{row.suffix}") for row in ROWS),
        ("--timeout", "--timeout-ms"),
        ("--kill-grace", "--kill-grace-ms"),
    ],
)
def test_one_option_under_two_names_is_refused(tmp_path: Path, first: str, second: str) -> None:
    """Giving an option under both names is refused, whatever the values."""
    ended = orchestrate("./out", *stages(), first, "5", second, "5", cwd=tmp_path)
    assert ended.code == 2
    assert first in ended.stderr
    assert "once is enough" in ended.stderr
    assert everything(tmp_path) == {}


WRONG = {
    'timeout = "1.5x"': "key 'timeout': '1.5x' is no duration: write 90s, 10m, 1h30m",
    'timeout_ms = "10 m"': "key 'timeout_ms': '10 m' is no duration",
    'timeout = "30d"': "'30d' is 2592000000, not a whole number of milliseconds from 1 to 2147483",
    'timeout = "0s"': "'0s' is 0, not a whole number of milliseconds from 1",
    "timeout = -5": "-5 is not a whole number of milliseconds",
    "timeout = 1.5": "1.5 is not a whole number of milliseconds",
    "timeout = true": "true is not a whole number of milliseconds",
    'timeout = ["5s"]': "a list is not a whole number of milliseconds",
    'timeout = "5s"\ntimeout_ms = 5000': "key 'timeout': 'timeout_ms' means the same",
    'tiemout = "5s"': "did you mean 'timeout'?",
}


@pytest.mark.parametrize("line", WRONG)
def test_wrong_value_is_refused_in_its_line(tmp_path: Path, line: str) -> None:
    """The refusal has the value, the line and what to write, also in a lifecycle."""
    (tmp_path / "run.toml").write_text(f"{line}\n{RUNS}")
    ended = orchestrate("config", "check", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert ended.stderr.startswith("fsm-orchestrator: run.toml:1: ")
    assert WRONG[line] in ended.stderr
    stage = 'name = "manager"\nkind = "stage"\n'
    text = (STATES / "governed_run.toml").read_text().replace(stage, f"{stage}{line}\n")
    (tmp_path / "own.toml").write_text(text)
    of_lifecycle = orchestrate("./out", "--lifecycle", "./own.toml", cwd=tmp_path)
    assert of_lifecycle.code == 2
    assert "own.toml: state 'manager': " in of_lifecycle.stderr
    assert WRONG[line] in of_lifecycle.stderr
    assert not (tmp_path / "out").exists()


def test_limit_with_a_unit_ends_a_stage(tmp_path: Path) -> None:
    """A real stage is ended at its limit, which the report names."""
    ended = orchestrate(
        "./out", *PASSING, *stages("sleep 60", "exit 0"), "--manager-timeout", "0.3s", cwd=tmp_path
    )
    assert ended.code == 124
    assert "timed out after 300ms" in report_of(tmp_path / "out")["stage_executions"][0]["error"]


def test_start_of_a_stage_says_a_limit_that_is_the_default(tmp_path: Path) -> None:
    """The start of a stage names a default limit, in line and event, and not one that was set."""
    options = ("--executor-timeout", "10m", "--log-format", "text")
    ended = orchestrate("./out", *PASSING, *stages(), *options, cwd=tmp_path)
    assert "manager: started, attempt 1, limit 30s (the default)\n" in ended.stderr
    assert "executor: started, attempt 1\n" in ended.stderr
    lines = (tmp_path / "out/orchestrator_events.jsonl").read_text().splitlines()
    started = [one for one in map(json.loads, lines) if one["event"] == "stage.started"]
    assert [(one["timeout_ms"], one["is_default_timeout"]) for one in started] == [
        (30_000, True),
        (600_000, False),
    ]
