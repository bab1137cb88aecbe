"""`temporal`: works at runs across machines; submits, signals and lists them."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line, shown_path
from fsm_orchestrator.cli.request import format_in_environment, request_from
from fsm_orchestrator.cli.screen import Line, shown
from fsm_orchestrator.cli.style import Mark
from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.temporal.connecting import Connection, Server, connected, server_of
from fsm_orchestrator.vocabulary import ExitCode

if TYPE_CHECKING:
    from temporalio.client import Client

_Result = TypeVar("_Result")
_ENGINE: Final = ("heartbeat_ms", "retries", "retry_delay_ms", "people_ms", "wait_ms")
_SERVER: Final = Connection._fields


def worker_command(parameters: Mapping[str, Any]) -> int:
    """Work until a signal asks to end; return 0 once all runs are handed on."""
    from fsm_orchestrator.cli.worker_lines import writer
    from fsm_orchestrator.processes.undumpable import close_to_others
    from fsm_orchestrator.temporal.ordered import Terms
    from fsm_orchestrator.temporal.submission import TASK_QUEUE
    from fsm_orchestrator.temporal.worker import WorkerOptions, serve

    log_format = parameters["log_format"] or format_in_environment()
    key, health = parameters["state_key_file"], parameters["health_file"]
    if key is not None:
        from fsm_orchestrator.secrets.state_key import shared_key

        shared_key(absolute(key))  # refuses a bad key before any run is taken
    options = WorkerOptions(
        server=server_of(Connection.of(parameters)),
        task_queue=parameters["task_queue"] or TASK_QUEUE,
        jobs=parameters["jobs"] or len(os.sched_getaffinity(0)),
        terms=Terms(None if key is None else str(absolute(key)), parameters["telemetry"]),
        health_file=None if health is None else absolute(health),
        storage=tuple(absolute(one) for one in parameters["storage"]),
    )
    close_to_others()
    return serve(options, writer(console.stderr(), is_json=log_format == "json"))


def submit_command(parameters: Mapping[str, Any]) -> int:
    """Submit a run; return 0, or with `--wait` the exit code of the run."""
    from fsm_orchestrator.temporal.submission import Wish, submission_of
    from fsm_orchestrator.temporal.submitting import submit

    options = dict(parameters)
    engine = {name: options.pop(name) for name in _ENGINE}
    server = server_of(Connection.of({name: options.pop(name) for name in _SERVER}))
    request = request_from({**options, "log_format": None, "log_level": None})
    typed, default = parameters["output_directory"], Wish()
    delay, people = engine["retry_delay_ms"], engine["people_ms"]
    heartbeat = engine["heartbeat_ms"]
    wish = Wish(
        heartbeat_seconds=default.heartbeat_seconds if heartbeat is None else heartbeat / 1000,
        retries=engine["retries"] or 0,
        retry_seconds=default.retry_seconds if delay is None else delay / 1000,
        wait_seconds=None if people is None else people / 1000,
    )
    with request.config.hidden_in_errors():
        submission = submission_of(request.config, wish)

    async def do(client: Client) -> int:
        spec = await submit(client, server, submission)
        is_waited = engine["wait_ms"] is not None
        if request.as_json and not is_waited:
            console.stdout().write(_json(dataclasses.asdict(spec)))
        elif not request.as_json:
            where = shown_path(typed)
            lines = [
                Line(
                    f"submitted: run {spec.run_id} to the task queue {spec.task_queue}", Mark.GOOD
                ),
                Line(f"  status   {command_line('status', where)}"),
                Line(f"  signal   {command_line('temporal', 'signal', where)} --gate GATE VALUE"),
            ]
            console.stdout().show(shown(lines))
        if not is_waited:
            return ExitCode.DONE
        from fsm_orchestrator.cli.temporal_waiting import waited

        return await waited(client, server, spec.run_id, engine["wait_ms"], typed, request.as_json)

    return _asked(server, do)


def signal_command(parameters: Mapping[str, Any]) -> int:
    """Pass an instruction of people to a run; return 0 once the run has accepted it."""
    from fsm_orchestrator.temporal.request_file import run_id_of
    from fsm_orchestrator.temporal.signalling import tell

    instruction = _instruction(parameters)
    server = server_of(Connection.of(parameters))
    typed = parameters["output_directory"]
    run_id, where = run_id_of(absolute(typed)), shown_path(typed)

    async def do(client: Client) -> int:
        follows = await tell(client, server, run_id, instruction, where)
        if parameters["as_json"]:
            document = {"run_id": run_id, "said": instruction.kind.value, "follows": follows}
            console.stdout().write(_json(document))
        else:
            console.stdout().show(shown([Line(f"run {run_id}: {follows}", Mark.GOOD)]))
        return ExitCode.DONE

    return _asked(server, do)


def list_command(parameters: Mapping[str, Any]) -> int:
    """List the runs that the server knows; return 0."""
    from fsm_orchestrator.cli.temporal_table import document_of, lines_of
    from fsm_orchestrator.model.listing import UNREADABLE
    from fsm_orchestrator.temporal.listing import listed

    server = server_of(Connection.of(parameters))
    wanted = {word for words in parameters["states"] for word in words}

    async def do(client: Client) -> int:
        found = [one async for one in listed(client, server)]
        if wanted:
            found = [one for one in found if _word(one.standing, UNREADABLE) in wanted]
        out = console.stdout()
        if parameters["as_json"]:
            out.write(_json({"runs": [document_of(one) for one in found]}))
        else:
            out.show(shown(lines_of(found, out.width if out.is_terminal else None)))
        return ExitCode.DONE

    return _asked(server, do)


def _word(standing: Any, unreadable: str) -> str:
    return unreadable if standing is None else str(standing.value)


def _instruction(parameters: Mapping[str, Any]) -> Any:
    """Return the instruction that the options give.

    Raises:
        UsageError: they give none, or two.
    """
    from fsm_orchestrator.temporal.signalling import Instruction, InstructionKind

    pairs, is_cancel = parameters["gates"], parameters["cancel"]
    gates = dict(pairs)
    if len(gates) < len(pairs):
        raise UsageError("a gate is given twice", remedy="give one signal for each gate")
    if is_cancel and not parameters["stop"]:
        raise UsageError("--cancel goes with --stop", remedy="give --stop --cancel")
    stop = InstructionKind.CANCEL if is_cancel else InstructionKind.STOP
    said = [
        *([InstructionKind.GATES] if gates else []),
        *([InstructionKind.APPROVE] if parameters["approve"] else []),
        *([InstructionKind.RESUME] if parameters["resume"] else []),
        *([stop] if parameters["stop"] else []),
    ]
    if len(said) != 1:
        raise UsageError(
            "no instruction is given" if not said else "two instructions are given at once",
            remedy="give --gate GATE VALUE, --approve, --resume or --stop",
        )
    return Instruction(said[0], gates)


def _asked(server: Server, do: Callable[[Client], Awaitable[_Result]]) -> _Result | int:
    """Connect, and call `do` with the client; Ctrl-C ends only this command, never the run."""

    async def all_of_it() -> _Result:
        return await do(await connected(server))

    try:
        return asyncio.run(all_of_it())
    except KeyboardInterrupt:
        return SIGNAL_BASE + signal.SIGINT


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
