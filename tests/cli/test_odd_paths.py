"""Paths with line feeds, escapes, tabs and reversed text: they mislead no screen."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from fsm_orchestrator.cli.parser.names import COMMANDS
from tests.support.command import PASSING, Ended, orchestrate, report_of, shell

pytestmark = pytest.mark.one_in(2)

ODD: Final = "o\nNEXT\x1b[31mE\u202eB\tT"
"""A name that a screen has to spell out."""
SPELLED: Final = r"o\x0aNEXT\x1b[31mE\xe2\x80\xaeB\x09T"
OUT: Final = f"./{ODD}"
MADE: Final = f"{ODD}/a{ODD}.json"
NOT_MADE: Final = f"{ODD}/b{ODD}.json"
HIDDEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\t]")

LOOKS: Final[Sequence[tuple[str, ...]]] = (
    ("status", OUT),
    ("status", "."),
    ("status", OUT, "--json"),
    ("status", ".", "--json"),
    ("explain", OUT),
    ("explain", OUT, "--all"),
    ("explain", OUT, "--json"),
    ("plan", OUT, "--resume"),
    ("plan", OUT, "--resume", "--all"),
    ("plan", OUT, "--resume", "--json"),
    ("logs", OUT),
    ("compare", OUT, OUT, "--all"),
    ("bundle", OUT, f"{ODD}.fsmbundle"),
    ("verify-bundle", f"{ODD}.fsmbundle", "--html", f"{ODD}3.html"),
    ("verify-bundle", f"{OUT}/a{ODD}.json"),
    ("report", OUT),
    ("report", OUT, "--json"),
    ("report", OUT, "--html", "-"),
    ("report", OUT, "--html", f"{ODD}.html"),
    ("diagram", "--run", OUT),
    *(("diagram", "--run", OUT, "--format", one) for one in ("text", "dot", "svg")),
    ("config", "show", OUT),
    ("config", "show", OUT, "--all"),
    ("config", "show", OUT, "--json"),
    ("gates", OUT),
    ("archive", "list", OUT),
    ("prune", OUT, "--keep", "0"),
    ("stop", OUT),
    ("run", OUT, "--resume", "--log-format", "text"),
    ("plan", "./n4", *PASSING, "--manager-bin", f"{OUT}/none"),
    ("init", f"{ODD}2"),
    ("config", "check", f"{ODD}2/run.toml"),
    ("run", "./new", "--config", f"{ODD}2/run.toml", "--print-config"),
)
"""Commands about a run in a directory of that name that have an answer."""
REFUSALS: Final[Sequence[tuple[str, ...]]] = (
    ("run", OUT, "--run-id", ODD),
    ("run", f"{OUT}/nix", "--resume"),
    *((command, f"{OUT}/nix") for command in ("status", "watch", "explain", "logs", "report")),
    ("stop", f"{OUT}/nix"),
    ("wait", OUT),
    ("wait", f"{OUT}/nix"),
    ("status", OUT, "--run-id", ODD),
    ("logs", OUT, ODD),
    ("compare", OUT),
    ("compare", OUT, f"{OUT}/nix"),
    ("bundle", OUT, f"{OUT}/nix/x"),
    ("verify-bundle", f"{OUT}/nix"),
    ("plan", f"{OUT}/a{ODD}.json"),
    ("run", OUT, "--config", f"{ODD}.toml"),
    ("run", OUT, "--config", f"{ODD}/a{ODD}.json"),
    ("config", "check", f"{ODD}.toml"),
    ("verify", f"{ODD}.toml"),
    ("verify", f"{ODD}/a{ODD}.json"),
    *((command, OUT) for command in ("approve", "deny", "withdraw")),
    *((command, f"{OUT}/nix") for command in ("approve", "deny", "withdraw")),
    ("approve", OUT, "--key", f"{OUT}/key"),
    ("archive", "list", f"{OUT}/nix"),
    ("prune", f"{OUT}/nix", "--keep", "0"),
    ("restore", OUT, ODD),
    ("notify", OUT),
    ("notify", f"{ODD}/a{ODD}.json"),
    ("serve", f"{OUT}/nix"),
    ("telemetry", "export", f"{OUT}/nix"),
    ("lifecycle", ODD),
    ("schema", ODD),
    ("fleet", f"{ODD}.toml"),
    ("fleet", f"{ODD}/a{ODD}.json"),
    ("temporal", "submit", f"{OUT}/nix", "--config", f"{ODD}.toml"),
    ("temporal", "signal", OUT, "--resume"),
    ("completion", ODD),
    ("diagram", f"{OUT}.toml"),
    ("diagram", "--diff", ODD, ODD),
    ("diagram", "-o", f"{ODD}/x/y.svg"),
    ("report", OUT, "--html", f"{ODD}/x/y.html"),
    ("init", f"{ODD}2"),
    ("init", f"{OUT}/a{ODD}.json/x"),
    ("selftest", f"{OUT}/a{ODD}.json"),
    ("run", OUT, *PASSING, "--executor-bin", f"{OUT}/none", "--log-format", "text"),
    ("run", "./n1", *PASSING, "--executor-bin", OUT, "--log-format", "text"),
    ("run", "./n2", *PASSING, "--manager-bin", f"{OUT}/none", "--log-format", "text"),
    ("run", "./n3", *PASSING, "--manager-bin", "true", "--manager-cwd", f"{OUT}/none"),
)
"""Commands that are refused, with the reason."""


class Screens(NamedTuple):
    """The output of the commands."""

    place: Path
    looks: Sequence[tuple[tuple[str, ...], Ended]]
    refusals: Sequence[tuple[tuple[str, ...], Ended]]


@pytest.fixture(scope="module")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Screens:
    """Run every command on a failed run in a directory whose name misleads screens."""
    place = tmp_path_factory.mktemp("odd")
    make = f"printf 1 > 'a{ODD}.json'; echo made"
    (place / ODD).mkdir()
    stages = (
        *shell("manager", make),
        *("--manager-cwd", OUT, "--manager-expected-artifact", MADE),
        *shell("executor", "echo failed >&2; exit 3"),
        *("--executor-expected-artifact", NOT_MADE),
    )
    first = ("run", OUT, *PASSING, *stages, "--log-format", "text")
    ended = orchestrate(*first, cwd=place)
    assert ended.code == 1
    assert report_of(place / ODD)["stage_executions"][0]["artifacts"]
    looks = [(first, ended), *((one, orchestrate(*one, cwd=place)) for one in LOOKS)]
    return Screens(place, looks, [(one, orchestrate(*one, cwd=place)) for one in REFUSALS])


def test_every_command_is_tried(screens: Screens) -> None:
    """Each command prints something, and none of them ends with an error of this program."""
    assert {argv[0] for argv, _ in (*screens.looks, *screens.refusals)} == {*COMMANDS}
    for argv, ended in screens.looks:
        assert ended.code in {0, 1}, (argv, ended)
        assert ended.stdout
    for argv, ended in screens.refusals:
        assert ended.code in {1, 2}, (argv, ended)
        assert ended.stderr


def test_a_path_stays_on_its_line_and_drives_no_terminal(screens: Screens) -> None:
    """No line begins in the middle of a path, and no hidden character is printed raw."""
    for argv, ended in (*screens.looks, *screens.refusals):
        for line in (ended.stdout + ended.stderr).splitlines():
            assert not HIDDEN.search(line), (argv, line)
            assert not line.lstrip().startswith("NEXT"), (argv, line)


def test_a_path_is_shown_as_a_shell_takes_it(screens: Screens) -> None:
    """The screens that name artifacts and directory spell them so that a shell can use them."""
    shown = {argv: ended.stdout for argv, ended in screens.looks}
    for argv in (("explain", OUT, "--all"), ("plan", OUT, "--resume", "--all")):
        assert f"$'{screens.place}/{SPELLED}/a{SPELLED}.json'" in shown[argv]
        assert f"$'{screens.place}/{SPELLED}/b{SPELLED}.json'" in shown[argv]
    assert f"in $'./{SPELLED}', state failed" in shown["explain", OUT]
    assert f"log        $'./{SPELLED}/logs/executor.1.stderr.log'" in shown["explain", OUT, "--all"]
    assert f"no run was at work in $'./{SPELLED}'" in shown["stop", OUT]


def test_what_a_program_reads_has_the_paths_as_they_are(screens: Screens) -> None:
    """JSON and TOML escape the paths, and read back the same."""
    shown = {argv: ended.stdout for argv, ended in screens.looks}
    assert json.loads(shown["status", OUT, "--json"])["output_directory"].endswith(ODD)
    printed = tomllib.loads(shown["run", "./new", "--config", f"{ODD}2/run.toml", "--print-config"])
    assert f"/{ODD}2/" in printed["stage"]["manager"]["bin"]
