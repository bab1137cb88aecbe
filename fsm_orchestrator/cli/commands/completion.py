"""`completion`: the script that a shell sources, and the answers to that script.

Click decides what fits at the cursor. The scripts next to this module are not click's: they also
keep `--option=value` together, offer names and files at once, and show no errors. No candidate is
offered that a shell could take for more than one plain word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
)

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.parser.app import build_app
from fsm_orchestrator.cli.parser.names import COMPLETION_VARIABLE
from fsm_orchestrator.cli.parser.prescan import declared_by_chosen, prescan
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.lifecycle.source import Declared
from fsm_orchestrator.vocabulary import ExitCode

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""The form of every name, id, option and value of the program."""


class _Bash(BashComplete):
    """Completion for Bash, which splits `--option=value` into three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor and the one at it, with the three parts joined."""
        args, incomplete = super().get_completion_args()
        whole: list[str] = []
        for word in (*args, incomplete):
            before = whole[-1] if whole else ""
            if before.startswith("--") and (word == "=" or before.endswith("=")):
                whole[-1] += word
            else:
                whole.append(word)
        return whole[:-1], whole[-1]


_SHELLS: Final[Mapping[str, type[ShellComplete]]] = {
    "bash": _Bash,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


def completion_command(parameters: Mapping[str, Any]) -> int:
    """Print the script of one shell."""
    from importlib import resources

    scripts = resources.files("fsm_orchestrator.cli.commands") / "completion_scripts"
    script = scripts / f"completion.{parameters['shell']}"
    console.stdout().write(script.read_text(encoding="utf-8"))
    return ExitCode.DONE


def answer_shell(instruction: str) -> None:
    """Write the candidates for the words in COMP_WORDS, in the format of the shell's script.

    Any error (words that cannot be split, a broken checkpoint) yields no candidates and no message:
    somebody is in the middle of typing.
    """
    shell = _SHELLS.get(instruction.removesuffix("_complete"))
    if shell is None:
        return
    try:
        text = _candidates(shell)
    except Exception:  # noqa: BLE001 - a traceback would appear there
        return
    console.stdout().write(text)


def _candidates(shell: type[ShellComplete]) -> str:
    """Return the candidates in the format that the shell's script reads."""
    args, incomplete = shell(
        build_app(Declared), {}, PRODUCT, COMPLETION_VARIABLE
    ).get_completion_args()
    found = prescan([os.path.expanduser(word) for word in args])
    app = build_app(lambda: declared_by_chosen(found))
    asked = shell(app, {"obj": found}, PRODUCT, COMPLETION_VARIABLE)
    items = _offered(asked.get_completions(args, incomplete))
    return "".join(asked.format_completion(item) + "\n" for item in items)


def _offered(items: Sequence[CompletionItem[str]]) -> Sequence[CompletionItem[str]]:
    """Keep the candidates that are one plain word, with help on one line; the shell lists paths."""
    offered = []
    for item in items:
        if item.type != "plain":
            beginning = item.value if item.value and item.value.isprintable() else ""
            offered.append(CompletionItem(beginning, type=item.type))
        elif _PLAIN.fullmatch(item.value):
            line = " ".join((item.help or "").split())
            offered.append(CompletionItem(item.value, help=line or None))
    return offered
