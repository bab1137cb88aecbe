"""`completion`: the script that a shell loads, and the answers to that script.

Click finds the candidates at the cursor; each shell's class here is click's own with a script
that also keeps `--option=value` together, offers names beside files, and shows no error. Nothing
is offered that a shell could take for more than one plain word.
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
from fsm_orchestrator.cli.parser.prescan import prescan, stage_names
from fsm_orchestrator.vocabulary import PRODUCT, ExitCode

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]+")
"""The characters of every name, id, option and value of the program."""

_BASH: Final = """\
# Completion of %(prog_name)s for bash. To have it in every new shell, put this into ~/.bashrc:
#   eval "$(%(prog_name)s completion bash)"

%(complete_func)s() {
    local IFS=$'\\n' response kind value has_names= has_paths= word=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    [[ $2 || $word == '=' ]] || word=  # between two words bash names the one that follows
    response=$(env COMP_WORDS="${COMP_WORDS[*]:0:COMP_CWORD}"$'\\n'"$word" \\
        COMP_CWORD="$COMP_CWORD" %(complete_var)s=bash_complete "$1" 2>/dev/null </dev/null) ||
        return 0
    while IFS=, read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value"); has_names=1 ;;
            dir) compopt -o filenames -o plusdirs ;;
            file) compopt -o filenames -o default; has_paths=1 ;;
        esac
    done <<< "$response"
    if [[ $has_names && $has_paths ]]; then
        while read -r value; do
            COMPREPLY+=("$value")
        done < <(compgen -f -- "$2")
    fi
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s 2>/dev/null ||
    complete -F %(complete_func)s %(prog_name)s
"""
_ZSH: Final = """\
#compdef %(prog_name)s
# Completion of %(prog_name)s for zsh. To have it in every new shell, put this into ~/.zshrc, below
# compinit:
#   eval "$(%(prog_name)s completion zsh)"

%(complete_func)s() {
    local -a names described response
    local kind value help
    (( ! $+commands[%(prog_name)s] )) && return 1

    response=("${(@f)$(env COMP_WORDS="${(F)words[1,CURRENT]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null </dev/null)}")
    [[ $PREFIX == --*=* ]] && compset -P '*='

    for kind value help in "${response[@]}"; do
        case $kind in
            plain)
                if [[ $help == _ ]]; then
                    names+=("$value")
                else
                    described+=("$value:$help")
                fi ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described
    (( $#names )) && compadd -V unsorted -a names
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""
_FISH: Final = """\
# Completion of %(prog_name)s for fish. To have it in every new shell, put this into
# ~/.config/fish/config.fish:
#   %(prog_name)s completion fish | source

function %(complete_func)s
    set -l words (commandline -cp)
    set -l word (commandline -ct)
    set -l prefix (string match -r -- '^--[^=]+=' "$word")
    set -l response (env %(complete_var)s=fish_complete COMP_WORDS="$words" COMP_CWORD="$word" \\
        %(prog_name)s 2>/dev/null </dev/null)
    for line in $response
        set -l parts (string split -m 1 , -- $line)
        switch $parts[1]
            case plain
                printf '%%s\\n' "$prefix$parts[2]"
            case dir
                for path in (__fish_complete_directories "$parts[2]" "")
                    printf '%%s\\n' "$prefix$path"
                end
            case file
                for path in (__fish_complete_path "$parts[2]" "")
                    printf '%%s\\n' "$prefix$path"
                end
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Bash(BashComplete):
    """Bash, which splits `--option=value`."""

    source_template = _BASH

    def source(self) -> str:
        """Return the script. It works in old versions, too, which click's refuses."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the cursor and the one at it; `--option=value` is one."""
        args, incomplete = super().get_completion_args()
        whole: list[str] = []
        for word in (*args, incomplete):
            before = whole[-1] if whole else ""
            if before.startswith("--") and (word == "=" or before.endswith("=")):
                whole[-1] += word
            else:
                whole.append(word)
        return whole[:-1], whole[-1]


class _Zsh(ZshComplete):
    """Zsh."""

    source_template = _ZSH


class _Fish(FishComplete):
    """Fish, which is given the beginning of a path; the other shells know it."""

    source_template = _FISH


_SHELLS: Final[Mapping[str, type[ShellComplete]]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def completion_command(parameters: Mapping[str, Any]) -> int:
    """Print the script of one shell."""
    shell = _SHELLS[parameters["shell"]]
    console.stdout().write(shell(build_app(()), {}, PRODUCT, COMPLETION_VARIABLE).source())
    return ExitCode.DONE


def answer_shell(instruction: str) -> None:
    """Write the candidates for the words in COMP_WORDS, as the shell's script reads them.

    An error (words that cannot be split, a broken checkpoint) offers nothing and prints nothing: it
    would appear in the line being typed.
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
    """Return one line, or what the shell takes for one, for each candidate."""
    args, incomplete = shell(build_app(()), {}, PRODUCT, COMPLETION_VARIABLE).get_completion_args()
    found = prescan([os.path.expanduser(word) for word in args])
    app = build_app(stage_names(found))
    asked = shell(app, {"obj": found}, PRODUCT, COMPLETION_VARIABLE)
    items = _offered(asked.get_completions(args, incomplete))
    return "".join(asked.format_completion(item) + "\n" for item in items)


def _offered(items: Sequence[CompletionItem[str]]) -> Sequence[CompletionItem[str]]:
    """Return the candidates that are one plain word, with help in one line; shells add paths."""
    offered = []
    for item in items:
        if item.type != "plain":
            beginning = item.value if item.value and item.value.isprintable() else ""
            offered.append(CompletionItem(beginning, type=item.type))
        elif _PLAIN.fullmatch(item.value):
            line = " ".join((item.help or "").split())
            offered.append(CompletionItem(item.value, help=line or None))
    return offered
