"""The command's process: what it leaves out is there for whoever uses it, and no plugin gets in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.command import PASSING, environment, shell

USES = """
import fsm_orchestrator.__main__ as command
command._leave_out_unused()
import sys
import asyncio, importlib.metadata
from importlib.metadata import entry_points
assert type(sys.modules["asyncio"]).__name__ == "_Later"
import structlog, pathlib, click
assert type(sys.modules["inspect"]).__name__ == "_Later"
click.Option(["--one"], help="straight")
assert type(sys.modules["inspect"]).__name__ == "_Later"
assert click.Option(["--one"], help="a\\n    b").help == "a\\nb"
assert type(sys.modules["inspect"]).__name__ == "module"
import urllib.parse, inspect
assert pathlib.Path("/a b").as_uri() == "file:///a%20b"
assert urllib.parse.quote("a b") == "a%20b" and inspect.isfunction(command.start)
import pydantic
assert type(sys.modules["asyncio"]).__name__ == "_Later"
class Model(pydantic.BaseModel):
    x: int
assert type(sys.modules["importlib.metadata"]).__name__ == "_Later"
import asyncio.subprocess
async def answer():
    await asyncio.sleep(0)
    return 42
print(asyncio.run(answer()), importlib.metadata.version("click") > "8")
print(len(entry_points(group="console_scripts")) > 0, entry_points(group="pydantic"))
import asyncio
print(asyncio.run(answer()), Model(x="1").x)
"""
NAMED_TUPLES = """
import fsm_orchestrator.__main__ as command
command._leave_annotations_alone()
from typing import Generic, NamedTuple, TypeVar, get_type_hints
import pickle
class Point(NamedTuple):
    \'\'\'Where it is.\'\'\'
    x: "int"
    y: "int | None" = None
    def twice(self) -> "Point":
        return self._replace(x=2 * self.x)
assert get_type_hints(Point) == {"x": int, "y": int | None}
assert Point(1) == (1, None) and Point(1).twice() == (2, None)
assert Point._fields == ("x", "y") and Point._field_defaults == {"y": None}
assert repr(Point(x=1)) == "Point(x=1, y=None)" and Point.__doc__ == "Where it is."
assert pickle.loads(pickle.dumps(Point(1, 2))) == Point(1, 2)
T = TypeVar("T")
class Pair(NamedTuple, Generic[T]):
    one: T
assert Pair[int](1).one == 1
print(Point.__module__)
"""
SCREEN_LIBRARIES = ("rich", "better_exceptions", "colorama")
PLUGIN = "import os; open(os.environ['SEEN'], 'a').write('loaded'); plugin = None\n"


BESIDE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from fsm_orchestrator.__main__ import start
start()
"""


def code_beside(installed: Path, *arguments: str, cwd: Path, seen: Path) -> int:
    """Run the command where `installed` is a folder of packages like any other."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", BESIDE, str(installed), *arguments],
        cwd=cwd,
        env=environment(SEEN=str(seen), XDG_STATE_HOME=str(cwd / "state")),
        capture_output=True,
        check=False,
    )
    return done.returncode


def test_what_is_left_out_is_there_once_it_is_used() -> None:
    """Asyncio and importlib.metadata work as ever, from the first use of anything of them."""
    done = subprocess.run(
        [sys.executable, "-c", USES],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "42 True\nTrue ()\n42 1\n"


def test_installed_plugin_does_not_get_at_what_is_kept(tmp_path: Path) -> None:
    """A pydantic plugin is loaded by a program beside us, and by no part of a run."""
    installed, seen = tmp_path / "installed", tmp_path / "seen"
    about = installed / "watcher-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: watcher\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[pydantic]\nwatcher = watcher:plugin\n")
    (installed / "watcher.py").write_text(PLUGIN)
    env = {"SEEN": str(seen), "PYTHONPATH": str(installed)}
    options = (*shell("manager", "sleep 60"), "--manager-timeout-ms", "200")
    assert code_beside(installed, "out", *PASSING, *options, cwd=tmp_path, seen=seen) == 124
    assert list((tmp_path / "out" / "logs").glob("*.postmortem.json"))
    assert code_beside(installed, "explain", "out", cwd=tmp_path, seen=seen) == 0
    assert not seen.exists()
    program = "import pydantic\nclass M(pydantic.BaseModel):\n    x: int\n"
    subprocess.run(
        [sys.executable, "-c", program], env=environment(**env), capture_output=True, check=False
    )
    assert seen.read_text() == "loaded"


def test_libraries_for_a_screen_are_not_loaded(tmp_path: Path) -> None:
    """What structlog takes if it is installed is loaded by a program beside us, and by no run."""
    installed, seen = tmp_path / "installed", tmp_path / "seen"
    installed.mkdir()
    for name in SCREEN_LIBRARIES:
        noted = f"import os; open(os.environ['SEEN'], 'a').write('{name} ')\n"
        (installed / f"{name}.py").write_text(noted)
    env = {"SEEN": str(seen), "PYTHONPATH": str(installed)}
    options = (*PASSING, *shell("manager", "true"))
    assert code_beside(installed, "out", *options, cwd=tmp_path, seen=seen) == 0
    assert not seen.exists()
    subprocess.run(
        [sys.executable, "-c", "import structlog.dev"],
        env=environment(**env),
        capture_output=True,
        check=False,
    )
    assert set(seen.read_text().split()) == set(SCREEN_LIBRARIES)


def test_named_tuple_is_what_typing_makes_of_it() -> None:
    """Fields, defaults, annotations and all else, without the work of compiling them first."""
    done = subprocess.run(
        [sys.executable, "-c", NAMED_TUPLES], capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout) == ("", "__main__\n")
