"""The published schemas hold for the files of real runs, and refuse what no run could have left."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter
from referencing import Registry, Resource

from fsm_orchestrator.config.config_file import ConfigFile
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.lifecycle.source import shipped_names, shipped_text
from fsm_orchestrator.record.events import parse_event
from fsm_orchestrator.schemas import SchemaName, schema_text
from fsm_orchestrator.vocabulary import EventName
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    checkpoint_of,
    environment,
    events_of,
    orchestrate,
    report_of,
    shell,
    stages,
)
from tests.support.schema_checks import Written, assert_output_valid, assert_valid, is_valid

Document: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str | int, ...]

PUBLISHED: Final = Path(__file__).parents[2] / "docs" / "schemas"
ONCE_FAILING: Final = "test -e once || { touch once; exit 1; }"
ONCE_KILLING: Final = (
    f"test -e once || {{ touch once; kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"
)
IN_THE_WAY: Final = "cd $ORCHESTRATOR_OUTPUT_DIR; for f in {}; do rm $f; mkdir $f; done"
DONE: Final = (*PASSING, *stages())
PLAN: Final = ("--manager-expected-artifact", "plan.json")
RICH: Final = (
    *(
        *PASSING,
        *stages("echo '[1]' > plan.json; sleep 60 & sleep 0.2", f"echo no >&2; {ONCE_FAILING}"),
    ),
    *(*PLAN, "--manager-env", "TOKEN=open-sesame-4711", "--manager-env", "ORCHESTRATOR_X=y"),
    *("--timeout-ms", "20000", "--kill-grace-ms", "900", "--executor-timeout-ms", "30000"),
    *("--manager-slow-after-ms", "50", "--on-leak", "warn", "--executor-output-limit", "90000"),
)
"""A run that fails, and leaves something in every field when it is resumed."""
RESUME: Final = ("--resume",)


def rewrite(path: Path, old: str, new: str) -> None:
    """Put `new` in the place of the first `old` in a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@dataclass(frozen=True, slots=True)
class Ending:
    """Commands one after the other in the same OUT, and how the last of them ends.

    `events` are names of events that the log must have; `between` comes before the last command.
    """

    commands: tuple[tuple[str, ...], ...]
    code: int
    may_close: bool
    events: str = ""
    between: Callable[[Path], object] = lambda _: None


ENDINGS: Final[Mapping[str, Ending]] = {
    "done": Ending((DONE,), 0, may_close=True, events="run.started transition run.ended"),
    "done, richly": Ending(
        (RICH, RESUME),
        0,
        may_close=True,
        events="stage.skipped run.warning process.leaked stage.slow",
    ),
    "done, with output told": Ending(
        ((*PASSING, *stages("echo one; echo two >&2"), "--log-output"),),
        0,
        may_close=True,
        events="stage.output",
    ),
    "done, a stage passed over": Ending(
        ((*PASSING, *shell("executor", "exit 0")),), 0, may_close=True, events="run.warning"
    ),
    "done after a retry": Ending(
        (
            (
                *(*PASSING, *stages(ONCE_FAILING), "--manager-max-attempts", "2"),
                *("--manager-retry-exit-code", "1", "--manager-backoff-ms", "1"),
            ),
        ),
        0,
        may_close=True,
        events="stage.retrying",
    ),
    "done twice": Ending((DONE, RESUME), 0, may_close=True, events="stage.skipped"),
    "done after another run": Ending(((*DONE, "--run-id", "first"), DONE), 0, may_close=True),
    "done after a kill": Ending(
        ((*PASSING, *stages(ONCE_KILLING)), RESUME), 0, may_close=True, events="attempt.interrupted"
    ),
    "done, an artifact lost since": Ending(
        ((*PASSING, *stages("echo 1 > plan.json"), *PLAN), RESUME),
        *(1, False),
        events="closure.refused",
        between=lambda out: (out.parent / "plan.json").unlink(),
    ),
    "blocked": Ending(((*PASSING[2:], *stages()),), 3, may_close=False, events="gate.decided"),
    "failed": Ending(
        ((*PASSING, *stages("exit 3")),), 1, may_close=False, events="stage.started stage.ended"
    ),
    "failed by a signal": Ending(
        ((*PASSING, *stages("ulimit -c 0; kill -SEGV $$")),), 1, may_close=False
    ),
    "failed to start": Ending(((*PASSING, "--manager-bin", "/no/program"),), 1, may_close=False),
    "failed for an artifact": Ending(
        ((*PASSING, *stages("echo [1, > plan.json"), *PLAN),), 1, may_close=False
    ),
    "failed to record a report": Ending(
        ((*PASSING, *stages(IN_THE_WAY.format(REPORT))),),
        *(1, False),
        events="recording.failed",
    ),
    "failed to record anything": Ending(
        ((*PASSING, *stages(IN_THE_WAY.format(f"{REPORT} {CHECKPOINT}"))),),
        *(1, False),
        events="recording.failed",
    ),
    "refused": Ending(
        (DONE, RESUME),
        *(1, False),
        events="run.refused",
        between=lambda out: rewrite(out / CHECKPOINT, '"seq":1,', '"seq":7,'),
    ),
    "timeout": Ending(
        ((*PASSING, *stages("exec sleep 60"), "--timeout-ms", "50"),), 124, may_close=False
    ),
    "interrupted": Ending(
        ((*PASSING, *stages(f"kill -INT {ORCHESTRATOR_PID}; exec sleep 60")),), 130, may_close=False
    ),
    "terminated": Ending(
        ((*PASSING, *stages(f"kill -TERM {ORCHESTRATOR_PID}; exec sleep 60")),),
        143,
        may_close=False,
    ),
    "killed": Ending(
        ((*PASSING, *stages(f"kill -KILL {ORCHESTRATOR_PID}; exec sleep 60")),), -9, may_close=False
    ),
}


