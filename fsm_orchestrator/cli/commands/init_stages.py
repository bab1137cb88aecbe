"""The files that `init` writes for the user's own stages: a lifecycle, a config file, scripts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fsm_orchestrator.cli.formatting import command_line
from fsm_orchestrator.cli.new_files import CONFIG_NAME, SCRIPT_MODE, TEXT_MODE, NewFile
from fsm_orchestrator.config.templates import escaped
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.drafting import draft
from fsm_orchestrator.lifecycle.linear import RESERVED, gate_before
from fsm_orchestrator.lifecycle.source import is_name
from fsm_orchestrator.text.phrases import described, suggestion

LIFECYCLE_NAME: Final = "lifecycle.toml"
STAGES_MAX: Final = 50

_SHELL: Final = re.compile(r"[|&;<>()$`*?\n]|\[")
"""The characters that only a shell gives a meaning to, outside of quotes."""
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9_]+")


class Asked(NamedTuple):
    """The files to write, by name, and what to type next."""

    files: Mapping[str, NewFile]
    told: str


class _Stage(NamedTuple):
    name: str
    bin: str
    args: tuple[str, ...] = ()
    script: str = ""
    is_shell: bool = False


def stages_asked(names: str | None, commands: Sequence[str], approved: str | None) -> Asked:
    """Return the files to write for these stages, or for these commands.

    Raises:
        UsageError: a name is not valid for a stage, there are too many, or a command is empty.
    """
    stages = list(_stubs(names)) if names else list(_wrapped(commands))
    if len(stages) > STAGES_MAX:
        raise UsageError(f"{len(stages)} stages are more than {STAGES_MAX}", remedy="give fewer")
    order = [stage.name for stage in stages]
    waiting = _split(approved) if approved else []
    for name in waiting:
        if name not in order:
            hint = suggestion(name, order) or f"; the stages are {', '.join(order)}"
            raise UsageError(
                f"--approve-before names {described(name)}, which is no stage{hint}",
                remedy="name one of the stages",
            )
    _refuse_names(order, waiting)
    lifecycle = draft(order, waiting)
    reading.parse(lifecycle.encode(), LIFECYCLE_NAME)
    new = {
        LIFECYCLE_NAME: NewFile(lifecycle.encode(), TEXT_MODE),
        CONFIG_NAME: NewFile(_config(stages).encode(), TEXT_MODE),
    }
    for one in stages:
        if one.script:
            new[f"{one.name}.sh"] = NewFile(one.script.encode(), SCRIPT_MODE)
    return Asked(new, _told(stages, any(name != order[0] for name in waiting)))


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split(",")]


def _refuse_names(order: Sequence[str], waiting: Sequence[str]) -> None:
    gates = {gate_before(name) for name in waiting}
    for number, name in enumerate(order):
        if not is_name(name):
            why = "is not a valid stage name: lower-case letters, digits and _, a letter first"
        elif name in RESERVED | gates:
            why = "is the name of another state of the lifecycle"
        elif name in order[:number]:
            why = "is given twice"
        else:
            continue
        raise UsageError(f"the stage {described(name)} {why}", remedy="give it another name")


def _stubs(names: str) -> Iterator[_Stage]:
    for name in _split(names):
        script = (
            f"#!/bin/sh\n# The stage {name}: put its work below. Exit 0 is success, any other code"
            " fails the run.\n# ORCHESTRATOR_OUTPUT_DIR, _RUN_ID, _STAGE and _ATTEMPT are in the"
            f' environment.\nset -eu\necho "{name}: put the work into {name}.sh"\n'
        )
        yield _Stage(name, f"./{name}.sh", script=script)


def _wrapped(commands: Sequence[str]) -> Iterator[_Stage]:
    names: list[str] = []
    for command in commands:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise UsageError(
                f"the command {described(command)} cannot be split into words:"
                f" {str(error).lower()}",
                remedy="close its quotes",
            ) from None
        if not words:
            raise UsageError("a command after --from is empty", remedy="leave it out")
        name = _name(words, names)
        names.append(name)
        if _needs_shell(command, words):
            yield _Stage(name, "/bin/sh", ("-c", command), is_shell=True)
        else:
            yield _Stage(name, words[0], tuple(words[1:]))


def _needs_shell(command: str, words: Sequence[str]) -> bool:
    """Return whether something outside of single quotes has a meaning to a shell only."""
    is_assignment = re.match(r"[A-Za-z_]\w*=", words[0]) is not None
    return is_assignment or _SHELL.search(re.sub(r"'[^']*'", "", command)) is not None


def _name(words: Sequence[str], taken: Sequence[str]) -> str:
    """Return a name made from a command's words: from its first argument, else from its program."""
    program = words[0].rpartition("/")[2].partition(".")[0]
    plain = [one for one in words[1:2] if not one.startswith("-") and "/" not in one]
    made = _NOT_IN_A_NAME.sub("_", (plain or [program])[0].lower()).strip("_")[:40]
    name = made if is_name(made) and made not in RESERVED else f"stage_{made}".rstrip("_")
    number, unique = 2, name
    while unique in taken:
        number, unique = number + 1, f"{name}_{number}"
    return unique


def _config(stages: Sequence[_Stage]) -> str:
    import tomli_w

    table: dict[str, dict[str, Any]] = {}
    for one in stages:
        table[one.name] = {"bin": escaped(one.bin), "args": [*map(escaped, one.args)], "cwd": "."}
    settings = tomli_w.dumps({"stage": table}, multiline_strings=False)
    return (
        "# What a run uses. Paths are relative to this file; {out}, {run_id} and {env:NAME} are"
        " filled in,\n# {{ is a brace. Check it with: fsm-orchestrator config check run.toml\n"
        f'schema_version = 1\nlifecycle = "./{LIFECYCLE_NAME}"\n\n'
        "# A stage has succeeded if it exits 0 and has written what is expected, such as\n"
        '# expected_artifacts = ["{out}/plan.json"]\n\n' + settings
    )


def _told(stages: Sequence[_Stage], has_approval: bool) -> str:
    run = command_line("run", "./out", "--config", CONFIG_NAME)
    verify = command_line("verify", f"./{LIFECYCLE_NAME}")
    signals = "--policy-status allow --ci-status success"
    shells = ", ".join(one.name for one in stages if one.is_shell)
    said = f"  ({shells}: run by /bin/sh -c, as only a shell understands the command)\n"
    lines = [said if shells else "", f"  {verify}\n"]
    if has_approval:
        resume = command_line("run", "./out", "--resume", "--review-status", "approved")
        lines.append(f"  {run} \\\n    {signals}\n")
        lines.append("\nIt waits for the approval, exit code 3; once somebody has looked:\n\n")
        lines.append(f"  {resume}\n")
    else:
        lines.append(f"  {run} \\\n    {signals} --review-status approved\n")
    return "".join(lines)
