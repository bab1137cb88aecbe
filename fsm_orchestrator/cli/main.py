"""The command line: argv to exit code. The only place that exits, and the last to catch."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import click

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.parser.app import build_app
from fsm_orchestrator.cli.parser.names import COMPLETION_VARIABLE
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.errors import OrchestratorError, not_loaded
from fsm_orchestrator.vocabulary import ExitCode

if TYPE_CHECKING:
    from fsm_orchestrator.lifecycle.source import Declared


def main() -> None:
    """Run the command and exit: the entry point."""
    code = run_command_line(sys.argv[1:])
    # All output is written; whatever Python would still flush could only fail.
    os._exit(code)


def run_command_line(argv: Sequence[str]) -> int:
    """Parse, run, and map every ending to an exit code. Never raises, never exits."""
    try:
        instruction = os.environ.get(COMPLETION_VARIABLE)
        # Together with arguments it is a leftover: the exit code 0 of a run means that it is done.
        if instruction and not argv:
            return _answer_shell(instruction)
        return _dispatch(list(argv))
    except click.UsageError as error:
        message = " ".join(_said(error).split())
        _complain(argv, message[:1].lower() + message[1:], _hint(error))
        return ExitCode.USAGE
    except OrchestratorError as error:
        _complain(argv, str(error), error.remedy)
        return error.exit_code
    except ImportError as error:
        failure = not_loaded(error)
        console.complain(str(failure), failure.remedy)
        return failure.exit_code
    except (KeyboardInterrupt, click.Abort):
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the one boundary: a bug is reported as a bug
        if isinstance(error, OSError) and error.errno in {errno.EMFILE, errno.ENFILE}:
            console.complain(
                f"too few files can be opened: {error.strerror}", "raise the limit: ulimit -n"
            )
            return ExitCode.FAILED
        console.stderr().write(traceback.format_exc())
        console.complain("internal error: this is a bug, please report it with the lines above", "")
        return ExitCode.INTERNAL


def _dispatch(argv: list[str]) -> int:
    for position, argument in enumerate(argv, start=1):
        if any("\ud800" <= character <= "\udfff" for character in argument):
            raise click.UsageError(f"argument {position} is not valid UTF-8 (not shown)")
    app = build_app(lambda: _declared(argv))
    captured = io.StringIO()  # click prints help and version itself, and would fail on a pipe
    try:
        with redirect_stdout(captured):
            # A name that no variable has: otherwise click itself would answer a shell, and exit.
            result = app.main(args=argv, prog_name=PRODUCT, complete_var="=", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        console.stderr().write(error.format_message() + "\n")
        return ExitCode.USAGE
    console.stdout().write(captured.getvalue())
    return result if isinstance(result, int) else ExitCode.DONE


def _complain(argv: Sequence[str], message: str, remedy: str) -> None:
    """Write an error that may quote the command line, without the secrets that it declares."""
    from fsm_orchestrator.cli.argv_secrets import masker_of

    console.complain(*masker_of(argv).mask_all((message, remedy)))


def _declared(argv: list[str]) -> Declared:
    from fsm_orchestrator.cli import spared

    spared.import_without_patterns("json")
    from fsm_orchestrator.cli.parser.prescan import declared_by_chosen, prescan

    return declared_by_chosen(prescan(argv))


def _answer_shell(instruction: str) -> int:
    from fsm_orchestrator.cli.commands.completion import answer_shell

    answer_shell(instruction)
    return ExitCode.DONE


def _said(error: click.UsageError) -> str:
    """Return what is wrong; for an unknown option, also the one that was probably meant."""
    if not isinstance(error, click.NoSuchOption):
        return error.format_message()
    from fsm_orchestrator.text.phrases import suggestion

    return f"no option {error.option_name}{suggestion(error.option_name, _options(error))}"


def _options(error: click.NoSuchOption) -> Iterator[str]:
    """Yield the long options of the command; of two names for one option, the first."""
    params = () if error.ctx is None else error.ctx.command.get_params(error.ctx)
    for one in params:
        yield from [name for name in one.opts if len(name) > len("-x")][:1]


def _hint(error: click.UsageError) -> str:
    if isinstance(error, click.NoSuchOption):
        from fsm_orchestrator.model.stage_options import stage_of_option
        from fsm_orchestrator.text.phrases import SIGNAL_SUFFIX, own_gate, own_stages

        if error.option_name.endswith(SIGNAL_SUFFIX):
            return own_gate()

        stage = stage_of_option(error.option_name)
        if stage is not None:
            return own_stages([stage])
    command = error.ctx.command_path if error.ctx is not None else f"{PRODUCT} run"
    missing = error.param if isinstance(error, click.MissingParameter) else None
    if missing is not None and missing.name == "output_directory":
        return f"name a directory for the run, such as ./out; see {command} --help"
    return f"see {command} --help"
