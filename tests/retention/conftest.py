"""Output directories with archived runs, made once for all tests that look or restore."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import Report, RunConfig, StageGiven, run

PASSED = {"policy": "allow", "ci": "success", "review": "approved"}
PLAN = "manager/plan.json"


def make_run(output: Path, run_id: str, code: int = 0, **given: Any) -> Report:
    """Make a run whose manager leaves one artifact in OUT and one next to it."""
    script = (
        f'mkdir -p {output}/manager; echo "[\\"{run_id}\\"]" > {output}/{PLAN}; echo > {output}.x'
    )
    stages = {
        "manager": StageGiven(
            bin="/bin/sh",
            args=("-c", script),
            expected_artifacts=(str(output / PLAN), f"{output}.x"),
        ),
        "executor": StageGiven(bin="/bin/sh", args=("-c", f"exit {code}")),
    }
    asked = {"output_directory": output, "run_id": run_id, "gates": PASSED, "stages": stages}
    return run(RunConfig.model_validate({**asked, **given}))


def contents(directory: Path) -> dict[str, str]:
    """Return the digest of each file of the run in a directory, by its path."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        is_ours = not name.startswith(("archive", "orchestrator.lock", ".gitignore"))
        if path.is_file() and not path.is_symlink() and is_ours:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(name="kept", scope="module")
def kept_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield an OUT with the failed run `r3`, and with `r1` and `r2` in its archive, done."""
    desk = tmp_path_factory.mktemp("desk")
    before = os.environ["XDG_STATE_HOME"]
    os.environ["XDG_STATE_HOME"] = str(desk / "state")
    try:
        for number in (1, 2, 3):
            make_run(desk / "out", f"r{number}", code=int(number == 3))
        yield desk / "out"
    finally:
        os.environ["XDG_STATE_HOME"] = before
