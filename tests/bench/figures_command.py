"""Figures of the whole command, from its start to its exit: a run, `--help`, `--version`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence

from tests.bench import environments
from tests.bench.environments import Environment
from tests.bench.figure import Bench, Row, Unit
from tests.bench.figures_peers import FOLDER, is_installed
from tests.bench.measure import Launched, interleaved, launch
from tests.bench.runs_of_ours import PASSING_FLAGS

LIBRARIES = ("pydantic", "transitions", "structlog")


def command_figure(bench: Bench) -> Sequence[Row]:
    """Measure a run of two stages that do nothing, with the program alone and with rich installed.

    structlog loads rich if it is installed, and so does the floor.
    """
    alone = environments.with_the_program(bench.scratch / "alone")
    peer = environments.made(bench.scratch / "doit", "doit") if is_installed("doit") else None
    rows = _rows_of(bench, alone, "alone", peer)
    if peer is None:
        rows.append(Row(label="beside doit", trouble="skipped: the extra `bench` has it"))
    beside = environments.with_the_program(bench.scratch / "beside", "rich")
    return [*rows, *_rows_of(bench, beside, "with rich", None), *_start_rows(bench, alone)]


def _rows_of(bench: Bench, where: Environment, beside: str, doit: Environment | None) -> list[Row]:
    stages = ("--manager-bin", bench.true, "--executor-bin", bench.true)

    def ours() -> Launched:
        return launch([where.command, str(bench.fresh()), *PASSING_FLAGS, *stages])

    def imports() -> Launched:
        return launch([where.python, "-c", f"import {', '.join(LIBRARIES)}"])

    def peer() -> Launched:
        if doit is None:
            return imports()
        directory = bench.fresh()
        directory.mkdir()
        given = ("-f", str(FOLDER / "dodo.py"), "--db-file", str(directory / "db"))
        return launch([str(doit.folder / "bin" / "doit"), *given], cwd=directory)

    own, floor, others = interleaved(bench.times(20), ours, imports, peer)
    label = f"run of two stages, {beside}"
    libraries = f"python -c 'import {', '.join(LIBRARIES)}'"
    compared = [(floor, libraries, 1.4)]
    if doit is not None:
        compared.append((others, "doit with the same two stages", 1.2))
    return [
        Row(
            label=f"{label}{kind}",
            ours=[getattr(one, of) for one in own],
            floor=[getattr(one, of) for one in samples],
            floor_is=name,
            target=target,
        )
        for samples, name, target in compared
        for kind, of in (("", "seconds"), (": CPU time", "cpu_seconds"))
    ]


def _start_rows(bench: Bench, where: Environment) -> list[Row]:
    """Measure the time until the first stage starts, and the time of spawning alone."""
    date = shutil.which("date") or "date"

    def ours() -> float:
        out = bench.fresh()
        stages = ("--manager-bin", date, "--manager-arg=+%s%N", "--executor-bin", bench.true)
        began_at = launch([where.command, str(out), *PASSING_FLAGS, *stages]).began_at_ns
        told = (out / "logs" / "manager.1.stdout.log").read_text()
        return (int(told) - began_at) / 1e9

    def imports() -> float:
        return launch([where.python, "-c", f"import {', '.join(LIBRARIES)}"]).seconds

    own, floor, spawns = interleaved(
        bench.times(20),
        ours,
        imports,
        _seconds("/bin/sh", "-c", f"'{bench.true}'; '{bench.true}'; :"),
    )
    label = "until the first stage runs, alone"
    return [
        Row(label=label, ours=own, floor=floor, floor_is="those imports"),
        Row(label=label, ours=own, floor=spawns, floor_is="sh -c 'true; true', both spawned"),
    ]


def help_figure(bench: Bench) -> Sequence[Row]:
    """Measure commands that only print text, and the modules that they load."""
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
    """Return the libraries that the command imports, counted by the interpreter itself."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "fsm_orchestrator", option],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    names = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    return [name for name in LIBRARIES if name in names]
