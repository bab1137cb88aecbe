"""Measures, prints the table, and keeps the samples: `python -m tests.bench --help`.

Exit codes: 0 measured, 1 a figure failed (the table says why), 2 a wrong option. A figure that runs
out of time takes no more samples than it needs; one that hangs has failed.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.bench import machine, table
from tests.bench.figure import Bench, Figure, Row
from tests.bench.measure import BUDGET
from tests.bench.registry import FIGURES

SECONDS_MAX: Final = 600
"""The seconds in which all figures together may take samples."""
HANGS_AFTER_SECONDS: Final = 180
"""The additional seconds that one of them may take."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the requested figures, and return the exit code."""
    given = _parsed(arguments)
    parent = given.scratch or machine.disk_directory()
    chosen = [one for one in FIGURES if not given.only or one.name in given.only]
    faulthandler.dump_traceback_later(3 * SECONDS_MAX, exit=True)  # if one of its threads hangs
    with tempfile.TemporaryDirectory(prefix="fsm-bench-", dir=parent) as name:
        scratch = Path(name)
        _set_environment(scratch)
        about = machine.described(scratch)
        results = measured(chosen, scratch, is_quick=given.quick)
    about["load when ended"] = machine.load()
    sys.stdout.write(table.text_of(results, about))
    if given.json is not None:
        document = table.document_of(results, about, is_quick=given.quick)
        given.json.write_text(json.dumps(document, indent=1) + "\n")
    return int(any(row.has_failed for _, row in results))


def measured(figures: Sequence[Figure], scratch: Path, *, is_quick: bool) -> table.Results:
    """Return the rows of every figure, with its name; one that fails has a row with the reason."""
    return [(one.name, row) for one in figures for row in _rows(one, scratch, is_quick)]


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure.")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep every sample in FILE")
    parser.add_argument(
        "--only",
        action="append",
        choices=[one.name for one in FIGURES],
        help="measure this figure only; repeatable",
    )
    parser.add_argument("--quick", action="store_true", help="few repeats: to see that it works")
    parser.add_argument(
        "--scratch",
        type=Path,
        metavar="DIR",
        help="where to work, instead of a temporary directory",
    )
    return parser.parse_args(arguments)


def _set_environment(scratch: Path) -> None:
    """Put private state in `scratch`; unset what slows this interpreter below an operator's."""
    for key in [key for key in os.environ if key.startswith("PYTHON")]:
        del os.environ[key]
    os.environ["XDG_STATE_HOME"] = str(scratch / "state")


def _rows(figure: Figure, scratch: Path, is_quick: bool) -> Sequence[Row]:
    """Return the rows of a figure, or one with the reason of its failure.

    Nothing is deleted before all are measured: for minutes after many files were deleted, ext4
    makes new ones slowly.
    """
    began = time.monotonic()
    own = scratch / figure.name
    own.mkdir()
    bench = Bench(own, is_quick, _command(), shutil.which("true") or "/bin/true")
    gc.collect()
    BUDGET.begin(figure.share * SECONDS_MAX)
    try:
        with _ended_after(figure.share * SECONDS_MAX + HANGS_AFTER_SECONDS):
            return figure.measure(bench)
    except Exception as error:  # noqa: BLE001 - the other figures are measured all the same
        said = (str(error).splitlines() or [""])[0]
        trouble = f"{type(error).__name__}: {said}"
        return [Row(label=figure.name, trouble=trouble, has_failed=True)]
    finally:
        os.sync()
        sys.stderr.write(f"measured {figure.name} in {time.monotonic() - began:.0f} s\n")


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[None]:
    """End what hangs with an error."""

    def end(*_: object) -> None:
        raise TimeoutError(f"not measured after {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _command() -> tuple[str, ...]:
    """Return the installed command beside this interpreter, or else the module."""
    script = Path(sys.executable).with_name("fsm-orchestrator")
    return (str(script),) if script.exists() else (sys.executable, "-m", "fsm_orchestrator")


if __name__ == "__main__":
    sys.exit(main())
