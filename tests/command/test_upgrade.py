"""A package that is replaced or removed while a run works: no run mixes versions or is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

import fsm_orchestrator
from fsm_orchestrator.processes import held_code
from tests.support.command import COMMAND, ORCHESTRATOR_PID, PASSING, environment, report_of, shell
from tests.support.patience import wait_until

pytestmark = pytest.mark.one_in(2)

PACKAGE: Final = Path(fsm_orchestrator.__file__).parent
REPLACED: Final = """
for file in $(find "$LIB" -name '*.py'); do echo 'raise SystemError("another version")' >$file; done
find "$LIB" -name '*.pyc' -delete
"""
ALONE: Final = ("--skip-stage", "executor")
UPGRADES: Final[Mapping[str, str]] = {
    "removed": 'rm -rf "$LIB"',
    "replaced": REPLACED,
    "half": 'rm -rf "$LIB"/processes "$LIB"/explanation "$LIB"/inspection',
}
ENDS: Final[Mapping[str, tuple[str, int, tuple[str, ...]]]] = {
    # For each action of the stage: the ending of the run, and its options.
    "ends well": ("exit 0", 0, ()),
    "fails": ("exit 3", 1, ()),
    "overruns": ("sleep 600", 124, ("--manager-timeout-ms", "1500")),
    "leaks": ("sleep 600 & exit 0", 0, ()),
    "prints": ("echo printed", 0, ("--log-output",)),
    "is tried again": (
        "exit $((2 - ORCHESTRATOR_ATTEMPT))",
        0,
        ("--manager-max-attempts", "2", "--manager-retry-exit-code", "1"),
    ),
    "writes": ("echo {} >made.json", 0, ("--manager-expected-artifact", "made.json")),
}


@pytest.fixture(name="lib")
def installed_copy(tmp_path: Path) -> Path:
    """Copy the installed package, to be removed by a test."""
    lib = tmp_path / "lib" / PACKAGE.name
    shutil.copytree(PACKAGE, lib)
    if not (lib / "states").exists():
        shutil.copytree(import_module(f"{PACKAGE.name}.states").__path__[0], lib / "states")
    return lib


def run(lib: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the copy, in the directory beside it."""
    env = environment(
        LIB=str(lib), PYTHONPATH=str(lib.parent), XDG_STATE_HOME=str(lib / "../state")
    )
    return subprocess.run(
        [*COMMAND, "out", *PASSING, *options, "--manager-backoff-ms", "0", *ALONE],
        cwd=lib.parents[1],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.one_in(3)
@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("end", ENDS)
def test_run_ends_as_if_nothing_had_happened(end: str, upgrade: str, lib: Path) -> None:
    """Code loaded after the first stage began has the version that began it."""
    script, code, options = ENDS[end]
    ended = run(lib, *shell("manager", f"{UPGRADES[upgrade]}\n{script}"), *options)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    report = report_of(lib.parents[1] / "out")
    assert report["exit_code"] == code
    assert report["closure_ready"] == (code == 0)
    assert str(lib.parents[1] / "out") in ended.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="keepers are there on Linux only")
@pytest.mark.parametrize("upgrade", UPGRADES)
def test_keeper_ends_what_is_left_all_the_same(upgrade: str, lib: Path, tmp_path: Path) -> None:
    """The keeper has all its code before a stage begins, and ends the stage of a killed run."""
    script = f"{UPGRADES[upgrade]}\necho $$ >pid; kill -KILL {ORCHESTRATOR_PID}; exec sleep 600"
    assert run(lib, *shell("manager", script)).returncode == -signal.SIGKILL
    stage = int((tmp_path / "pid").read_text())
    try:
        wait_until(lambda: not psutil.pid_exists(stage), "the stage is there")
    finally:
        if psutil.pid_exists(stage):
            os.kill(stage, signal.SIGKILL)


def test_library_that_is_gone_is_a_designed_error(lib: Path, tmp_path: Path) -> None:
    """A foreign library is not held in memory: the run fails and says what to do."""
    (tmp_path / "lib/psutil.py").write_text("from psutil.gone import everything\n")
    code = f"import sys; sys.path.insert(0, {str(lib.parent)!r});"
    code += "from fsm_orchestrator.__main__ import start; start()"
    options = (*PASSING, *shell("manager", "sleep 600"), "--manager-timeout-ms", "500")
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, "out", *options],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert "cannot be loaded" in report["stage_executions"][-1]["error"]
    assert "psutil" in report["stage_executions"][-1]["error"]


def test_every_module_that_a_run_may_need_is_held_or_loaded() -> None:
    """Modules that are neither held nor loaded belong to other commands."""
    held = {name: source.path for name, source in held_code._modules(str(PACKAGE))}
    every = {
        ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)): str(path)
        for path in PACKAGE.rglob("*.py")
    }
    every = {name.removesuffix(".__init__"): path for name, path in every.items()}
    left = {name: path for name, path in every.items() if name not in held}
    assert held.items() <= every.items()
    for path in left.values():
        place = str(Path(path).relative_to(PACKAGE).with_suffix(""))
        assert any(place == one or place.startswith(f"{one}/") for one in held_code.NOT_FOR_RUNS)


@pytest.mark.parametrize("is_compiled", [True, False])
def test_held_module_is_what_it_was(is_compiled: bool, tmp_path: Path) -> None:
    """Source and bytecode are held alike, and a change of the file has no effect."""
    source = tmp_path / "held_sample" / "__init__.py"
    source.parent.mkdir()
    source.write_text("VALUE = 1\n")
    if is_compiled:
        subprocess.run([sys.executable, "-m", "compileall", "-q", tmp_path], check=True)
        assert list(source.parent.glob("__pycache__/*.pyc"))
    (entry,) = (one for one in os.scandir(source.parent) if one.name == source.name)
    held: dict[str, Any] = {"held_sample": held_code._read(entry)}
    assert (str(source) in held["held_sample"].files) == (not is_compiled)
    shutil.rmtree(source.parent)
    finder: Any = held_code._Finder(held)
    sys.meta_path.insert(0, finder)
    try:
        module = import_module("held_sample")
    finally:
        sys.meta_path.remove(finder)
        sys.modules.pop("held_sample", None)
    assert (module.VALUE, module.__file__, list(module.__path__)) == (
        1,
        str(source),
        [str(source.parent)],
    )
    assert not source.parent.exists()
