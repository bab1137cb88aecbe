"""A run without things that nearly always exist: streams, a home."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.command.stage_cases import log_of
from tests.support.command import (
    COMMAND,
    ORCHESTRATOR_PID,
    PASSING,
    environment,
    report_of,
    shell,
    stages,
)

RUN: Final = ("out", *PASSING, *stages())


def run(
    cwd: Path,
    *words: str,
    env: Mapping[str, str] | None = None,
    prepare: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run the command after calling `prepare` in its process."""
    return subprocess.run(
        [*COMMAND, *words],
        cwd=cwd,
        env={**environment(XDG_STATE_HOME=str(cwd / "state")), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        preexec_fn=prepare,
        check=False,
    )


def without(*descriptors: int) -> Callable[[], None]:
    """Return a function that closes descriptors, as `>&-` does."""

    def close() -> None:
        for descriptor in descriptors:
            os.close(descriptor)

    return close


@pytest.mark.parametrize("path", [None, "lib"], ids=["as it is", "started again"])
@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (1, 2), (0, 1, 2)], ids=str)
def test_closed_streams_get_no_file_of_a_run(
    closed: tuple[int, ...], path: str | None, tmp_path: Path
) -> None:
    """A run is done without streams, and their numbers belong to the null device while it works."""
    script = f"for n in 0 1 2; do readlink /proc/{ORCHESTRATOR_PID}/fd/$n; done"
    env = {} if path is None else {"PYTHONPATH": path}
    words = ("out", *PASSING, *shell("manager", script), "--skip-stage", "executor")
    assert run(tmp_path, *words, env=env, prepare=without(*closed)).returncode == 0
    seen = os.fsdecode(log_of(tmp_path, "manager")).splitlines()
    assert [number for number in range(3) if seen[number] == os.devnull] == sorted({0, *closed})
    assert not any(str(tmp_path) in place for place in seen)
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("done", True)


@pytest.mark.parametrize(
    "variables",
    [
        {"HOME": "/nowhere/at/all"},
        {"HOME": "/dev/null"},
        {"HOME": ""},
        {"TMPDIR": "/nowhere/at/all"},
        {"TMPDIR": "/dev/null", "TERM": "", "SHELL": "/nowhere", "USER": "nobody at all"},
    ],
    ids=str,
)
def test_home_and_temporary_directory_are_not_needed(
    variables: Mapping[str, str], tmp_path: Path
) -> None:
    """A run is done and selftest succeeds where neither can be used."""
    assert run(tmp_path, *RUN, env=variables).returncode == 0
    assert report_of(tmp_path / "out")["terminal_state"] == "done"
    assert sorted(os.listdir(tmp_path)) == ["out", "state"]
    if "USER" in variables:
        tested = run(tmp_path, "selftest", "out", "--kills", "1", env=variables)
        assert tested.returncode == 0, tested.stdout


@pytest.mark.unprivileged
def test_closed_home_is_not_needed(tmp_path: Path) -> None:
    """With a home that may not be entered, a run that has values to keep is done, with warnings."""
    home = tmp_path / "home"
    home.mkdir(mode=0)
    env = {"HOME": str(home), "XDG_STATE_HOME": ""}
    assert run(tmp_path, *RUN, "--manager-env", "A=b", env=env).returncode == 0
    of_values, of_key = sorted(
        report_of(tmp_path / "out")["warnings"], key=lambda one: "key" in one
    )
    assert "no key can be kept" in of_key
    assert os.strerror(errno.EACCES).lower() in of_values
