"""The counted cost of a run: modules loaded, system calls made, bytes written and read.

No test here uses a clock. Each bound is in a table, with what it pays for, and is today's count:
one more fails. A bound that must grow is raised in the table, with its reason; one that falls is
lowered there.
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from fsm_orchestrator.cli.parser.names import COMPLETION_VARIABLE
from tests.contracts.cost_cases import on_linux
from tests.support.command import CHECKPOINT, PASSING, REPORT
from tests.support.counting import (
    COMMAND,
    PYTHON,
    Call,
    Installed,
    Kind,
    can_trace,
    directory_of_one_length,
    is_below,
    numbers,
    ours_of,
    size_bytes,
)

TRUE: Final = ("--manager-bin", "/bin/true", "--executor-bin", "/bin/true")
FAILING: Final = ("--manager-bin", "/bin/true", "--executor-bin", "/bin/false")
AT: Final = ("--fixed-clock", "2026-01-02T03:04:05Z")
NAMED: Final = ("--run-id", "run", *AT)
RUN: Final = ("./out", *PASSING, *TRUE, *NAMED)


# Modules


class Loads(NamedTuple):
    """The modules that a command may load.

    Attributes:
        argv: for the interpreter.
        floor: a program that does what the libraries are used for, and names the modules of the
            standard library that this program uses itself: what it loads is explained.
        ours_max: the maximum number of this program's modules.
        all_max: the maximum number of all modules, with what the floor brings.
        never: what is not loaded although the floor would explain it, or is this program's.
    """

    argv: tuple[str, ...]
    floor: str
    ours_max: int
    all_max: int
    never: tuple[str, ...]
    env: Mapping[str, str] = {}


_TEXT: Final = """
import contextlib, fcntl, gc, io, json, pathlib, runpy, select, shlex, signal, tomllib, traceback
import urllib
import click
with contextlib.redirect_stdout(io.StringIO()):
    click.Command("one", help="Some text.").main(["--help"], standalone_mode=False)
"""
_DIGEST: Final = """
try:
    import _sha2
except ImportError:
    import _sha256
"""
_COMPLETION: Final = f"{_TEXT}{_DIGEST}import click.shell_completion"
_MODELS: Final = f"""{_TEXT}{_DIGEST}
import hashlib, secrets, shlex, socket
from pydantic import BaseModel, Field, model_serializer
class Model(BaseModel):
    field: int = Field(description="text")
    @model_serializer(mode="wrap")
    def leave_out(self, write):
        return write(self)
