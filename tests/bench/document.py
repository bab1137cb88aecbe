"""Writes samples into a document: `python -m tests.bench.document SAMPLES DOCUMENT`.

SAMPLES is the file that `python -m tests.bench --json SAMPLES` has kept. The tables are between two
marks in the document and have only medians and ratios: nobody types a number. Measures nothing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

BEGIN: Final = "<!-- made by tests.bench.document: begin -->"
END: Final = "<!-- made by tests.bench.document: end -->"
_NONE: Final = "not measured"
_IMPORTS: Final = "python -c 'import pydantic, transitions, structlog'"
_DOIT: Final = "doit with the same two stages"
_PEERS: Final = ("Burr", "LangGraph", "DBOS")
_ABOUT: Final = ("cores", "CPU", "Python", "kernel", "packages", "load when begun")


class Found(NamedTuple):
    """The medians of a row, and the median of the ratios of its pairs."""

    ours: float
    floor: float | None
    ratio: float | None


class Samples:
    """The measurements of one run of the suite."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.machine: Mapping[str, str] = document["machine"]
        self._rows: Sequence[Mapping[str, Any]] = document["rows"]

    def row(self, figure: str, label: str, floor_is: str = "") -> Found | None:
        """Return a row by its figure, label and the beginning of its floor's description."""
        for one in self._rows:
            is_it = (one["figure"], one["label"]) == (figure, label)
            if is_it and one["floor_is"].startswith(floor_is) and one["ours_median"] is not None:
                return Found(one["ours_median"], one["floor_median"], one["ratio"])
        return None


def block(samples: Samples) -> str:
    """Return the tables, between their marks."""
    parts = (_cold, _warm, _peers, _fleet, _workers, _recovery, _epochs, _machine)
    return "\n\n".join((BEGIN, *("\n".join(part(samples)) for part in parts), END))


def replaced(text: str, samples: Samples) -> str:
    """Return a document with the tables of these samples in place of its own.

    Raises:
        ValueError: it has no place for them.
    """
    before, after = text.index(BEGIN), text.index(END) + len(END)
    return text[:before] + block(samples) + text[after:]


def _cold(samples: Samples) -> Iterator[str]:
    yield from _head("a cold run of two stages", "this program", "the other", "ratio")
    for where in ("alone", "with rich"):
        for kind, suffix in (("", ""), (" of all processes", ": CPU time")):
            label = f"run of two stages, {where}{suffix}"
            for name, floor_is in (("the imports", _IMPORTS), ("doit", _DOIT)):
                if (where, name) == ("with rich", "doit"):  # which has an environment of its own
                    continue
                what = "CPU time" if suffix else "from start to exit"
                found = samples.row("command", label, floor_is)
                yield _line(f"{what}{kind}, {where}, against {name}", found)
    started = samples.row("command", "until the first stage runs, alone", "those imports")
    yield _line("until the first stage runs, alone, against the imports", started)


def _warm(samples: Samples) -> Iterator[str]:
    yield from _head("a run in a process that makes many", "the run", "the part alone", "ratio")
    for name, floor_is in (
        ("its 2 processes, spawned bare", "2 spawns"),
        ("the same, contained by a keeper", "the same through a keeper"),
        ("its disk operations, with 8 syncs", "its disk operations"),
        ("the same without the syncs", "the same without"),
        ("its processor time", "its CPU time"),
    ):
        yield _line(name, samples.row("parts", "run with a pool", floor_is))
    pooled = samples.row("runs", "run through the API, with a pool")
    yield _line("disk operations and spawns, bare", pooled)
    alone = samples.row("runs", "run through the API, alone")
    yield _line("with its own keeper, against the same and an empty `python -I -S`", alone)


def _peers(samples: Samples) -> Iterator[str]:
    yield from _head("threads", "runs per second", *(f"{one}, and ratio" for one in _PEERS))
    for threads in (1, 2, 4, 16):
        label = f"{threads} thread{'s' * (threads > 1)}"
        found = [samples.row("peers", label, f"{one} ") for one in _PEERS]
        ours = next((f"{one.ours:.0f}" for one in found if one is not None), _NONE)
        yield f"| {' | '.join((str(threads), ours, *map(_rate, found)))} |"


def _fleet(samples: Samples) -> Iterator[str]:
    beside = "as many at a time as there are cores"
    yield from _head(beside, "fleet runs per second", "the other per second, and ratio")
    for name, floor_is in (
        ("its processes, spawned bare", "the same processes"),
        ("its runs, by the threads of one process", "the same runs"),
    ):
        found = samples.row("fleet", "runs of a fleet", floor_is)
        yield f"| {name} | {f'{found.ours:.0f}' if found else _NONE} | {_rate(found)} |"


def _workers(samples: Samples) -> Iterator[str]:
    beside = ("as bare activities", "in a fleet of this machine")
    yield from _head("workers", "runs per second", *(f"{one}, and ratio" for one in beside))
    for number in (1, 2, 4):
        label = f"runs over {number} worker{'s' * (number > 1)}"
        found = [samples.row("temporal", label, f"the same {one}") for one in ("programs", "runs")]
        ours = next((f"{one.ours:.0f}" for one in found if one is not None), _NONE)
        yield f"| {' | '.join((str(number), ours, *map(_rate, found)))} |"


def _recovery(samples: Samples) -> Iterator[str]:
    yield from _head(
        "a worker is lost, heartbeat timeout 2 s", "its stage is gone", "another starts it again"
    )
    for signal in ("SIGKILL", "SIGSTOP"):
        label = f"{signal} of a worker, until"
        gone = samples.row("recovery", f"{label} its stage is gone")
        anew = samples.row("recovery", f"{label} another begins it anew")
        told = (_NONE if one is None else f"{one.ours:.2f} s" for one in (gone, anew))
        yield f"| {signal} | {' | '.join(told)} |"


def _epochs(samples: Samples) -> Iterator[str]:
    yield from _head("a run under an engine", "measured", "the other", "ratio")
    claim = samples.row("epoch", "claim of an epoch")
    yield _line("claim of an epoch, against its writes, syncs and renames", claim)
    run = samples.row("epoch", "run in an epoch, under a lease")
    yield _line("run in an epoch, under a lease, against the same in a plain directory", run)
    syncs = samples.row("epoch", "syncs of a claim")
    added = samples.row("epoch", "bytes that a claim adds")
    if syncs is not None and added is not None:
        yield ""
        yield f"A claim syncs {syncs.ours:.0f} times, and adds {added.ours / 1024:.0f} KiB."


def _machine(samples: Samples) -> Iterator[str]:
    told = (f"{name} {samples.machine[name]}" for name in _ABOUT if name in samples.machine)
    yield f"Measured on: {'; '.join(told)}."


def _head(*names: str) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"


def _line(name: str, found: Found | None) -> str:
    if found is None or found.floor is None or found.ratio is None:
        return f"| {name} | {_NONE} | {_NONE} | {_NONE} |"
    return f"| {name} | {_ms(found.ours)} | {_ms(found.floor)} | {found.ratio:.2f} |"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"


def _rate(found: Found | None) -> str:
    if found is None or found.floor is None or found.ratio is None:
        return _NONE
    return f"{found.floor:.0f}, {found.ratio:.2f}"


def main(arguments: Sequence[str]) -> None:
    """Write the tables of SAMPLES into DOCUMENT."""
    samples, document = map(Path, arguments)
    text = replaced(document.read_text(), Samples(json.loads(samples.read_bytes())))
    document.write_text(text)


if __name__ == "__main__":
    main(sys.argv[1:])