def run_to(ending: Ending, folder: Path) -> Path:
    """Run the commands of an ending in `folder`; the output directory."""
    out = folder / "out"
    for command in ending.commands[:-1]:
        orchestrate("./out", *command, cwd=folder)
    ending.between(out)
    ended = orchestrate("./out", *ending.commands[-1], cwd=folder)
    assert ended.code == ending.code, ended.stderr
    return out


@cache
def closing_reader() -> Draft202012Validator:
    """A reader of reports that knows the published schema and nothing else of the program."""
    schema = json.loads((PUBLISHED / "report.schema.json").read_bytes())
    name = schema["$id"]
    registry: Registry[Any] = Registry().with_resource(name, Resource.from_contents(schema))
    closing = {"allOf": [{"$ref": name}, {"$ref": f"{name}#/$defs/ClosureReady"}]}
    return Draft202012Validator(closing, registry=registry)


def may_close(report: Any) -> bool:
    """Whether that reader would close the run."""
    return bool(closing_reader().is_valid(report))


# -- real runs ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENDINGS)
def test_files_of_every_ending_are_as_published(name: str, tmp_path: Path) -> None:
    """Whatever a run comes to, its files are valid, and the schema alone tells if it may close."""
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


# A listener that fails is the one way to have the program fail where it does not expect it.
CRASHING: Final = """\
import sys
from fsm_orchestrator import RunConfig, run

def listen(event):
    if event["event"] == "gate.decided":
        raise ZeroDivisionError

run(RunConfig(output_directory="out"), listener=listen)
"""


def test_files_of_a_crash_are_as_published(tmp_path: Path) -> None:
    """A run that ends by a bug leaves valid files, which say so and close nothing."""
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
    """No event is left out of what the runs above must have logged."""
    met = {name for ending in ENDINGS.values() for name in ending.events.split()}
    assert met | {"run.crashed"} == {name.value for name in EventName}


# -- the schemas themselves -----------------------------------------------------------------


def schemas_within(schema: Any) -> Iterator[Document]:
    """A schema and all that are part of it."""
    if isinstance(schema, list):
        for one in schema:
            yield from schemas_within(one)
    elif isinstance(schema, dict):
        yield schema
        for one in schema.values():
            yield from schemas_within(one)


@pytest.mark.parametrize("name", SchemaName)
def test_schema_is_one(name: SchemaName) -> None:
    """A schema is JSON Schema 2020-12, and says what it is about."""
    schema = json.loads(schema_text(name))
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert schema["$id"] == f"urn:fsm-orchestrator:schema:{name.value}:1"
    assert schema["title"]
    assert schema["description"]