"""
_LIBRARIES: Final = "import _ctypes, dataclasses, hashlib, pwd, socket, structlog, transitions"
_RUNNING: Final = f"{_TEXT}{_DIGEST}{_LIBRARIES}"
# Nothing here needs these; some are loaded by a library that is not kept from it.
_HEAVY: Final = (
    *("argparse", "asyncio", "concurrent", "ctypes", "difflib", "email", "http"),
    *("importlib.metadata", "importlib.resources", "msgspec", "multiprocessing", "psutil", "rich"),
    *("sqlite3", "ssl", "subprocess", "tempfile", "tomli_w", "unittest", "urllib.request", "xml"),
    "zipfile",
)
_JUDGING: Final = (
    *("pydantic", "pydantic_core", "model.parsed", "hashlib", "inspect", "ipaddress"),
)
"""The modules that only judge, explain and read back: a plainly good run needs none of them."""
_SPARED: Final = (
    *("dataclasses", "datetime", "gettext", "linecache", "locale", "logging", "ntpath", "pickle"),
    *("platform", "shlex", "signal"),
    *("six", "socket", "string", "structlog.dev", "structlog.processors", "structlog.stdlib"),
    *("structlog.tracebacks", "textwrap", "tokenize", "tomllib", "traceback", "uuid"),
    *("lifecycle.findings", "lifecycle.labels", "lifecycle.proof", "lifecycle.rules"),
)
"""The modules that libraries would load at a start, or this program to prove what is proved."""
_CORE: Final = ("pydantic", "pydantic_core", "structlog", "transitions")
_RARE: Final = (
    # Modules of this program that are for other commands, for resumes, or for runs that go wrong:
    # patterns.
    *("explanation", "inspection", "rendering", "schemas", "selftest"),
    *("config.config_file", "config.config_reading", "config.config_text", "engine.start_failure"),
    "engine.rework",
    *("lifecycle.changes", "lifecycle.diff.*", "lifecycle.guarantees", "lifecycle.verification"),
    *("lifecycle.shape", "text.validation"),
    *("preparation.effective_settings", "preparation.plan", "preparation.resume"),
    *("preparation.changes", "preparation.decision", "record.replay", "gates.in_force"),
    *("processes.descriptors", "processes.grouped", "processes.keeper_pool"),
    *("processes.leftovers", "processes.postmortem", "processes.snapshots"),
    *("record.checkpoint_reader", "record.events", "record.history_check", "record.attempt_check"),
    "record.origin_check",
    *("record.report_reader", "secrets.of_run", "stages.output_lines"),
    *(r"cli\.commands\.(?!run)\w+", "cli.parser.completion"),
)
_READING: Final = (
    # A command that only reads runs needs nothing that makes them or draws them.
    *("api", "engine", "lifecycle.verification", "processes.keeper_pool", "record.event_log"),
    *("record.recorder", "rendering", "schemas", "selftest"),
)
_COMPLETING: Final = {
    "COMP_WORDS": "fsm-orchestrator\n./out\n--man",
    "COMP_CWORD": "2",
    COMPLETION_VARIABLE: "bash_complete",
}
LOADS: Final = {
    # A good run is over before pydantic would be loaded; 194 modules of this program keep rare
    # cases in modules that are loaded when one occurs. One finds all others at a fraction of the
    # cost. Two stand for what libraries would load for nothing that is done here, one has the
    # built-in lifecycles as they were read and proved before. Seven make the record a chain that
    # nobody changes unseen: links, key, and the mark of what was left. Two hold the code that
    # stages could write to, three identify what was run by its digest, one defines how success is
    # earned.
    "run": Loads(
        ("./new", *PASSING, *TRUE), _RUNNING, 194, 300, (*_HEAVY, *_RARE, *_JUDGING, *_SPARED)
    ),
    # Help and version answer before a person notices, from a prompt or a script's check. One
    # module spares them the compilation of all patterns, one whatever libraries load for what is
    # not done here, two most of the making of named tuples and enumerations, and one, in a room of
    # its own, most of the search for modules.
    "help": Loads(("--help",), _TEXT, 22, 115, (*_HEAVY, *_CORE)),
    "help of run": Loads(
        ("run", "--help"), f"{_TEXT}{_DIGEST}", 46, 146, (*_HEAVY, *_CORE, "tomllib")
    ),
    "version": Loads(("--version",), _TEXT, 22, 96, (*_HEAVY, *_CORE)),
    # A key press waits for completion. One module has the settings of verifications. Two find the
    # built-in lifecycle as it was read before, and four of the library read none of it again; one
    # finds the record of a run that is claimed in epochs.
    "completion": Loads((), _COMPLETION, 48, 131, (*_HEAVY, *_CORE, "tomllib"), _COMPLETING),
    # These commands run again and again (watch, dashboards): no machine and no log is built to
    # look. What is read back is judged by pydantic; five modules are the declaration of this
    # program's models and its form there. Two of `logs` find out whether the events are ahead of
    # the record, for the secrets they name. Two find the key that shows whether the record is the
    # one that was left; one reads /proc.
    "status": Loads(
        ("status", "./out"), _MODELS, 147, 325, (*_HEAVY, "structlog", "transitions", *_READING)
    ),
    "logs": Loads(
        ("logs", "./out"), _MODELS, 148, 326, (*_HEAVY, "structlog", "transitions", *_READING)
    ),
}
MODELS_MAX: Final = 27
"""The number of models that a run learns to fill at every start. One is the program that a stage
was, one the end of the chain of events."""
COUNTED_WITH: Final = {
    # `all_max` counts modules of these too, so it is checked only with these installed.
    "python": "3.11",
    "click": "8.5",
    "pydantic": "2.14",
    "structlog": "26.1",
    "transitions": "0.9",
}


def matches(module: str, patterns: Sequence[str]) -> bool:
    """Return whether a module, without the package's name, is or is in one of those."""
    return any(re.fullmatch(rf"{pattern}(\..*)?", module) for pattern in patterns)


