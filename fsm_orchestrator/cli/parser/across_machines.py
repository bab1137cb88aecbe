"""The commands for runs across machines: parameters and help of the group `temporal`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from fsm_orchestrator.cli.parser.engine_options import heartbeat_option, server_options
from fsm_orchestrator.cli.parser.lists_of_runs import Standings
from fsm_orchestrator.cli.parser.names import COMMANDS
from fsm_orchestrator.cli.parser.parameters import (
    Directory,
    FilePath,
    NonEmpty,
    Once,
    Section,
    TaskQueueName,
    Whole,
    Word,
)
from fsm_orchestrator.cli.parser.parts import calls, json_option, output_directory
from fsm_orchestrator.cli.parser.sectioned import LongCommand, SectionedCommand
from fsm_orchestrator.lifecycle.source import Declared
from fsm_orchestrator.model.option_kinds import MILLISECONDS, Bounds

HELP: Final = """Run across machines: hand runs to a Temporal server, and work at them.

Temporal says when and where a run is worked at; its record stays in OUT, on storage that all
workers reach. status, explain, logs, report and approve work on it as ever. Needs the extra
`temporal`: pip install 'fsm-orchestrator[temporal]'.

\b
Example:
  fsm-orchestrator temporal worker &
  fsm-orchestrator temporal submit ./out --executor-bin ./apply.sh --policy-status allow
  fsm-orchestrator temporal signal ./out --gate ci success --gate review approved

The server is named by --address and --namespace, by TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and
TEMPORAL_API_KEY, or by the config file of Temporal.
"""
_WORKER: Final = """Work at the runs of a task queue, until asked to end.

Takes up to --jobs runs at once. Each is held by a lease that the server renews: if this worker
stops responding, its stages are ended before another worker continues. SIGTERM drains: the runs end
as if interrupted, and continue elsewhere at once; a second signal ends at once.

\b
Example:
  fsm-orchestrator temporal worker --task-queue gpu --jobs 4 --state-key-file /etc/fsm/state.key

\b
Exit codes:
  0 ended, and all runs are handed on   1 the server or the storage refuses
  2 usage error, or this machine cannot keep what a run promises
"""
_SUBMIT: Final = """Submit a run to the workers of its task queue.

Takes the options of `run`. Writes them to OUT/orchestrator_request.toml, mode 0600, where workers
read them: secrets by name alone, which each worker takes from its own environment. The server
keeps the path, and no value of a variable. OUT, paths and binaries are those of the workers.

\b
Examples:
  fsm-orchestrator temporal submit ./out --config run.toml
  fsm-orchestrator temporal submit ./out --config run.toml --retries 3 --wait 8h
  fsm-orchestrator temporal submit ./out --resume

\b
Exit codes:
  0 submitted; with --wait, those of the run, and 124 if it has not ended by then
  1 the server cannot be reached   2 usage error: nothing was written
"""
_SUBMIT_SHORT: Final = """Submit a run to the workers of its task queue.

Takes the options of `run`, named here; --help-all explains them. What is left of the run is in OUT,
as ever. The server keeps no value of a variable.

\b
Examples:
  fsm-orchestrator temporal submit ./out --config run.toml
  fsm-orchestrator temporal submit ./out --config run.toml --retries 3 --wait 8h
"""
_SIGNAL: Final = """Pass what people say to a submitted run.

A gate or value that the run does not know is refused at once. After `approve OUT`, --approve has
the gates judged again. --stop ends the invocation at work, as by SIGTERM, and the workflow; with
--cancel the server keeps that until a worker is up. `temporal submit OUT --resume`
continues a run whose workflow has ended.

\b
Examples:
  fsm-orchestrator temporal signal ./out --gate review approved
  fsm-orchestrator temporal signal ./out --resume

\b
Exit codes:
  0 passed on   1 the server or a worker does not answer   2 refused: nothing has changed
"""
_LIST: Final = """List the runs that the server knows, the latest first.

\b
Example:
  fsm-orchestrator temporal list --state waiting,failed
