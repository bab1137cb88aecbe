"""This finder finds the modules that Python would find where they must be, and no others."""

from __future__ import annotations

import os
import py_compile
import subprocess
import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.disk.plain_modules import _Finder

PACKAGE: Final = "fsm_orchestrator"
LIBRARY: Final = """
import importlib.util, os, sys
from importlib.machinery import PathFinder
from fsm_orchestrator.disk.plain_modules import _Finder
for name in ("colorsys", "json"):
    expected, spec = PathFinder.find_spec(name), _Finder().find_spec(name)
    if os.path.exists(expected.cached):
        assert (spec.origin, spec.cached) == (expected.origin, expected.cached)
for name in ("sys", "zipimport", "click", "no_such_module"):
    assert _Finder().find_spec(name) is None, name
sys.path.insert(0, os.getcwd())  # whatever lies there comes first
assert _Finder().find_spec("colorsys") is None
"""
HELD: Final = """
import sys
from fsm_orchestrator.disk import plain_modules
from fsm_orchestrator.processes import held_code
plain_modules.install()
print([type(one).__module__ for one in sys.meta_path].count(plain_modules.__name__))
held_code.hold_code()
print([type(one).__module__ for one in sys.meta_path].count(plain_modules.__name__))
"""


@pytest.fixture(name="folder")
def folder_of_modules(tmp_path: Path) -> Path:
    """Make a folder with a module and a package, both compiled."""
    (tmp_path / "room").mkdir()
    for source in (tmp_path / "one.py", tmp_path / "room/__init__.py"):
        source.write_text("VALUE = 1\n")
        py_compile.compile(str(source), doraise=True)
    return tmp_path


def found(folder: Path, name: str = "one", package: str = PACKAGE) -> ModuleSpec | None:
    """Return the spec of a name in a folder, found as a module of a package."""
    return _Finder().find_spec(f"{package}.{name}", [str(folder)])


def value(spec: ModuleSpec) -> int:
    """Return the value that a module defines, as its loader has it."""
    assert isinstance(spec.loader, SourceFileLoader)
    code = spec.loader.get_code(spec.name)
    assert code is not None
    assert code.co_filename == spec.origin
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - as an import does
    return int(names["VALUE"])


@pytest.mark.parametrize("name", ["one", "room"])
def test_module_is_found_as_python_finds_it(name: str, folder: Path) -> None:
    """It has the same names, files and code, also when it is looked up again."""
    spec = found(folder, name)
    by_python = PathFinder.find_spec(f"{PACKAGE}.{name}", [str(folder)])
    assert spec is not None
    assert by_python is not None
    for attribute in ("name", "origin", "cached", "has_location", "submodule_search_locations"):
        assert getattr(spec, attribute) == getattr(by_python, attribute)
    assert value(spec) == value(by_python) == value(spec)


def test_module_that_is_not_plainly_there_is_left_to_python(folder: Path) -> None:
    """Unknown names, packages that may have compiled modules, and sources without bytecode."""
    assert found(folder) is not None
    assert found(folder, "none") is None
    assert found(folder, package="other") is None
    for other in (folder / "one.py").parent.glob("__pycache__/one.*"):
        other.unlink()
    assert found(folder) is None


@pytest.mark.parametrize("mode", [*py_compile.PycInvalidationMode])
def test_bytecode_that_is_not_of_its_source_is_left_to_python(
    mode: py_compile.PycInvalidationMode, folder: Path
) -> None:
    """Bytecode with a digest of its source is left to Python too, which compares it."""
    source = folder / "one.py"
    py_compile.compile(str(source), doraise=True, invalidation_mode=mode)
    is_stamped = mode is py_compile.PycInvalidationMode.TIMESTAMP
    assert (found(folder) is not None) == is_stamped
    stamp = source.stat()
    source.write_text("VALUE = 22\n")
    os.utime(source, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert found(folder) is None
    source.write_text("VALUE = 2\n")
    os.utime(source, (stamp.st_atime, stamp.st_mtime + 5))
    assert found(folder) is None


def test_bytecode_from_elsewhere_says_where_its_source_is_now(folder: Path) -> None:
    """A copied package loads as if it had been compiled at its place."""
    source = folder / "one.py"
    py_compile.compile(str(source), dfile="/elsewhere/one.py", doraise=True)
    spec = found(folder)
    assert spec is not None
    assert value(spec) == 1


def test_library_is_found_but_for_what_the_interpreter_has() -> None:
    """Built-in and frozen modules are left to their own finders."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", LIBRARY], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_modules_are_not_found_here_once_the_code_is_held() -> None:
    """From the first stage on, only older code is loaded."""
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == (["1", "0"], "")
