"""The command's process: what it leaves out is loaded on first use, and no plugin gets in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.command import PASSING, environment, shell

USES = """
from fsm_orchestrator.cli import spared
spared.install()
import sys
import asyncio, importlib.metadata
from importlib.metadata import entry_points
assert type(sys.modules["asyncio"]).__name__ == "StandIn"
import structlog, pathlib, click
assert type(sys.modules["inspect"]).__name__ == "StandIn"
click.Option(["--one"], help="straight")
assert type(sys.modules["inspect"]).__name__ == "StandIn"
assert click.Option(["--one"], help="a\\n    b").help == "a\\nb"
assert type(sys.modules["inspect"]).__name__ == "module"
import urllib.parse, inspect
assert pathlib.Path("/a b").as_uri() == "file:///a%20b"
assert urllib.parse.quote("a b") == "a%20b" and inspect.isfunction(spared.install)
import pydantic
assert type(sys.modules["asyncio"]).__name__ == "StandIn"
class Model(pydantic.BaseModel):
    x: int
assert type(sys.modules["importlib.metadata"]).__name__ == "StandIn"
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
from fsm_orchestrator.cli import named_tuples
named_tuples.install()
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
class Nothing(NamedTuple):
    pass
class Many(NamedTuple):
    a: int; b: int; c: int; d: int; e: int; f: int; g: int; h: int; i: int; j: int = 10
assert Nothing() == () and Many(*range(9)).j == 10 and Many(*range(9))._fields[-1] == "j"
import copy, inspect
assert copy.copy(Point(1, 2)) == Point(1, 2) == Point._make([1, 2])
assert Point(1)._asdict() == {"x": 1, "y": None}
assert str(inspect.signature(Point)) == "(x: 'int', y: 'int | None' = None)"
assert Point.__match_args__ == ("x", "y") and Point.__mro__ == (Point, tuple, object)
assert Point.__qualname__ == "Point" and Point.__new__.__qualname__ == "Point.__new__"
assert Point.x.__doc__ == "Alias for field number 0" and Nothing.__doc__ == "Nothing()"
assert not hasattr(Point(1), "__dict__") and Point.__orig_bases__ == (NamedTuple,)
class Named(NamedTuple):
    x: int
    def __repr__(self) -> str:
        return "shown"
    def __str__(self) -> str:
        return f"as {self!r}"
assert str(Named(1)) == "as shown"
def refused(make, error):
    try:
        make()
    except error as raised:
        return str(raised)
    raise AssertionError("accepted")
assert "missing 1 required positional argument: 'x'" in refused(Point, TypeError)
assert "unexpected keyword argument 'z'" in refused(lambda: Point(1, z=2), TypeError)
assert "Expected 2 arguments, got 1" == refused(lambda: Point._make([1]), TypeError)
assert "z" in refused(lambda: Point(1)._replace(z=2), (TypeError, ValueError))
import typing
def wrong(**fields):
    meta, base = typing.NamedTupleMeta, typing._NamedTuple
    annotations = {name: "int" for name in fields}
    values = {name: value for name, value in fields.items() if value is not ...}
    return lambda: meta(
        "Wrong", (base,), {"__module__": "m", "__annotations__": annotations, **values}
    )
assert "cannot follow default" in refused(wrong(x=1, y=...), TypeError)
assert "underscore" in refused(wrong(_x=...), ValueError)
assert "_make" in refused(wrong(_make=1), (AttributeError, ValueError))
class Described(typing.TypedDict):
    name: "str"
class More(Described, total=False):
    size: "int | None"
class Again(More):
    name: "str"
assert get_type_hints(More) == get_type_hints(Again) == {"name": str, "size": int | None}
assert More(name="one") == {"name": "one"} and More.__total__ is False
assert More.__required_keys__ == {"name"} and More.__optional_keys__ == {"size"}
print(Point.__module__)
"""
ENUMERATIONS = """
import sys
if sys.argv[1] == "made here":
    from fsm_orchestrator.cli import enumerations
    enumerations.install()
import copy, enum, importlib, pickle, pkgutil
import fsm_orchestrator
for one in pkgutil.walk_packages(fsm_orchestrator.__path__, "fsm_orchestrator."):
    if not one.name.endswith("__main__"):
        importlib.import_module(one.name)
class Odd(enum.Enum):
    A = enum.auto()
    B = A
    @property
    def twice(self):
        return self.value * 2
def told(kind):
    for member in kind:
        assert kind(member.value) is kind[member.name] is getattr(kind, member.name) is member
        assert pickle.loads(pickle.dumps(member)) is copy.deepcopy(member) is member
        assert member in kind and member.__objclass__ is kind and type(member) is kind
    for wrong in ("no such value", 4711):
        try:
            kind(wrong)
        except ValueError as error:
            yield str(error)
    first = next(iter(kind)).name
    for change in (lambda: setattr(kind, first, 1), lambda: type(kind)("X", (kind,), {})):
        try:
            change()
        except (AttributeError, TypeError) as error:
            yield str(error)
    yield kind.__module__, kind.__qualname__, kind.__doc__, str(kind.__mro__)
    yield list(kind.__members__)
    yield sorted(set(vars(kind)) - set(kind.__members__)), dir(kind), len(kind), str(list(kind))
    for one in kind:
        yield repr(one), str(one), f"{one}", one.name, one.value, type(one.value), one._sort_order_
        yield hash(one) == hash(type(one.value)(one.value)), sorted(vars(one))
