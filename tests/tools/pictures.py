"""Makes the pictures of docs/images: real commands on a terminal, and the default lifecycle.

`python -m tests.tools.pictures DIRECTORY` makes those again that no longer show what is seen.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.text import Text

from fsm_orchestrator.constants import DEFAULT_LIFECYCLE
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.rendering.diagram.dot import dot_text
from fsm_orchestrator.rendering.diagram.image import svg_text
from fsm_orchestrator.rendering.diagram.picture import picture_of
from tests.tools import terminal
from tests.tools.lifecycle_pictures import drawn as drawn_lifecycle
from tests.tools.lifecycle_pictures import renew

COLUMNS: Final = 84
LIFECYCLE: Final = "lifecycle.svg"
BYTES_MAX: Final = 100_000
GENERATED: Final = "<!-- made by `make images`; do not edit -->\n"
_SHOWN_DIRECTORY: Final = "/srv/release"
"""The name in a picture of the directory in which the command was typed."""
_SIGNALS: Final = "--policy-status allow --ci-status success"
_INIT: Final = "fsm-orchestrator init . --stages plan,apply --approve-before apply"
_MIGRATION: Final = (
    "echo applying 2 of 3: add an index; until test -e go; do sleep 0.05; done; echo applied 3"
)
"""A stage that works until its picture is taken."""


@dataclass(frozen=True)
class Scene:
    """A picture of a command that is typed.

    Attributes:
        before: commands that are typed before it, unseen.
        until: the words at which the picture is taken; if empty, when the command has ended. The
            file `go` then appears, for a stage that waits for it.
    """

    name: str
    title: str
    command: str
    before: tuple[str, ...] = ()
    until: str = ""


SCENES: Final = (
    Scene(
        "run",
        "a run that ends well",
        f"fsm-orchestrator run out --config run.toml \\\n  {_SIGNALS} --review-status approved",
        before=("fsm-orchestrator init .",),
    ),
    Scene(
        "watch",
        "a run at work",
        "fsm-orchestrator out --resume --review-status approved",
        before=(
            _INIT,
            f"printf '#!/bin/sh\\n{_MIGRATION}\\n' > apply.sh",
            f"fsm-orchestrator run out --config run.toml {_SIGNALS} || true",
        ),
        until="applying 2 of 3",
    ),
    Scene(
        "blocked",
        "why a run is blocked",
        "fsm-orchestrator explain out",
        before=(
            _INIT,
            f"fsm-orchestrator run out --config run.toml {_SIGNALS} || true",
        ),
    ),
)


def expected_pictures() -> dict[str, str]:
    """Return the text of every picture by its file's name."""
    texts = {f"{scene.name}.svg": GENERATED + _terminal(scene) for scene in SCENES}
    lifecycle = picture_of(reading.shipped(DEFAULT_LIFECYCLE))
    return {**texts, LIFECYCLE: GENERATED + svg_text(dot_text(lifecycle))}


def stale_pictures(directory: Path, expected: dict[str, str]) -> Iterator[tuple[Path, str]]:
    """Yield each picture that is stale or belongs to no scene, and why."""
    for name, text in expected.items():
        if trouble := _trouble(directory / name, text):
            yield directory / name, trouble
    for path in sorted(directory.iterdir()):
        if path.name not in expected:
            yield path, "is of nothing"


def _trouble(path: Path, expected: str) -> str:
    """Return what is wrong with a picture; empty if nothing is."""
    if not path.exists():
        return "is missing"
    look = drawn_lifecycle if path.name == LIFECYCLE else terminal.seen_in
    found = path.read_text()
    try:
        is_same = found.startswith(GENERATED) and look(found) == look(expected)
    except ValueError as error:
        return f"is not XML: {error}"
    return "" if is_same else "shows something else"


def _terminal(scene: Scene) -> str:
    with tempfile.TemporaryDirectory() as above:  # a short name: screens are cut at their width
        directory = Path(above, "work").resolve()
        directory.mkdir()
        env = _environment(directory.parent)
        for command in scene.before:
            subprocess.run(
                ["/bin/sh", "-c", command],
                cwd=directory,
                env=env,
                capture_output=True,
                check=True,
            )
        lines = terminal.screen_after(
            scene.command,
            cwd=directory,
            env=env,
            columns=COLUMNS,
            until=scene.until,
            go_on=(directory / "go").touch,
        )
        typed = [
            Text(f"{'$' if not i else ' '} ", "bold green").append(line, "bold default")
            for i, line in enumerate(scene.command.splitlines())
        ]
        lines = [_with(line, str(directory), _SHOWN_DIRECTORY) for line in lines]
        return terminal.drawn([*typed, *lines], name=scene.name, title=scene.title, columns=COLUMNS)


def _with(line: Text, old: str, new: str) -> Text:
    """Return a line with one text replaced by another in its style."""
    before, found, _ = line.plain.partition(old)
    if not found:
        return line
    start, end = len(before), len(before) + len(old)
    style = line.get_style_at_offset(terminal.PLAIN, start)
    return line[:start] + Text(new, style) + _with(line[end:], old, new)


def _environment(folder: Path) -> dict[str, str]:
    """Return the environment of a user who has just opened a terminal."""
    command = folder / "bin" / "fsm-orchestrator"
    command.parent.mkdir(exist_ok=True)
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fsm_orchestrator "$@"\n')
    command.chmod(0o755)
    return {
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
    }


def main(directory: str) -> None:
    """Bring the pictures of a directory up to date."""
    texts = expected_pictures()
    renew(stale_pictures(Path(directory), texts), texts)


if __name__ == "__main__":
    main(sys.argv[1])
