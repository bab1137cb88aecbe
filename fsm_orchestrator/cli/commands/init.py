"""`init`: writes a directory to start from: a config file, stages, and the next commands."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import click

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line, sentences
from fsm_orchestrator.cli.new_files import CONFIG_NAME, SCRIPT_MODE, TEXT_MODE, NewFile
from fsm_orchestrator.cli.screen import prose_width
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.text.hidden import copyable, shell_line
from fsm_orchestrator.vocabulary import ExitCode

_SHIPPED: Final = {
    CONFIG_NAME: TEXT_MODE,
    "manager.sh": SCRIPT_MODE,
    "executor.sh": SCRIPT_MODE,
}
"""The files for the default lifecycle, each a copy of the one in `init_files`, with their modes."""


def init_command(parameters: Mapping[str, Any]) -> int:
    """Write the files; refuse to overwrite any of them."""
    stages, commands = parameters["stages"], parameters["commands"]
    approved = parameters["approve_before"]
    is_own = bool(stages or commands)
    typed = parameters["directory"] or (os.curdir if is_own else None)
    if typed is None:
        raise click.UsageError("missing argument 'DIR'; . is the current directory")
    if stages and commands:
        raise UsageError("--stages and --from both name the stages", remedy="give one of them")
    if approved and not is_own:
        raise UsageError("--approve-before needs stages", remedy="give --stages, or --from")
    if is_own:
        from fsm_orchestrator.cli.commands.init_stages import stages_asked

        asked = stages_asked(stages, commands, approved)
        _write(typed, asked.files)
        told = asked.told
    else:
        shipped = resources.files("fsm_orchestrator.cli.commands") / "init_files"
        _write(
            typed,
            {name: NewFile((shipped / name).read_bytes(), mode) for name, mode in _SHIPPED.items()},
        )
        told = _told_of_shipped(typed)
    names = asked.files if is_own else _SHIPPED
    out = console.stdout()
    wrote = f"{copyable(typed)}: wrote {', '.join(names)}; {CONFIG_NAME} explains each setting"
    if out.is_terminal:
        wrote = "\n".join(sentences(wrote, prose_width(out), indent="", hanging="  "))
    enter = f"  cd {shell_line((typed,))}\n" if is_own and typed != os.curdir else ""
    out.write(f"{wrote}\n\n{enter}{told}")
    return ExitCode.DONE


def _write(typed: str, new: Mapping[str, NewFile]) -> None:
    """Write all files or none.

    Raises:
        UsageError: one exists already, or cannot be written.
    """
    directory = Path(typed)
    present = [name for name in new if os.path.lexists(directory / name)]
    if present:
        raise UsageError(
            f"{copyable(directory / present[0])} is there already; nothing was written",
            remedy="name a new directory",
        )
    written: list[Path] = []
    try:
        files.make_directory(directory)
        for name, one in new.items():
            files.replace_file(directory / name, one.content, mode=one.mode)
            written.append(directory / name)
    except OSError as error:
        for path in written:
            with contextlib.suppress(OSError):
                files.remove(path)
        raise UsageError(
            f"cannot write to {copyable(directory)}: {files.reason(error)}",
            remedy="name a directory that you may write to",
        ) from error


def _told_of_shipped(typed: str) -> str:
    plan, run = (command_line(name, "./out", "--config", CONFIG_NAME) for name in ("plan", "run"))
    signals = "--policy-status allow --ci-status success --review-status approved"
    return (
        "To see what would run, and why it would not run yet (this starts nothing):\n\n"
        f"  cd {shell_line((typed,))}\n"
        f"  {plan}\n\n"
        "To run it. Each signal should come from a person or a check; here you give it:\n\n"
        f"  {run} \\\n    {signals}\n"
    )