names = set()
for module in [*sys.modules.values()]:
    for one in [*vars(module).values()]:
        is_ours = isinstance(one, enum.EnumType) and one.__module__.startswith("fsm_orchestrator.")
        if is_ours and (one.__module__, one.__name__) not in names:
            names.add((one.__module__, one.__name__))
for module, name in sorted(names):
    kind = getattr(sys.modules[module], name)
    print(*told(kind), sep="\\n")
print(*told(Odd))
assert Odd.B is Odd.A and Odd.A.twice == 2 and len(names) > 60
"""
SPARED = """
from fsm_orchestrator.cli import spared
spared.install()
import sys
assert type(sys.modules["logging"]).__name__ == "StandIn"
import transitions, structlog, click
model = type("Model", (), {})()
machine = transitions.Machine(model, states=["a", "b"], initial="a")
model.to_b()
loaded = {name for name, one in sys.modules.items() if type(one).__name__ == "StandIn"}
assert {"gettext", "logging", "pickle", "six", "traceback", "uuid", "structlog.dev",
        "structlog.processors", "structlog.stdlib", "structlog.tracebacks"} <= loaded, loaded
import datetime, json, re, signal
from fsm_orchestrator.model.endings import signal_name
assert type(datetime).__name__ == type(signal).__name__ == "StandIn"
names = [signal_name(number) for number in range(1, signal.NSIG)]
assert datetime.datetime.now(datetime.UTC).year > 2000 and datetime.timedelta(1).days == 1
assert datetime.datetime.strptime("2026", "%Y").year == 2026 and datetime.MAXYEAR == 9999
before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN and before == signal.SIG_DFL
assert type(sys.modules["signal"]).__name__ == "StandIn"
assert signal.Signals(15).name == "SIGTERM" and signal.SIGTERM.name == "SIGTERM"
assert type(sys.modules["signal"]).__name__ == "module"
assert names == [signal_name(number) for number in range(1, signal.NSIG)]
assert [*signal.Signals] and all(signal_name(one) == one.name for one in signal.Signals)
spared.import_without_patterns("json", "json.tool")
assert isinstance(re.compile("a"), re.Pattern) and json.loads(' [1.5, "\\u00e9"] ') == [1.5, "é"]
assert json.encoder.py_encode_basestring_ascii("é") == '"\\\\u00e9"' and json.dumps("é", indent=1)
assert json.scanner.py_make_scanner(json.JSONDecoder())("-1e3", 0) == (-1000.0, 4)
structlog.get_logger().info("said by default", by="structlog")
import logging, uuid, gettext, traceback, pickle, six, logging.handlers
from structlog.stdlib import BoundLogger
from structlog import dev
assert issubclass(structlog.stdlib.BoundLogger, structlog.BoundLoggerBase) and BoundLogger
assert type(logging.getLogger("one")).__name__ == "Logger" and machine
assert logging.handlers.WatchedFileHandler and structlog.dev.ConsoleRenderer is dev.ConsoleRenderer
assert str(click.UUID.convert("6ba7b810-9dad-11d1-80b4-00c04fd430c8", None, None)).startswith("6ba")
assert gettext.gettext("Usage:") == "Usage:" and pickle.loads(pickle.dumps([1])) == [1]
assert pickle.PicklingError.__module__ == "_pickle" and six.ensure_str(b"a") == "a"
try:
    raise ValueError("seen")
except ValueError:
    assert traceback.format_exc().endswith("ValueError: seen\\n")
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
    """Run the command where `installed` is an ordinary folder of packages."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", BESIDE, str(installed), *arguments],
        cwd=cwd,
        env=environment(SEEN=str(seen), XDG_STATE_HOME=str(cwd / "state")),
        capture_output=True,
        check=False,
    )
    return done.returncode


def test_what_is_left_out_is_there_once_it_is_used() -> None:
    """Asyncio and importlib.metadata work as usual, from the first use of any part of them."""
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
    """Another program loads the pydantic plugin; no part of a run does."""
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
    """Another program loads what structlog uses if installed; no run does."""
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
    """Fields, defaults, annotations and the rest agree, without compiling them first."""
    done = subprocess.run(
        [sys.executable, "-c", NAMED_TUPLES], capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout) == ("", "__main__\n")


def test_spared_module_is_there_as_ever_once_it_is_used() -> None:
    """The libraries work completely, and a spared module is loaded when it is used."""
    done = subprocess.run(
        [sys.executable, "-c", SPARED],
        env=environment(NO_COLOR="1"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert "said by default" in done.stdout
    assert "by=structlog" in done.stdout


def test_enumerations_are_what_enum_makes_of_them() -> None:
    """Members, values, lookups and the rest of each enumeration in the package agree."""
    made_here, by_enum = (
        subprocess.run(
            [sys.executable, "-c", ENUMERATIONS, way],
            env=environment(PYTHONHASHSEED="0"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for way in ("made here", "by enum")
    )
    assert (made_here.stderr, by_enum.stderr) == ("", "")
    assert made_here.stdout.splitlines() == by_enum.stdout.splitlines()
    assert "STAGE_SUCCEEDED" in by_enum.stdout
