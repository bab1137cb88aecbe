"""`fleet`: runs all runs of a file, some at a time; continues where an earlier call was cut off."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.fleet_screen import entry_line, screen_of
from fsm_orchestrator.cli.formatting import columns, command_line, shown_path
from fsm_orchestrator.cli.parser.engine_options import ENGINE_KEYS, option_of
from fsm_orchestrator.cli.screen import Line, prose_width, shortened, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.fleet.definition import Fleet, read_fleet
from fsm_orchestrator.fleet.fleet import FleetOptions, run_fleet
from fsm_orchestrator.fleet.observing import FleetObserver
from fsm_orchestrator.fleet.report import FLEET_FILE, Course, FleetEntry, FleetReport
from fsm_orchestrator.fleet.standing import Retries
from fsm_orchestrator.model.listing import WORST_FIRST
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted, described, span_ms, suggestion
from fsm_orchestrator.text.units import span_words
from fsm_orchestrator.vocabulary import ExitCode, Standing

DIRECTORY: Final = "./fleet"
LISTED_MAX: Final = 5
_ORDER: Final = tuple(one for one in WORST_FIRST if not one.is_held and one is not Standing.DONE)
"""The standings in which runs are listed by name, the worst first."""


def fleet_command(parameters: Mapping[str, Any]) -> int:
    """Run a fleet, and return the worst exit code of its runs."""
    interrupts = Interrupts()
    with interrupts.installed():
        fleet = read_fleet(parameters["file"])
        typed = parameters["directory"] or DIRECTORY
        engine = _engine(parameters)
        options = FleetOptions(
            jobs=parameters["jobs"] or engine.jobs,
            retries=Retries(parameters["retry_failed"], parameters["retry_blocked"]),
            max_failures=1 if parameters["fail_fast"] else parameters["max_failures"],
            only=_only(parameters["only"], fleet),
            state_key_file=_key_file(parameters["state_key_file"]),
        )
        screen = screen_of(console.stderr(), is_quiet=parameters["quiet"])
        report = engine.run(fleet, absolute(typed), options, interrupts, screen)
        out = console.stdout_of_run(interrupts)
        code = ExitCode.INTERNAL if report.exit_code is None else report.exit_code
        if parameters["as_json"]:
            out.write(report.to_json().decode())
        elif not (parameters["quiet"] and code == ExitCode.DONE):
            width = prose_width(out) if out.is_terminal else None
            out.show(shown(_lines(report, _words(parameters), shown_path(typed), width)))
    return code


class _Engine(NamedTuple):
    """The engine that works at the runs: `run` does as `run_fleet`, and takes `jobs` at once."""

    run: Callable[[Fleet, Path, FleetOptions, Interrupts, FleetObserver], FleetReport]
    jobs: int


def _engine(parameters: Mapping[str, Any]) -> _Engine:
    """Return the engine for the runs: this machine, or the named one.

    Raises:
        UsageError: options do not go together.
    """
    if parameters["engine"] is not None:
        from fsm_orchestrator.cli.fleet_on_engine import JOBS, on_temporal

        return _Engine(on_temporal(parameters), JOBS)
    for key in ENGINE_KEYS:
        if parameters[key]:
            raise UsageError(
                f"{option_of(key)} is about an engine, and the runs are to be made here",
                remedy="add --engine temporal",
            )
    return _Engine(run_fleet, os.cpu_count() or 1)


def _key_file(typed: str | None) -> str | None:
    """Return the full path of the file of a shared key, after checking that the key is good."""
    if typed is None:
        return None
    from fsm_orchestrator.secrets.state_key import shared_key

    path = absolute(typed)
    shared_key(path)
    return str(path)


def _only(names: Sequence[str], fleet: Fleet) -> frozenset[str] | None:
    known = [run.name for run in fleet.runs]
    for name in names:
        if name not in known:
            raise UsageError(
                f"--only names {described(name)}, which is no run of it{suggestion(name, known)}",
                remedy="name one of its runs",
            )
    return frozenset(names) if names else None


def _words(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the first words of the command that continues the fleet."""
    words = [parameters["file"]]
    for key in ("state_key_file", "engine", *ENGINE_KEYS):
        value = parameters[key]
        if value is True:
            words.append(option_of(key))
        elif value:
            words += (option_of(key), str(value))
    return tuple(words)


def _lines(
    report: FleetReport, typed: Sequence[str], directory: str, width: int | None
) -> Iterator[Line]:
    """Yield the summary: counts, runs that did not end well, what to type next."""
    took = ""
    if report.finished_at is not None:
        took = f" in {span_words(span_ms(report.started_at, report.finished_at))}"
    yield Line(f"fleet: {_counts(report)}{took}", _mark(report))
    bad = sorted(filter(_is_bad, report.runs), key=_rank)
    for entry in bad[:LISTED_MAX]:
        line = entry_line(entry)
        text = line.text if width is None else shortened(line.text, width - 2 - lead_cells())
        yield line._replace(text=text)
    if len(bad) > LISTED_MAX:
        yield Line(f"  and {len(bad) - LISTED_MAX} more", is_dim=True)
    rows = [("report", copyable(str(Path(directory) / FLEET_FILE)))]
    if bad:
        rows.append(("why", command_line("explain", str(Path(directory) / bad[0].name))))
    words = ("fleet", *typed, *(() if directory == DIRECTORY else ("--dir", directory)))
    retries = {
        "--retry-failed": (Standing.FAILED, Standing.TIMEOUT),
        "--retry-blocked": (Standing.BLOCKED, Standing.WAITING),
    }
    if any(one.course in {Course.NOT_STARTED, Course.SUBMITTED} for one in report.runs):
        rows.append(("continue", command_line(*words)))
    for option, standings in retries.items():
        if any(one.standing in standings for one in bad):
            rows.append(("retry", command_line(*words, option)))
    yield from map(Line, columns(rows))


def _counts(report: FleetReport) -> str:
    standings = [one.standing for one in report.runs]
    told = [(standings.count(one), one.words) for one in (*_ORDER, Standing.DONE)]
    refused = sum(one.course is Course.REFUSED for one in report.runs)
    left = sum(one.course is Course.NOT_STARTED for one in report.runs)
    submitted = sum(one.course is Course.SUBMITTED for one in report.runs)
    told += [(refused, "refused"), (submitted, "left to the engine"), (left, "not started")]
    said = [f"{count} {words}" for count, words in told if count]
    return f"{', '.join(said)} of {counted(len(report.runs), 'run')}"


def _mark(report: FleetReport) -> Mark:
    if report.exit_code == ExitCode.DONE:
        return Mark.GOOD
    is_bad = any(_is_bad(one) and entry_line(one).mark is Mark.BAD for one in report.runs)
    return Mark.BAD if is_bad else Mark.WAITING


def _is_bad(entry: FleetEntry) -> bool:
    return entry.exit_code not in {None, ExitCode.DONE}


def _rank(entry: FleetEntry) -> int:
    return -1 if entry.standing is None else _ORDER.index(entry.standing)