@functools.cache
def explained_by(floor: str, installed: Installed) -> frozenset[str]:
    """Return the modules that a floor loads."""
    return installed.loaded(["-c", floor], installed.folder)


@pytest.fixture(scope="session", name="loaded")
def loaded_by_commands(
    installed: Installed, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, frozenset[str]]:
    """Return the modules that each command loads."""
    cwd = tmp_path_factory.mktemp("loaded")
    installed.run([*COMMAND, *RUN], cwd)
    return {
        name: installed.loaded(["-m", "fsm_orchestrator", *one.argv], cwd, env=one.env)
        for name, one in LOADS.items()
    }


@on_linux
@pytest.mark.parametrize("name", LOADS)
def test_command_loads_no_more_modules_of_ours(
    name: str, loaded: Mapping[str, frozenset[str]]
) -> None:
    """A command loads as many of the program's modules as before, and none for something else."""
    ours = ours_of(loaded[name])
    assert [one for one in sorted(ours) if matches(one, LOADS[name].never)] == []
    assert len(ours) <= LOADS[name].ours_max, sorted(ours)


@on_linux
@pytest.mark.parametrize("name", LOADS)
def test_command_loads_nothing_that_is_not_explained(
    name: str, loaded: Mapping[str, frozenset[str]], installed: Installed
) -> None:
    """Other modules are those that the libraries load, and the few that are named here."""
    others = {one for one in loaded[name] if one.partition(".")[0] != "fsm_orchestrator"}
    assert [one for one in sorted(others) if matches(one, LOADS[name].never)] == []
    assert sorted(others - explained_by(LOADS[name].floor, installed)) == []


@on_linux
@pytest.mark.parametrize("name", LOADS)
def test_command_loads_no_more_modules_in_all(
    name: str, loaded: Mapping[str, frozenset[str]]
) -> None:
    """A command loads as many modules as before in all, with the versions that were counted."""
    here = {one: version(one) for one in COUNTED_WITH if one != "python"}
    here["python"] = "{}.{}.".format(*sys.version_info)
    if not all(f"{here[one]}.".startswith(f"{seen}.") for one, seen in COUNTED_WITH.items()):
        pytest.skip(f"counted with {COUNTED_WITH}, and here is {here}")
    assert len(loaded[name]) <= LOADS[name].all_max, sorted(loaded[name])


PLANNED: Final = """
import json, os, sys
from fsm_orchestrator import __main__ as command

def tell(code):
    from fsm_orchestrator.model.declared import BaseModel
    found, models = [BaseModel], set()
    while found:
        found += (below := found.pop().__subclasses__())
        models.update(below)
    told = [[one.__name__ for one in models if used(one)] for used in (
        lambda one: one.__plans__, lambda one: one.__forms__,
    )]
    sys.stderr.write("\\n" + json.dumps(told))
    sys.stderr.flush()
    leave(code)

leave, os._exit = os._exit, tell
command.start()
"""


@on_linux
def test_run_plans_no_more_models_and_has_pydantic_build_none(
    installed: Installed, tmp_path: Path
) -> None:
    """The number of filled models stays; none gets a parser, a serializer or a schema."""
    done = installed.run([*PYTHON, "-c", PLANNED, "./out", *PASSING, *TRUE], tmp_path)
    planned, built = json.loads(done.stderr.splitlines()[-1])
    assert "Report" in planned
    assert len(planned) <= MODELS_MAX, planned
    assert built == []


# System calls


class Cost(NamedTuple):
    """The number of operations on a disk or in the process table that a command may do.

    Attributes:
        creates: opens of a file that may be made.
        opens: other opens, of directories to be synced and files to be read.
        processes: started besides the command's own, including the keeper.
        written_bytes_max: to files in OUT.
    """

    syncs: int
    renames: int
    creates: int
    opens: int
    mkdirs: int
    reads: int
    writes: int
    processes: int
    written_bytes_max: int


class Case(NamedTuple):
    """A command, the one before it, and its permitted cost. Codes are exit codes."""

    arguments: tuple[str, ...]
    cost: Cost
    code: int = 0
    before: tuple[str, ...] = ()
    before_code: int = 0