"""
_OF_A_MACHINE: Final = frozenset({"adopt", "as_copy", "resume_or_start", "state_key_file"})
"""The options of a run that concern its machine, or how it is typed."""
_JOBS: Final = Bounds(1, 1024, "a whole number of runs")
_RETRIES: Final = Bounds(0, 1000, "a whole number of retries")


def temporal_group(declared: Declared) -> click.Group:
    """Return the group `temporal` with its commands."""
    commands = [
        _command("worker", _WORKER, "Work at the runs of a task queue.", _worker()),
        LongCommand(
            "submit",
            short=_SUBMIT_SHORT,
            stages=declared.stages,
            help=_SUBMIT,
            short_help="Submit a run.",
            params=_submit(declared),
            callback=calls("temporal", "submit_command"),
        ),
        _command("signal", _SIGNAL, "Pass what people say to a run.", _signal()),
        _command("list", _LIST, "List the runs that the server knows.", _list()),
    ]
    return click.Group("temporal", commands, help=HELP, short_help=COMMANDS["temporal"])


def _command(name: str, text: str, short: str, params: Sequence[click.Parameter]) -> click.Command:
    return SectionedCommand(
        name,
        help=text,
        short_help=short,
        params=[*params],
        callback=calls("temporal", f"{name}_command"),
    )


def _worker() -> list[click.Parameter]:
    section = "Work"
    return [
        Once(
            section,
            "--task-queue",
            type=TaskQueueName(),
            help="The task queue to take runs from (default: fsm-orchestrator).",
        ),
        Once(
            section,
            ("--jobs", "-j"),
            type=Whole(_JOBS),
            help="How many runs to work at in parallel (default: as many as there are processors).",
        ),
        Once(
            section,
            "--state-key-file",
            type=FilePath("FILE"),
            help="The key that proves the records, as for a run. All workers need the same one.",
        ),
        Section(
            section,
            "--storage",
            multiple=True,
            type=Directory("DIR"),
            help="Try before anything else whether runs can be kept in DIR. Repeatable.",
        ),
        Section(
            section,
            "--telemetry",
            is_flag=True,
            help="Send each run to OpenTelemetry, as --telemetry of a run does.",
        ),
        Once(
            section,
            "--health-file",
            type=FilePath("FILE"),
            help="Write the worker's health to FILE every 5 seconds, as JSON; removed at its end.",
        ),
        Once(
            "Output",
            "--log-format",
            type=Word(("text", "json")),
            help="Format of its log on stderr: text (the default), or json, one line per event."
            " FSM_ORCHESTRATOR_LOG_FORMAT sets it as well.",
        ),
        *server_options(),
    ]


def _submit(declared: Declared) -> list[click.Parameter]:
    from fsm_orchestrator.cli.parser.run_options import output_options, run_options

    engine = "Engine"
    shown = [one for one in output_options() if one.name in {"log_output", "telemetry"}]
    return [
        output_directory(),
        *(one for one in run_options(declared) if one.name not in _OF_A_MACHINE),
        heartbeat_option(engine),
        Once(
            engine,
            "--retries",
            type=Whole(_RETRIES),
            help="How often a run that failed or timed out is resumed automatically (default 0).",
        ),
        Once(
            engine,
            ("--retry-delay", "--retry-delay-ms", "retry_delay_ms"),
            type=Whole(MILLISECONDS),
            help="How long to wait before the first retry (default 10s); each later wait is"
            " twice as long.",
        ),
        Once(
            engine,
            ("--wait-for-people", "--wait-for-people-ms", "people_ms"),
            type=Whole(MILLISECONDS),
            help="How long the workflow waits for people before it ends (default: until they come)."
            " Submit the run with --resume to continue later.",
        ),
        Once(
            "Run",
            ("--wait", "--wait-ms", "wait_ms"),
            type=Whole(MILLISECONDS),
            help="Wait up to this long for the end of the run, and exit as it does: 8h, 30m.",
        ),
        *shown,
        json_option(),
        *server_options(),
    ]


def _signal() -> list[click.Parameter]:
    section = "Instructions"
    return [
        output_directory(),
        Section(
            section,
            ("--gate", "gates"),
            nargs=2,
            multiple=True,
            metavar="GATE VALUE",
            type=NonEmpty("GATE VALUE"),
            help="Signal a gate, and continue: review approved. Repeatable.",
        ),
        Section(
            section, "--approve", is_flag=True, help="People have approved: judge the gates again."
        ),
        Section(section, "--resume", is_flag=True, help="Resume the run as it is."),
        Section(section, "--stop", is_flag=True, help="End what is at work, and the workflow."),
        Section(section, "--cancel", is_flag=True, help="With --stop: leave it with the server."),
        json_option(),
        *server_options(),
    ]


def _list() -> list[click.Parameter]:
    return [
        Section(
            "Runs",
            ("--state", "states"),
            multiple=True,
            type=Standings(),
            help="List only runs that stand there, as for `status`; several with commas.",
        ),
        json_option(),
        *server_options(),
    ]