@pytest.mark.parametrize("name", SchemaName)
def test_schema_forbids_unknown_keys_everywhere(name: SchemaName) -> None:
    """Every object either has only the keys that are listed, or is a map with a rule for each."""
    objects = [
        one for one in schemas_within(json.loads(schema_text(name))) if one.get("type") == "object"
    ]
    assert objects
    for one in objects:
        if one["additionalProperties"] is not False:
            assert one["propertyNames"]["type"] == "string"
            assert one["additionalProperties"]
            assert "properties" not in one


@pytest.mark.parametrize("model", [*SchemaName, RunConfig, ConfigFile], ids=str)
def test_every_field_is_described(model: Any) -> None:
    """Every key of every file that is written or read, and every setting, says what it means."""
    schema = (
        json.loads(schema_text(model))
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
    """What is in docs/schemas is what the models say now; `make schemas` writes it."""
    assert {path.name: path.read_text() for path in PUBLISHED.iterdir()} == {
        f"{name.value}.schema.json": schema_text(name) for name in SchemaName
    }


# -- the command ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SchemaName)
def test_command_prints_the_schema(name: SchemaName, tmp_path: Path) -> None:
    """`schema NAME` prints the schema and nothing else."""
    ended = orchestrate("schema", name.value, cwd=tmp_path)
    assert (ended.code, ended.stdout, ended.stderr) == (0, schema_text(name), "")


@pytest.mark.parametrize("arguments", [["nothing"], [], ["report", "event"]])
def test_command_without_one_known_name_is_refused(arguments: list[str], tmp_path: Path) -> None:
    """Anything but one name of a schema is a usage error; a wrong name is told all right ones."""
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


# -- forged files ---------------------------------------------------------------------------

MAPS: Final = frozenset({"stages", "env_digests"})
"""Keys whose objects may have any number of keys of their own …"""
NAMES_ARE_FREE: Final = "env_digests"
"""… of any name."""


def places_in(document: Any, place: Place = ()) -> Iterator[Place]:
    """Every place in a document; of a list only its first."""
    inside: list[tuple[str | int, Any]] = []
    if isinstance(document, dict):
        inside = list(document.items())
    elif isinstance(document, list):
        inside = list(enumerate(document[:1]))
    for key, value in inside:
        yield (*place, key)
        yield from places_in(value, (*place, key))


def at(document: Any, place: Place) -> Any:
    """What stands at a place."""
    for key in place:
        document = document[key]
    return document


def forgeries_of(document: Document) -> Iterator[tuple[str, Document]]:
    """The document with one thing wrong, for everything that could be, and what it is."""
    for place in ((), *places_in(document)):
        value = at(document, place)
        if place:
            retyped = copy.deepcopy(document)
            at(retyped, place[:-1])[place[-1]] = "yes" if isinstance(value, bool) else True
            yield f"{place} retyped", retyped
        if place and isinstance(place[-1], str) and not MAPS & {*place[-2:-1]}:
            lacking = copy.deepcopy(document)
            del at(lacking, place[:-1])[place[-1]]
            yield f"{place} removed", lacking
        if isinstance(value, dict) and place[-1:] != (NAMES_ARE_FREE,):
            extended = copy.deepcopy(document)
            at(extended, place)["Forged!"] = next(iter(value.values()))
            yield f"{place} extended", extended


def accepted(name: SchemaName, document: Document) -> list[str]:
    """The forgeries of a document that its schema does not refuse."""
    assert_valid(name, document, name.value)
    return [what for what, forged in forgeries_of(document) if is_valid(name, forged)]


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output directory of a done run that has something in every field."""
    return run_to(ENDINGS["done, richly"], tmp_path_factory.mktemp("rich"))


def test_forged_report_is_refused(rich: Path) -> None:
    """A report with a key removed, of another type or unknown, however deep, is not valid."""
    assert accepted(SchemaName.REPORT, report_of(rich)) == []


def test_forged_checkpoint_is_refused(rich: Path, tmp_path: Path) -> None:
    """A checkpoint with a key removed, of another type or unknown, however deep, is not valid."""
    done = checkpoint_of(rich)
    killed = checkpoint_of(run_to(ENDINGS["killed"], tmp_path))
    assert killed["open_attempt"] is not None
    assert accepted(SchemaName.CHECKPOINT, done) == []
    assert accepted(SchemaName.CHECKPOINT, {**done, "open_attempt": killed["open_attempt"]}) == []


def test_forged_event_is_refused(rich: Path) -> None:
    """A line with a key removed, of another type or unknown, however deep, is not valid."""
    events = {event["event"]: event for event in events_of(rich)}
    assert len(events) >= 8
    for event in events.values():
        lacking = {"run.warning": "stage", "run.ended": "containment"}.get(event["event"])
        may_lack = [f"('{lacking}',) removed"] if lacking else []
        assert accepted(SchemaName.EVENT, event) in ([], may_lack), event


# -- closing --------------------------------------------------------------------------------


def with_decision(number: int, **changes: Any) -> Callable[[Document], object]:
    """A forger that changes one of the decisions."""
    return lambda report: report["gate_decisions"][number].update(changes)


@pytest.mark.parametrize(
    "forge",
    [
        lambda report: report.update(terminal_state="failed"),
        lambda report: report.update(terminal_state=None),
        lambda report: report.update(blocked_reason_codes=["GATE_CI_NOT_SUCCESS"]),
        lambda report: report.update(gate_decisions=[]),
        lambda report: report["gate_decisions"].pop(),
        lambda report: report["gate_decisions"].append(report["gate_decisions"][0]),
        lambda report: report["gate_decisions"].reverse(),
        with_decision(1, gate="policy"),
        with_decision(0, status="deny"),
        with_decision(1, status="missing"),
        with_decision(2, passed=False),
        with_decision(2, reason_code="GATE_REVIEW_NOT_APPROVED"),
    ],
)
def test_report_that_contradicts_its_closing_is_refused(
    forge: Callable[[Document], object], rich: Path
) -> None:
    """A report that says closure_ready and anything that speaks against it is not valid."""
    report = report_of(rich)
    assert may_close(report)
    forge(report)
    assert not is_valid(SchemaName.REPORT, report)
    assert not may_close(report)
    report["closure_ready"] = False
    assert not may_close(report)


@pytest.mark.parametrize("name", ["blocked", "failed", "done, an artifact lost since"])
def test_report_of_another_ending_never_closes(name: str, tmp_path: Path) -> None:
    """A report that does not close is not made to by turning its one flag, but for a done run's."""
    report = report_of(run_to(ENDINGS[name], tmp_path))
    assert not may_close(report)
    assert is_valid(SchemaName.REPORT, report)
    report["closure_ready"] = True
    assert may_close(report) is (report["terminal_state"] == "done")


def test_reason_codes_are_for_blocked_runs(tmp_path: Path) -> None:
    """A run that is not blocked has no reason codes."""
    report = report_of(run_to(ENDINGS["blocked"], tmp_path))
    assert report["blocked_reason_codes"]
    assert not is_valid(SchemaName.REPORT, {**report, "terminal_state": "failed"})


# -- lifecycles -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", shipped_names())
def test_lifecycles_that_ship_are_valid(name: str) -> None:
    """What ships is as the schema says, as it is written."""
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
    """A source is a name or a list; what is not said is left out; nothing else is let through."""
    lifecycle = tomllib.loads(shipped_text("governed_run").decode())
    at(lifecycle, place[:-1])[place[-1]] = value
    assert is_valid(SchemaName.LIFECYCLE, lifecycle) is valid


# -- the checks that other tests lean on ----------------------------------------------------


@pytest.mark.parametrize("directory", [".", "archive/first"])
@pytest.mark.parametrize("file", [REPORT, CHECKPOINT, EVENTS])
def test_check_of_an_output_directory_can_fail(file: str, directory: str, tmp_path: Path) -> None:
    """A file with one unknown key, in the directory or its archive, does not pass."""
    out = run_to(ENDINGS["done after another run"], tmp_path)
    rewrite(out / directory / file, "{", '{"forged": 1,')
    with pytest.raises(AssertionError, match=r"'forged' was unexpected|any of the given schemas"):
        assert_output_valid(out)


def test_check_of_a_command_is_of_what_it_wrote(tmp_path: Path) -> None:
    """What was broken before a command is no affair of its check; what it breaks is."""
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
