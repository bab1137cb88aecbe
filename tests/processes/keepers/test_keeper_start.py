"""The start of a keeper's process: small, and independent of what a stage could remove."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from fsm_orchestrator.processes import keeper_client
from tests.processes.nursery import on_linux

HEAVY = {
    *("cage", "collections", "contextlib", "ctypes", "enum", "landlock", "re", "seccomp"),
    *("selectors", "subprocess", "threading", "typing"),
}
"""Modules that the keeper's work does not need; an enumeration alone takes as long as the
interpreter."""


def said_by(code: str, folder: str) -> list[str]:
    """Run code in an interpreter like a keeper's; return the words that it prints."""
    argv = [sys.executable, "-I", "-S", "-c", code, "0", folder]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


@on_linux
def test_keeper_loads_nothing_that_it_does_not_need() -> None:
    """A keeper starts in half the time without them; each command and unpooled run starts one."""
    boot = keeper_client._BOOT.replace("keeper.boot()", "print(*sys.modules)")
    loaded = said_by(boot, keeper_client._directory())
    assert "keeper" in loaded
    assert HEAVY & {*loaded} == set()


@on_linux
def test_cage_is_the_one_that_was_there_when_the_keeper_started(tmp_path: Path) -> None:
    """A stage that replaces the package does not change the cage of a later stage."""
    package = tmp_path / "processes"
    shutil.copytree(keeper_client._directory(), package, ignore=shutil.ignore_patterns("__*"))
    code = """
import os, sys
sys.path.append(sys.argv[2])
import stage_start
for name in ("cage", "landlock", "seccomp"):
    with open(os.path.join(sys.argv[2], f"{name}.py"), "w") as file:
        file.write("raise SystemExit('replaced')")
cage = stage_start.loaded(stage_start._IN_A_CAGE)
print(cage.__name__, cage.spawn.__name__, cage.landlock is sys.modules["landlock"])
"""
    assert said_by(code, str(package)) == ["cage", "spawn", "True"]
