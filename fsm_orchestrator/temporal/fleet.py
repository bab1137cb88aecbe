"""A fleet run by an engine: its runs are submitted, a limited number at a time, and followed.

The engine keeps what this process knows: when this is started again, it follows the submitted runs,
and submits the rest. When it ends, it leaves the runs to the engine.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fsm_orchestrator.config import config_file, config_reading
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.constants import SIGNAL_BASE
from fsm_orchestrator.disk.where import current_directory
from fsm_orchestrator.errors import CommandError, OrchestratorError
from fsm_orchestrator.fleet.books import Books
from fsm_orchestrator.fleet.definition import Fleet, FleetRun
from fsm_orchestrator.fleet.entries import is_due
from fsm_orchestrator.fleet.fleet import FleetOptions
from fsm_orchestrator.fleet.holding import held
from fsm_orchestrator.fleet.observing import FleetObserver, Working
from fsm_orchestrator.fleet.report import Course, FleetReport
from fsm_orchestrator.fleet.standing import Action, Decision
from fsm_orchestrator.fleet.turns import Turns
from fsm_orchestrator.fleet.written_configs import CONFIG_DIRECTORY, write_configs
from fsm_orchestrator.inspection.looking import overview_of as overview_by_record
from fsm_orchestrator.temporal.fleet_standing import Had, decision_of, overview_of
from fsm_orchestrator.temporal.listing import Listed, looked_up
from fsm_orchestrator.temporal.request_file import submitted_run_id
from fsm_orchestrator.temporal.signalling import Instruction, InstructionKind, tell
from fsm_orchestrator.temporal.submission import Wish, submission_of
from fsm_orchestrator.temporal.submitting import submit
from fsm_orchestrator.vocabulary import ExitCode

if TYPE_CHECKING:
    from temporalio.client import Client

    from fsm_orchestrator.processes.interrupts import Interrupts
    from fsm_orchestrator.temporal.connecting import Server

JOBS: Final = 100
"""The default for how many runs are submitted at once."""
ASKED_AT_ONCE_MAX: Final = 16
"""The most questions that the server has to answer at once."""
LOOK_SECONDS: Final = 0.5
AWAY_SECONDS_MAX: Final = 60.0
"""The longest that the server may be away before the fleet stops following."""
LEFT: Final = "the engine continues it"


class Engine(NamedTuple):
    """The engine that a fleet is handed to."""

    client: Client
    server: Server
    wish: Wish


async def run_fleet_on_engine(
    fleet: Fleet,
    directory: Path,
    options: FleetOptions,
    engine: Engine,
    interrupts: Interrupts,
    observer: FleetObserver,
) -> FleetReport:
    """Submit the runs of a fleet, follow them to their end, and report on them.

    A request to end stops only the following of the runs.

    Raises:
        UsageError: a run that is done or submitted has another definition now, or a directory
            cannot be made.
        FleetBusyError: another fleet is at work there.
        CommandError: the server no longer answers; the runs are left to the engine.
    """
    with held(directory):
        asker = _Asker(engine, asyncio.Semaphore(ASKED_AT_ONCE_MAX))
        ids = {run.name: submitted_run_id(directory / run.name) for run in fleet.runs}
        known = {name: run_id for name, run_id in ids.items() if run_id is not None}
        listed = await asker.all_of(known)
        had = {name: Had(run_id, listed[name]) for name, run_id in known.items()}
        decisions = {
            run.name: decision_of(directory / run.name, had.get(run.name), options.retries)
            for run in fleet.runs
        }
        write_configs(fleet.runs, decisions, directory, known.keys())
        work = _FleetOnEngine(fleet, directory, options, asker, decisions, interrupts, observer)
        return await work.follow(had)


class _Asker:
    """Asks the engine, a limited number of questions at a time."""

    def __init__(self, engine: Engine, turnstile: asyncio.Semaphore) -> None:
        self.engine = engine
        self._turnstile = turnstile

    async def all_of(self, ids: Mapping[str, str]) -> dict[str, Listed | None]:
        """Return runs as the engine knows them, by the keys of their ids."""
        found = await asyncio.gather(*map(self._one, ids.values()))
        return dict(zip(ids, found, strict=True))

    async def _one(self, run_id: str) -> Listed | None:
        async with self._turnstile:
            return await looked_up(self.engine.client, self.engine.server, run_id)


class _FleetOnEngine:
    def __init__(
        self,
        fleet: Fleet,
        directory: Path,
        options: FleetOptions,
        asker: _Asker,
        decisions: Mapping[str, Decision],
        interrupts: Interrupts,
        observer: FleetObserver,
    ) -> None:
        self._directory, self._options = directory, options
        self._asker, self._interrupts, self._observer = asker, interrupts, observer
        self._cwd = current_directory()
        self._decisions = dict(decisions)
        asked = [run for run in fleet.runs if options.only is None or run.name in options.only]
        names = frozenset(run.name for run in asked)
        self._asked = [run for run in asked if is_due(decisions[run.name])]
        self._turns = Turns(self._asked)
        self._books = Books(fleet, directory, options.jobs, decisions, names, observer)
        self._followed: dict[str, tuple[FleetRun, str]] = {}
        """The runs that the engine has, with their ids, by name."""
        self._news = asyncio.Event()
        self._away_since: float | None = None

    async def follow(self, had: Mapping[str, Had]) -> FleetReport:
        """Submit and follow runs until all have ended, or this process is asked to end."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._interrupts.fileno(), self._hear)
        try:
            self._books.write(None)
            for run in self._asked:
                if run.name in had and had[run.name].is_at_work:
                    self._turns.hold(run)
                    self._follow(run, had[run.name].run_id, is_resume=False)
            while True:
                await self._submit_more(had)
                if self._interrupts.first is not None or not self._followed:
                    break
                await self._pause()
                await self._look()
                self._books.write_now_and_then()
            return self._finish()
        finally:
            loop.remove_reader(self._interrupts.fileno())

    def _hear(self) -> None:
        """Receive a request to end."""
        self._interrupts.drain()
        if self._interrupts.first is not None:
            self._news.set()

    @property
    def _is_over(self) -> bool:
        """True once no more runs are submitted."""
        limit = self._options.max_failures
        too_many = limit is not None and self._books.failures >= limit
        return too_many or self._interrupts.first is not None

    # -- submitting -------------------------------------------------------------------------

    async def _submit_more(self, had: Mapping[str, Had]) -> None:
        while len(self._followed) < self._options.jobs and not self._is_over:
            run = self._turns.next()
            if run is None:
                return
            decision = self._decisions[run.name]
            try:
                run_id = await self._submitted(run, decision, had.get(run.name))
            except CommandError:
                raise  # the server's error, not one of this run
            except OrchestratorError as error:
                self._turns.has_ended(run)
                why = f"{error}; {error.remedy}".rstrip("; ")
                self._books.end(run.name, Course.REFUSED, why, error.exit_code)
            else:
                self._follow(run, run_id, is_resume=decision.action is Action.RESUME)

    async def _submitted(self, run: FleetRun, decision: Decision, had: Had | None) -> str:
        """Have the engine begin or continue a run; return its id.

        Raises:
            OrchestratorError: it cannot.
        """
        client, server, wish = self._asker.engine
        if had is not None and had.hears:
            where = str(self._directory / run.name)
            instruction = Instruction(InstructionKind.RESUME)
            await tell(client, server, had.run_id, instruction, where)
            return had.run_id
        config = self._config_of(run, is_resume=decision.action is Action.RESUME)
        with config.hidden_in_errors():
            spec = await submit(client, server, submission_of(config, wish))
        return spec.run_id

    def _config_of(self, run: FleetRun, *, is_resume: bool) -> RunConfig:
        asked = RunConfig(
            output_directory=str(self._directory / run.name),
            directory=self._cwd,
            resume=is_resume,
        )
        if is_resume:  # its request is in its directory
            return asked
        path = self._directory / CONFIG_DIRECTORY / f"{run.name}.toml"
        read = config_reading.load(path, str(path))
        return config_file.with_file(asked, read.content, str(path), read.sha256)

    # -- following --------------------------------------------------------------------------

    def _follow(self, run: FleetRun, run_id: str, *, is_resume: bool) -> None:
        now = time.monotonic()
        self._followed[run.name] = run, run_id
        self._books.view.working[run.name] = Working(run.name, is_resume, now, now)
        self._books.begin(run.name)

    async def _pause(self) -> None:
        """Wait until the engine is to be asked again, or this process is to end."""
        until = time.monotonic() + LOOK_SECONDS
        while not self._news.is_set() and (left := until - time.monotonic()) > 0:
            interval = self._observer.interval_seconds
            try:
                async with asyncio.timeout(left if interval is None else min(left, interval)):
                    await self._news.wait()
            except TimeoutError:
                self._observer.look(self._books.view)

    async def _look(self) -> None:
        """Ask the engine about all runs that are followed.

        Raises:
            CommandError: the server has not answered for too long.
        """
        try:
            found = await self._asker.all_of({name: one[1] for name, one in self._followed.items()})
        except CommandError:
            now = time.monotonic()
            self._away_since = self._away_since or now
            if now - self._away_since > AWAY_SECONDS_MAX:
                self._leave()
                self._books.write(ExitCode.FAILED)
                raise
            return
        self._away_since = None
        for name, listed in found.items():
            had = Had(self._followed[name][1], listed)
            if not had.is_at_work:
                self._end(name, had)
        if self._observer.wants_words:
            for name in self._followed:
                self._show_stage(name)

    def _end(self, name: str, had: Had) -> None:
        run, run_id = self._followed.pop(name)
        working = self._books.view.working.pop(name)
        self._books.view.took_seconds.append(time.monotonic() - working.began)
        self._turns.has_ended(run)
        if had.listed is None:
            why = "the engine no longer knows it"
            self._books.end(name, Course.REFUSED, why, ExitCode.FAILED, run_id=run_id)
            return
        overview = overview_of(had.listed, self._directory / name)
        course = Course.RESUMED if working.is_resume else Course.RAN
        self._books.end(
            name,
            Course.REFUSED if overview.standing is None else course,
            overview.reason,
            ExitCode.FAILED if overview.exit_code is None else overview.exit_code,
            standing=overview.standing,
            run_id=run_id,
        )

    def _show_stage(self, name: str) -> None:
        """Give the screen the stage at work in a run, as its record says."""
        directory = self._directory / name
        overview = overview_by_record(directory, str(directory))
        working = self._books.view.working[name]
        stage, attempt = overview.stage or "", overview.attempt
        if (stage, attempt) != (working.stage, working.attempt):
            working.stage, working.attempt, working.since = stage, attempt, time.monotonic()
        working.words = overview.last_line

    # -- the end ----------------------------------------------------------------------------

    def _leave(self) -> None:
        self._books.leave(tuple(self._followed), Course.SUBMITTED, LEFT)
        self._books.view.working.clear()

    def _finish(self) -> FleetReport:
        signum = self._interrupts.first
        self._leave()
        why = "too many runs had failed" if signum is None else "the fleet was asked to end"
        self._books.leave(self._names_left(), Course.NOT_STARTED, why)
        self._observer.close(self._books.view)
        return self._books.write(self._books.worst_code if signum is None else SIGNAL_BASE + signum)

    def _names_left(self) -> Iterator[str]:
        return (run.name for run in self._turns.give_up())
