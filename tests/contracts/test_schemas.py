"""The published schemas hold for the files of real runs, and are current."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from fsm_orchestrator.config.config_file import ConfigFile
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.lifecycle.source import shipped_names, shipped_text
from fsm_orchestrator.record.events import parse_event
from fsm_orchestrator.schemas import SchemaName, schema_text
from fsm_orchestrator.vocabulary import EventName
from tests.contracts.schema_cases import (
    ENDINGS,
    PUBLISHED,
    Document,
    Place,
    at,
    may_close,
    rewrite,
    run_to,
)
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    REPORT,
    environment,
    events_of,
    orchestrate,
    report_of,
)
from tests.support.schema_checks import Written, assert_output_valid, assert_valid, is_valid

text_of = cache(schema_text)

# -- real runs ------------------------------------------------------------------------------


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", ENDINGS)
def test_files_of_every_ending_are_as_published(name: str, tmp_path: Path) -> None:
    """The files of every ending are valid, and the schema alone shows whether the run may close."""
    ending = ENDINGS[name]
    out = run_to(ending, tmp_path)
    assert_output_valid(out)
    lines = (out / EVENTS).read_bytes().splitlines()
    assert {*ending.events.split()} <= {parse_event(line).event.value for line in lines}
    if (out / REPORT).is_file():
        report = report_of(out)
        assert report["closure_ready"] is may_close(report) is ending.may_close
    else:
        assert not ending.may_close


CRASHING: Final = """\
import sys
from fsm_orchestrator import RunConfig, run
from fsm_orchestrator.record.event_file import EventFile

real = EventFile.write

def write(file, event):
    real(file, event)
    if event["event"] == "gate.decided":
        raise ZeroDivisionError

EventFile.write = write

