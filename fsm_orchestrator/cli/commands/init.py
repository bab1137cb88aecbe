"""`init`: a directory to start from: a config file, two stub stages and the next command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import command_line
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.text.hidden import shell_line
from fsm_orchestrator.vocabulary import ExitCode

CONFIG_NAME: Final = "run.toml"

_MODES: Final[Mapping[str, int]] = {CONFIG_NAME: 0o666, "manager.sh": 0o777, "executor.sh": 0o777}
"""The files that are written, each a copy of the one in `init_files`, with their modes."""


def init_command(parameters: Mapping[str, Any]) -> int:
    """Write the files; refuse to overwrite any of them."""
    typed = parameters["directory"]
    directory = Path(typed)
    present = [name for name in _MODES if os.path.lexists(directory / name)]
    if present:
        raise UsageError(
            f"{directory / present[0]} is there already; nothing was written",
            remedy="name a new directory",
        )
    contents = resources.files("fsm_orchestrator.cli.commands") / "init_files"
    try:
        files.make_directory(directory)
        for name, mode in _MODES.items():
            files.replace_file(directory / name, (contents / name).read_bytes(), mode=mode)
    except OSError as error:
        raise UsageError(
            f"cannot write to {directory}: {files.reason(error)}",
            remedy="name a directory that you may write to",
        ) from error
    plan, run = (command_line(name, "./out", "--config", CONFIG_NAME) for name in ("plan", "run"))
    signals = "--policy-status allow --ci-status success --review-status approved"
    console.stdout().write(
        f"{typed}: wrote {', '.join(_MODES)}; {CONFIG_NAME} explains each setting\n\n"
        "To see what would run, and why it would not run yet (this starts nothing):\n\n"
        f"  cd {shell_line((typed,))}\n"
        f"  {plan}\n\n"
        "To run it. Each signal should come from a person or a check; here you give it:\n\n"
        f"  {run} \\\n    {signals}\n"
    )
    return ExitCode.DONE