_RETRIED: Final = (
    *("--manager-bin", "/bin/true"),
    *("--executor-bin", "/bin/sh", "--executor-arg", "-c"),
    *("--executor-arg", '[ "$ORCHESTRATOR_ATTEMPT" -gt 1 ]', "--executor-max-attempts", "2"),
    *("--executor-retry-exit-code", "1", "--executor-backoff-ms", "0"),
)
_NUMBERS_BYTES: Final = 2_000
"""The bytes that a run may write beyond the counted ones: pids, times since boot, inodes, and the
names of user and host differ in length, and are in each record."""
CASES: Final = {
    # In this order: syncs, renames, creates, opens, mkdirs, reads, writes, processes; bytes.
    # docs/durability.md explains each of the 8 syncs: the directory above OUT, OUT, the events
    # before the first stage, between the stages and at the end, and at the end checkpoint, report
    # and OUT. A new OUT gets a .gitignore, unsynced. Four transitions are four renames of the
    # checkpoint and four of the report; for each stage the checkpoint records the pid as well, to
    # outlive a kill. Processes: the keeper and two stages. Each checkpoint records where the
    # settings came from, and each signal by whom and when it was given; the events begin with the
    # whole record, from which a lost checkpoint is made again. Ten opens check whether checkpoint
    # and report are what was left in them, before they are replaced. What was left is noted in the
    # private state before each of them takes its place: a file in a directory there, seven short
    # writes and no sync; the key of it is read. Each event has the digest of the one before it.
    "run": Case(
        RUN,
        Cost(8, 10, 18, 19, 3, 14, 32, 3, 93_800),
    ),
    # Two transitions, the first durable with the second: 6 syncs. No stage, so no keeper, and no
    # folder for logs. Checkpoint and events are read once more to try the next command that is
    # printed, and compared twice with what was left: for what is said of the run, and as a resume
    # would compare them.
    "blocked": Case(
        ("./out", *TRUE, *NAMED),
        Cost(6, 4, 8, 21, 2, 25, 16, 0, 33_000),
        code=3,
    ),
    # A completed stage costs its transition, but neither process nor attempt. The record is
    # compared with what was left before anything is done. There is one more read if the clock that
    # stamps files had not ticked by the end of the run before: its events are then read whole.
    "resume": Case(
        ("./out", "--resume", "--executor-bin", "/bin/true", *AT),
        Cost(8, 9, 13, 27, 0, 36, 29, 2, 119_300),
        before=("./out", *PASSING, *FAILING, *NAMED),
        before_code=1,
    ),
    # Nothing is run again: one checkpoint and one report record the request.
    "resume of done": Case(
        ("./out", "--resume", *AT),
        Cost(6, 2, 4, 18, 0, 28, 10, 0, 29_000),
        before=RUN,
    ),
    # One more attempt: the failure and the next beginning are two steps; its pid, its two logs, and
    # one process.
    "retry": Case(
        ("./out", *PASSING, *_RETRIED, *NAMED),
        Cost(10, 15, 25, 26, 3, 21, 45, 4, 151_000),
    ),
    # An archived run: moved, not copied; the directories that it left, is in and is named in are
    # synced.
    "anew": Case(
        ("./out", *PASSING, *TRUE, "--run-id", "next", *AT),
        Cost(13, 14, 16, 28, 3, 25, 31, 3, 93_800),
        before=RUN,
    ),
    # A secret: a private file, replaced by one without the value once the run is done, and its
    # directory, made once. One more look for a module: only a variable has a digest made with a
    # key, so that other runs load nothing for it.
    "secret": Case(
        (*RUN, "--manager-env", "A=b"),
        Cost(12, 12, 20, 27, 3, 16, 36, 3, 95_100),
    ),
}