run(RunConfig(output_directory="out"))
"""


def test_files_of_a_crash_are_as_published(tmp_path: Path) -> None:
    """A run that ends by a bug leaves valid files, which record the bug and close nothing."""
    state = str(tmp_path / "state")
    command = [sys.executable, "-c", CRASHING]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=state),
        capture_output=True,
        check=False,
    )
    assert b"ZeroDivisionError" in done.stderr
    assert_output_valid(tmp_path / "out")
    assert events_of(tmp_path / "out")[-1]["event"] == "run.crashed"
    assert may_close(report_of(tmp_path / "out")) is False


def test_endings_meet_every_event() -> None:
    """The runs above must have logged every event."""
    met = {name for ending in ENDINGS.values() for name in ending.events.split()}
    rare = {*("run.crashed", "invocations.moved", "gate.waiting"), "report.unplaced", "chain.gap"}
    # Tests of their own cover the rare ones.
    assert met | rare == {name.value for name in EventName}


# -- the schemas themselves -----------------------------------------------------------------


def schemas_within(schema: Any) -> Iterator[Document]:
    """Yield a schema and all schemas that are part of it."""
    if isinstance(schema, list):
        for one in schema:
            yield from schemas_within(one)
    elif isinstance(schema, dict):
        yield schema
        for one in schema.values():
            yield from schemas_within(one)


@pytest.mark.parametrize("name", SchemaName)
def test_schema_is_one(name: SchemaName) -> None:
    """A schema is JSON Schema 2020-12, and has a description."""
    schema = json.loads(text_of(name))
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"] == f"urn:fsm-orchestrator:schema:{name.value}:1"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("name", SchemaName)
def test_schema_forbids_unknown_keys_everywhere(name: SchemaName) -> None:
    """Every object either has only the listed keys, or is a map with a rule for each."""
    document = json.loads(text_of(name))
    objects = [one for one in schemas_within(document) if one.get("type") == "object"]
    assert objects
    for one in objects:
        if one["additionalProperties"] is not False:
            names = one["propertyNames"]
            if "$ref" in names:  # one of a closed set
                names = document["$defs"][names["$ref"].rpartition("/")[2]]
                assert names["enum"]
            assert names["type"] == "string"
            assert one["additionalProperties"]
            assert "properties" not in one


@pytest.mark.parametrize("model", [*SchemaName, RunConfig, ConfigFile], ids=str)
def test_every_field_is_described(model: Any) -> None:
    """Every key of every file, and every setting, has a description."""
    schema = (
        json.loads(text_of(model))
        if isinstance(model, SchemaName)
        else TypeAdapter(model).json_schema()
    )
    silent = [
        key
        for one in schemas_within(schema)
        if one.get("type") == "object"
        for key, value in one.get("properties", {}).items()
        if not value.get("description", "").endswith(".")
    ]
    assert silent == []


def test_published_schemas_are_current() -> None:
    """docs/schemas agrees with the models; `make schemas` writes it."""
    assert {path.name: path.read_text() for path in PUBLISHED.iterdir()} == {
        f"{name.value}.schema.json": text_of(name) for name in SchemaName
    }


# -- the command ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SchemaName)
def test_command_prints_the_schema(name: SchemaName, tmp_path: Path) -> None:
    """`schema NAME` prints the schema and nothing else."""
    ended = orchestrate("schema", name.value, cwd=tmp_path)
    assert (ended.code, ended.stdout, ended.stderr) == (0, text_of(name), "")


@pytest.mark.parametrize("arguments", [["nothing"], ["report", "event"]])
def test_command_with_another_name_is_refused(arguments: list[str], tmp_path: Path) -> None:
    """A wrong name gets all names, and two names are refused; without a name they are listed."""
    ended = orchestrate("schema", *arguments, cwd=tmp_path)
    assert (ended.code, ended.stdout) == (2, "")
    if len(arguments) < 2:
        assert all(name.value in ended.stderr for name in SchemaName)
    assert list(tmp_path.iterdir()) == []


LOOKING: Final = """\
import sys
from fsm_orchestrator.cli.main import run_command_line
assert run_command_line(["schema", "--help"]) == 0
assert not {"pydantic", "transitions", "structlog"} & set(sys.modules)
"""


def test_help_of_the_command_loads_nothing_heavy(tmp_path: Path) -> None:
    """`schema --help` names the schemas without loading the models behind them."""
    done = subprocess.run(
        [sys.executable, "-c", LOOKING],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name.value in done.stdout for name in SchemaName)


def test_run_loads_no_schemas() -> None:
    """Neither the models of log lines nor the schemas are loaded by a run."""
    looking = "import sys, fsm_orchestrator.api; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", looking],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = done.stdout.split()
    assert "fsm_orchestrator.record.report" in loaded
    assert not {"fsm_orchestrator.record.events", "fsm_orchestrator.schemas"} & {*loaded}


# -- lifecycles -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_names())
def test_lifecycles_that_ship_are_valid(name: str) -> None:
    """The built-in lifecycles fit the schema as they are written."""
    assert_valid(SchemaName.LIFECYCLE, tomllib.loads(shipped_text(name).decode()), name)


@pytest.mark.parametrize(
    ("place", "value", "valid"),
    [
        (("transition", 0, "source"), "pending", True),
        (("transition", 0, "source"), ["pending"], True),
        (("transition", 0, "source"), {"name": "pending"}, False),
        (("transition", 0, "source"), "Pending", False),
        (("transition", 0, "guard"), "gates_hold", True),
        (("transition", 0, "guard"), None, False),
        (("transition", 0, "guard"), "always", False),
        (("transition", 0, "why"), "two\nlines", False),
        (("transition", 0, "command"), "rm", False),
        (("state", 2, "timeout_ms"), 1, True),
        (("state", 2, "timeout_ms"), 0, False),
        (("state", 2, "timeout_ms"), None, False),
        (("gates_guard",), "none", False),
        (("schema_version",), 2, False),
        (("state",), [], False),
    ],
)
def test_lifecycle_as_a_person_writes_it(place: Place, value: Any, valid: bool) -> None:
    """A source is a name or a list, unset keys are left out, and nothing else is accepted."""
    lifecycle = tomllib.loads(shipped_text("governed_run").decode())
    at(lifecycle, place[:-1])[place[-1]] = value
    assert is_valid(SchemaName.LIFECYCLE, lifecycle) is valid


SHORT = {"schema_version": 1, "name": "x", "title": "x", "stages": ["plan", "apply"]}


@pytest.mark.parametrize(
    ("more", "valid"),
    [
        ({}, True),
        ({"stages": ["plan", {"name": "apply", "timeout": "5m", "effects": False}]}, True),
        ({"gates": ["policy", {"name": "review", "before": "apply"}]}, True),
        ({"evidence": "required", "gates_guard": "closure"}, True),
        ({"stages": []}, False),
        ({"stages": ["plan", 3]}, False),
        ({"stages": [{"name": "apply", "kind": "stage"}]}, False),
        ({"gates": [{"name": "review", "after": "apply"}]}, False),
        ({"initial": "plan"}, False),
        ({"transition": []}, False),
    ],
)
def test_short_form_of_a_lifecycle(more: dict[str, Any], valid: bool) -> None:
    """The short form has names or tables, and no part of the form with written-out states."""
    assert is_valid(SchemaName.LIFECYCLE, {**SHORT, **more}) is valid


# -- the checks that other tests rely on -----------------------------------------------------


@pytest.mark.parametrize("directory", [".", "archive/first"])
@pytest.mark.parametrize("file", [REPORT, CHECKPOINT, EVENTS])
def test_check_of_an_output_directory_can_fail(file: str, directory: str, tmp_path: Path) -> None:
    """A file with one unknown key, in the directory or its archive, does not pass."""
    out = run_to(ENDINGS["done after another run"], tmp_path)
    rewrite(out / directory / file, "{", '{"forged": 1,')
    with pytest.raises(AssertionError, match=r"'forged' was unexpected|any of the given schemas"):
        assert_output_valid(out)


def test_check_of_a_command_is_of_what_it_wrote(tmp_path: Path) -> None:
    """The check ignores what was broken before a command, and finds what the command breaks."""
    out = run_to(ENDINGS["done"], tmp_path)
    for file in (REPORT, EVENTS):
        rewrite(out / file, "{", '{"forged": 1,')
    written = Written(["./out"], tmp_path)
    written.assert_valid()
    rewrite(out / CHECKPOINT, "{", "{ ")
    last_line = (out / EVENTS).read_text().splitlines()[-1]
    with (out / EVENTS).open("a") as log:
        log.write(f"{last_line}\n")
    written.assert_valid()
    rewrite(out / REPORT, '"forged"', '"forged again"')
    with pytest.raises(AssertionError, match="'forged again' was unexpected"):
        written.assert_valid()
