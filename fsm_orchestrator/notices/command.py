"""Runs a command that notifies people: contained as a stage is, the notice on its stdin."""

from __future__ import annotations

import os
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.gates.sources.helper import SilentWatch
from fsm_orchestrator.model.ending_words import problem_of
from fsm_orchestrator.model.endings import Interrupted, NotSpawned
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.notices.webhook import Delivery
from fsm_orchestrator.processes.command import Command, look_up

if TYPE_CHECKING:
    from fsm_orchestrator.config.notice import Notice as NoticeGiven
    from fsm_orchestrator.notices.body import Notice
    from fsm_orchestrator.processes.runner import ProcessRunner

OUTPUT_BYTES_MAX: Final = 64 * 1024
KILL_GRACE_MS: Final = 1000
_SHELL: Final = "/bin/sh"
_FED: Final = 'exec "$@" <"$0"'
"""The stdin of a command: a stage reads nothing from it, but this command reads a file that is gone
when it has ended."""
_OURS: Final = "ORCHESTRATOR_"


def run_command(given: NoticeGiven, notice: Notice, body: bytes, runner: ProcessRunner) -> Delivery:
    """Run the command of a notice until it or its time ends; all of its processes end then."""
    assert given.command is not None  # noqa: S101 - the caller has looked
    program, *arguments = given.command
    directory = given.directory or os.curdir
    with TemporaryFile() as output, NamedTemporaryFile() as fed:
        fed.write(body)
        fed.flush()
        command = Command(
            command=program,
            args=tuple(arguments),
            cwd=directory,
            env=_environment(notice, directory),
            search_path=os.environ.get("PATH"),
            stdout=output.fileno(),
            stderr=output.fileno(),
        )
        found = look_up(command)
        if isinstance(found, NotSpawned):
            return Delivery(0, f"it cannot be started: {found.detail}")
        fed_command = command._replace(
            command=_SHELL, args=("-c", _FED, fed.name, found, *arguments)
        )
        limits = Limits(
            timeout_ms=given.timeout,
            kill_grace_ms=KILL_GRACE_MS,
            output_limit_bytes=OUTPUT_BYTES_MAX,
        )
        ended = runner.run(fed_command, limits, SilentWatch())
    if isinstance(ended.end, Interrupted):
        return Delivery(1, "it was given up: this program was asked to end")
    problem = problem_of(ended.end)
    return Delivery(1, None if problem is None else problem.cause)


def _environment(notice: Notice, directory: str) -> dict[str, str]:
    inherited = {key: one for key, one in os.environ.items() if not key.startswith(_OURS)}
    return {
        **inherited,
        "PWD": directory,
        "ORCHESTRATOR_RUN_ID": notice.run_id,
        "ORCHESTRATOR_OUTPUT_DIR": notice.output_directory,
        "ORCHESTRATOR_NOTICE_EVENT": notice.event.value,
        "ORCHESTRATOR_NOTICE_ID": notice.id,
    }
