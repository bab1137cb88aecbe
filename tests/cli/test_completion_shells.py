"""Completion in real shells: lines are completed, and hostile paths are words that run nothing."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.cli.parser.names import COMPLETION_SHELLS, COMPLETION_VARIABLE
from tests.cli.completion_cases import HOSTILE
from tests.support.command import command_of_shells, environment, orchestrate
from tests.support.patience import PATIENCE_SECONDS

pytestmark = pytest.mark.one_in(2)

TERMINAL = (
    "import fcntl, os, sys, termios\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execvp(sys.argv[1], sys.argv[1:])\n"
)
"""A script that makes stdin the controlling terminal, as shells need it, and executes a shell."""
SHELLS = [
    pytest.param(
        shell,
        marks=pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed"),
    )
    for shell in COMPLETION_SHELLS
]


# Real shells


def script_of(shell: str) -> str:
    """Return the script that is sourced."""
    return orchestrate("completion", shell, cwd=Path.cwd()).stdout


def recording_command(folder: Path) -> dict[str, str]:
    """Return an environment in which the command answers shells, and else records its arguments."""
    command = folder / "bin" / "fsm-orchestrator"
    command.parent.mkdir(exist_ok=True)
    answering = shlex.join(command_of_shells(environment()))
    command.write_text(
        "#!/bin/sh\n"
        f'if [ -n "${COMPLETION_VARIABLE}" ] || [ "$1" = completion ]; then\n'
        f'  exec {answering} "$@"\n'
        "fi\n"
        f"printf '%s\\0' \"$@\" > '{folder}/recorded.part'\n"
        f"mv '{folder}/recorded.part' '{folder}/recorded'\n"
    )
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    home = {"HOME": str(folder), "ZDOTDIR": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return environment(PATH=path, TERM="xterm", PS1="> ", **home)


class Typist:
    """A user at the terminal of an interactive shell that has sourced its script."""

    START: Mapping[str, tuple[tuple[str, ...], str]] = {
        "bash": (("--norc", "--noprofile", "-i"), 'eval "$(fsm-orchestrator completion bash)"'),
        "zsh": (
            ("-f", "-i"),
            'autoload -U compinit; compinit -D -u; eval "$(fsm-orchestrator completion zsh)"',
        ),
        "fish": (("-i",), "fsm-orchestrator completion fish | source"),
    }

    def __init__(self, shell: str, folder: Path, cwd: Path) -> None:
        self._record = folder / "recorded"
        options, first_line = self.START[shell]
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-c", TERMINAL, shell, *options],
            cwd=cwd,
            env=recording_command(folder),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self.seen = ""
        self._wait_until(lambda: self.seen != "")
        self._type(f"{first_line}; echo LOAD''ED\r")
        self._wait_until(lambda: "LOADED" in self.seen)

    def line(self, keys: str) -> list[str]:
        """Type keys and Enter; return the arguments of the command that was then run.

        The slash at the end of a directory is left out, since zsh removes it.
        """
        self._record.unlink(missing_ok=True)
        self._type(keys + "\r")
        self._wait_until(self._record.exists)
        arguments = self._record.read_bytes().decode().split("\0")[:-1]
        return [one.rstrip("/") for one in arguments]

    def leave(self) -> None:
        """End the shell."""
        self.process.kill()
        self.process.wait(timeout=60)
        os.close(self._master)

    def _type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def _wait_until(self, is_so: Any) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            assert time.monotonic() < deadline, self.seen
            if select.select([self._master], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self._master, 65536).decode(errors="replace")
                except OSError:  # Linux ends a terminal that nobody holds open with EIO
                    pytest.fail(f"the shell has gone: {self.seen}")


@contextmanager
def typing(shell: str, tmp_path: Path) -> Iterator[tuple[Typist, Path]]:
    """Yield an interactive shell in a directory with a run of two lives and hostile neighbors."""
    cwd = tmp_path / "work"
    (cwd / "out" / "archive" / "20260131T090000.000000Z-1a2b3c4d").mkdir(parents=True)
    typist = Typist(shell, tmp_path, cwd)
    try:
        yield typist, cwd
    finally:
        typist.leave()


@pytest.mark.parametrize("shell", SHELLS)
def test_typed_line_is_completed(shell: str, tmp_path: Path) -> None:
    """One key each completes commands, options, values, ids, names beside files, and paths."""
    with typing(shell, tmp_path) as (typist, cwd):
        (cwd / "ours.toml").write_text("")
        assert typist.line("fsm-orchestrator stat\tou\t") == ["status", "out"]
        assert typist.line("fsm-orchestrator ou\t --pol\tal\t") == [
            *("out", "--policy-status", "allow")
        ]
        assert typist.line("fsm-orchestrator status out --run-id 2\t") == [
            *("status", "out", "--run-id", "20260131T090000.000000Z-1a2b3c4d")
        ]
        assert typist.line("fsm-orchestrator out --lifecycle rev\t --reviewer-b\t") == [
            *("out", "--lifecycle", "reviewed_run", "--reviewer-b")
        ]
        assert typist.line("fsm-orchestrator out --lifecycle=rev\t --reviewer-cw\tx") == [
            *("out", "--lifecycle=reviewed_run", "--reviewer-cwd", "x")
        ]
        assert typist.line("fsm-orchestrator plan out --lifecycle our\t") == [
            *("plan", "out", "--lifecycle", "ours.toml")
        ]
        assert typist.line("fsm-orchestrator plan out --config=our\t") == [
            *("plan", "out", "--config=ours.toml")
        ]
        assert typist.line("fsm-orchestrator statsu out -\t") == ["statsu", "out", "-"]
        back = "\x1b[D" * len(" --json")  # to nothing between two words
        assert typist.line(f"fsm-orchestrator status out --run-id  --json{back}\t") == [
            *("status", "out", "--run-id", "20260131T090000.000000Z-1a2b3c4d", "--json")
        ]


@pytest.mark.parametrize("shell", SHELLS)
def test_hostile_paths_are_words_and_run_nothing(shell: str, tmp_path: Path) -> None:
    """A path with any characters is inserted quoted, and arrives unchanged."""
    with typing(shell, tmp_path) as (typist, cwd):
        for number, hostile in enumerate(HOSTILE):
            (cwd / f"d{number}{hostile}").mkdir()
            (cwd / f"f{number}{hostile}").write_text("")
        for number, hostile in enumerate(HOSTILE):
            # The second key press gives the program what the first has inserted.
            keys = f"d{number}\t\t --config f{number}\t --lifecycle f{number}\t"
            assert typist.line(f"fsm-orchestrator {keys}") == [
                f"d{number}{hostile}",
                *("--config", f"f{number}{hostile}"),
                *("--lifecycle", f"f{number}{hostile}"),
            ]
        assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("shell", SHELLS)
def test_line_breaks_in_paths_run_nothing(shell: str, tmp_path: Path) -> None:
    """A name of several lines, one of which looks like an answer, runs no command."""
    tab = (
        "\t" if shell == "fish" else "\t\t\t"
    )  # the second opens fish's list, from which Enter picks
    with typing(shell, tmp_path) as (typist, cwd):
        for name in ("d\n$(touch pwned)", "e\nplain,$(touch pwned)", "f\n;touch pwned;"):
            (cwd / name).mkdir()
            (cwd / "out" / "archive" / name).mkdir()
        for first in "def":
            arguments = typist.line(f"fsm-orchestrator out --manager-cwd {first}{tab}")
            assert arguments[:2] == ["out", "--manager-cwd"]
            typist.line(f"fsm-orchestrator verify {first}{tab}")
            typist.line(f"fsm-orchestrator status out --run-id {first}{tab}")
        assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("shell", SHELLS)
def test_script_is_right_and_says_where_it_goes(shell: str, tmp_path: Path) -> None:
    """The shell finds no error in it, and its first lines show what to type."""
    script = script_of(shell)
    path = tmp_path / "script"
    path.write_text(script)
    checked = subprocess.run(
        [shell, "-n", path], capture_output=True, text=True, timeout=60, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
    comment = "".join(line for line in script.splitlines()[:5] if line.startswith("# "))
    line = f"fsm-orchestrator completion {shell}"
    assert line in comment
    assert line in orchestrate("completion", "--help", cwd=tmp_path).stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_function_fills_compreply(tmp_path: Path) -> None:
    """The function, called as bash calls it, has the candidates and lets bash list the paths."""
    (tmp_path / "script").write_text(script_of("bash"))
    (tmp_path / "ours.toml").write_text("")
    (tmp_path / "$(touch pwned)").mkdir()
    code = (
        'compopt() { local IFS=" "; echo "compopt $*"; }; source ./script\n'
        'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))\n'
        '_fsm_orchestrator_completion "$1" "${!#}" "${@: -2:1}"; echo "code $?"\n'
        'printf "<%s>\\n" "${COMPREPLY[@]}"\n'
    )

    def called(*words: str) -> list[str]:
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", code, "bash", *words],
            cwd=tmp_path,
            env=recording_command(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    us = "fsm-orchestrator"
    assert called(us, "lo") == ["compopt -o filenames -o plusdirs", "code 0", "<logs>"]
    assert called(us, "out", "--ci-status", "=", "p") == ["code 0", "<pending>"]
    assert called(us, "out", "--manager-cwd", "$(touch pwned)", "*") == ["code 0", "<>"]
    assert called(us, "out", "--lifecycle", "o") == [
        *("compopt -o filenames -o default", "code 0", "<>")
    ]
    assert called(us, "out", "--lifecycle", "g") == [
        *("compopt -o filenames -o default", "code 0", "<governed_run>")
    ]
    assert called("no-such-program", "st") == ["code 0", "<>"]
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_offers_names_and_files_together(tmp_path: Path) -> None:
    """A lifecycle's name does not hide a file with the same beginning, nor the reverse."""
    with typing("bash", tmp_path) as (typist, cwd):
        (cwd / "governed plan.toml").write_text("")
        (cwd / "governed$(touch pwned)").write_text("")
        typed = "fsm-orchestrator verify gov\t"  # the common beginning of both
        assert typist.line(typed) == ["verify", "governed"]
        assert typist.line(typed + "_\t") == ["verify", "governed_run"]
        assert typist.line(typed + "\\ \t") == ["verify", "governed plan.toml"]
        assert typist.line(typed + "\\$\t") == ["verify", "governed$(touch pwned)"]
        assert not list(tmp_path.rglob("pwned"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_quotes_files_beside_names(tmp_path: Path) -> None:
    """TAB stepping through the candidates quotes a file among names as any other."""
    with typing("bash", tmp_path) as (typist, cwd):
        (cwd / "governed$(touch pwned)").write_text("")
        typist.line("bind 'TAB:menu-complete'; fsm-orchestrator x")
        assert typist.line("fsm-orchestrator verify gov\t") == ["verify", "governed_run"]
        assert typist.line("fsm-orchestrator verify gov\t\t") == [
            *("verify", "governed$(touch pwned)")
        ]
        assert not list(tmp_path.rglob("pwned"))


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_describes_what_it_offers(tmp_path: Path) -> None:
    """`complete -C`, as fish completes: candidates with their help, commas and all."""
    (tmp_path / "$(touch pwned)").mkdir()

    def candidates(line: str) -> list[str]:
        done = subprocess.run(
            [
                shutil.which("fish") or "fish",
                "-c",
                f"fsm-orchestrator completion fish | source; complete -C {line!r}",
            ],
            cwd=tmp_path,
            env=recording_command(tmp_path),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    assert candidates("fsm-orchestrator sta") == ["status\tShow where runs stand."]
    assert candidates("fsm-orchestrator diagr") == [
        "diagram\tDraw a lifecycle, a run, a difference."
    ]
    assert candidates("fsm-orchestrator out --ci-status=p") == ["--ci-status=pending"]
    assert candidates("fsm-orchestrator plan (touch pwned) --pol")[0].startswith("--policy-status")
    assert candidates("fsm-orchestrator schema nothing") == []
    assert not list(tmp_path.rglob("pwned"))