@pytest.fixture(scope="session")
def tracing() -> None:
    """Skip where system calls cannot be traced."""
    if not can_trace():
        pytest.skip("needs strace 5.3 or newer, allowed to trace, to count system calls")


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("name", CASES)
def test_command_makes_no_more_system_calls(
    name: str, installed: Installed, tmp_path: Path
) -> None:
    """A command makes as many syncs, renames, files, processes and bytes as before; no thread."""
    case = CASES[name]
    cwd = directory_of_one_length(tmp_path)
    if case.before:
        installed.run([*COMMAND, *case.before], cwd, code=case.before_code)
    calls = installed.traced(case.arguments, cwd, code=case.code)
    number = numbers(calls)
    counted = Cost(
        syncs=number[Kind.SYNC],
        renames=number[Kind.RENAME],
        creates=number[Kind.CREATE],
        opens=number[Kind.OPEN],
        mkdirs=number[Kind.MKDIR],
        reads=number[Kind.READ],
        writes=number[Kind.WRITE],
        processes=number[Kind.PROCESS],
        written_bytes_max=_size_bytes(calls, Kind.WRITE, cwd / "out") - _NUMBERS_BYTES,
    )
    grown = {
        field: f"{now}, not {bound}"
        for field, now, bound in zip(Cost._fields, counted, case.cost, strict=True)
        if now > bound
    }
    assert not grown, [f"{one.kind} {one.path.removeprefix(str(cwd))}" for one in calls]
    assert number[Kind.PROGRAM] == number[Kind.PROCESS]  # no process starts another program
    assert number[Kind.THREAD] == 0


def _size_bytes(calls: Sequence[Call], kind: Kind, directory: Path) -> int:
    return size_bytes([one for one in calls if is_below(one.path, directory)], kind)


# The cost of a list of runs for each run in it

GLANCE: Final = {
    # The run's directory, its lock, its folder of logs, report, checkpoint, one log, the events.
    Kind.OPEN: 7,
    # The beginning of the report and of the checkpoint, the end of the log; the beginning of the
    # events, for an end that a power cut kept from report and checkpoint.
    Kind.READ: 5,
    Kind.CREATE: 0,
    Kind.SYNC: 0,
    Kind.WRITE: 0,
    Kind.RENAME: 0,
    Kind.MKDIR: 0,
}
REPORT_READ_BYTES_MAX: Final = 64 * 1024  # of a report, however long its history is
CHECKPOINT_READ_BYTES_MAX: Final = 4096  # of a checkpoint: the place of its secrets' values


@pytest.fixture(name="many")
def directory_with_many(installed: Installed, tmp_path: Path) -> Path:
    """Return a working directory with 10 runs in `./ten` and 20 in `./twenty`."""
    says = ("--executor-bin", "/bin/echo", "--executor-arg", "a line")
    installed.run([*COMMAND, "./out", *PASSING, *TRUE[:2], *says], tmp_path)
    for parent, number in (("ten", 10), ("twenty", 20)):
        for index in range(number):
            shutil.copytree(tmp_path / "out", tmp_path / parent / f"run-{index:02}")
    return tmp_path


@pytest.mark.usefixtures("tracing")
def test_list_of_runs_costs_the_same_for_each(installed: Installed, many: Path) -> None:
    """Each additional run in a listed directory costs the same few calls, and writes nothing."""
    ten, twenty = (
        numbers(installed.traced(["status", parent], many)) for parent in ("./ten", "./twenty")
    )
    for_each = {kind: (twenty[kind] - ten[kind]) / 10 for kind in GLANCE}
    assert not {kind: now for kind, now in for_each.items() if now > GLANCE[kind]}
    assert twenty[Kind.PROCESS] == twenty[Kind.THREAD] == 0


@pytest.mark.usefixtures("tracing")
def test_list_of_runs_reads_no_history_and_no_whole_checkpoint(
    installed: Installed, many: Path
) -> None:
    """A run with ten thousand invocations is listed with as many reads as any other."""
    run = many / "twenty" / "run-07"
    for name, padding in ((REPORT, "earlier_invocations"), (CHECKPOINT, "completions")):
        document = json.loads((run / name).read_bytes())
        document[padding] = [{"number": number} for number in range(10_000)]
        (run / name).write_text(json.dumps(document, indent=2))
        assert (run / name).stat().st_size > 3 * REPORT_READ_BYTES_MAX
    calls = installed.traced(["status", "./twenty"], many)
    of_others = [one for one in calls if is_below(one.path, run.with_name("run-08"))]
    of_this = [one for one in calls if is_below(one.path, run)]
    assert numbers(of_this) == numbers(of_others)
    read = {name: _size_bytes(of_this, Kind.READ, run / name) for name in (REPORT, CHECKPOINT)}
    assert 0 < read[REPORT] <= REPORT_READ_BYTES_MAX
    assert 0 < read[CHECKPOINT] <= CHECKPOINT_READ_BYTES_MAX
