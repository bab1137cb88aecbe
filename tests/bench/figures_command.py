"""Figures of the whole command, from its start to its exit: a run, `--help`, `--version`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence

from tests.bench.figure import Bench, Row, Unit
from tests.bench.measure import interleaved, launch
from tests.bench.runs_of_ours import PASSING_FLAGS

LIBRARIES = ("pydantic", "transitions", "structlog")


def command_figure(bench: Bench) -> Sequence[Row]:
    """A run of two stages that do nothing, in a fresh output directory each time."""
    stages = ("--manager-bin", bench.true, "--executor-bin", bench.true)

    def ours() -> float:
        return launch([*bench.command, str(bench.fresh()), *PASSING_FLAGS, *stages]).seconds

    own, imports, spawns = interleaved(
        bench.times(20),
        ours,
        _python(f"import {', '.join(LIBRARIES)}"),
        _seconds("/bin/sh", "-c", f"'{bench.true}'; '{bench.true}'; :"),
    )
    label = "run of two stages, whole command"
    return (
        Row(
            label=label,
            ours=own,
            floor=imports,
            floor_is=f"python -c 'import {', '.join(LIBRARIES)}'",
            target=1.4,
        ),
        Row(label=label, ours=own, floor=spawns, floor_is="sh -c 'true; true', both spawned"),
    )


def help_figure(bench: Bench) -> Sequence[Row]:
    """What answers without doing anything, and what it loads for that."""
    own_help, own_version, nothing, click = interleaved(
        bench.times(20),
        _seconds(*bench.command, "--help"),
        _seconds(*bench.command, "--version"),
        _python("pass"),
        _python("import click"),
    )
    rows = []
    for option, own in (("--help", own_help), ("--version", own_version)):
        rows.append(Row(label=option, ours=own, floor=nothing, floor_is="python -c pass"))
        rows.append(Row(label=option, ours=own, floor=click, floor_is="python -c 'import click'"))
        loaded = _heavy_imports(option)
        rows.append(
            Row(
                label=f"{option}: libraries loaded",
                unit=Unit.COUNT,
                ours=(len(loaded),),
                floor_is=f"counted: {', '.join(LIBRARIES)}",
                note=f"{option} loads {', '.join(loaded)}" if loaded else "",
            )
        )
    return rows


def _seconds(*argv: str) -> Callable[[], float]:
    return lambda: launch(argv).seconds


def _python(code: str) -> Callable[[], float]:
    return _seconds(sys.executable, "-c", code)


def _heavy_imports(option: str) -> list[str]:
    """Which of the libraries the command imports, counted by the interpreter itself."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fsm_orchestrator", option],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    names = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    return [name for name in LIBRARIES if name in names]
