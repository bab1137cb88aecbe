"""The state of a fleet's runs while it works: shown to its observer, kept in fleet.json."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.fleet.definition import Fleet
from fsm_orchestrator.fleet.entries import entry_before
from fsm_orchestrator.fleet.observing import FleetObserver, FleetView
from fsm_orchestrator.fleet.report import (
    FLEET_FILE,
    Course,
    FleetEntry,
    FleetReport,
    worst_of,
)
from fsm_orchestrator.fleet.standing import Decision
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import ExitCode, Standing

REPORT_SECONDS: Final = 0.5
"""The least number of seconds between two writes of the report while runs end."""


class Books:
    """The entries of a fleet's runs.

    Attributes:
        view: the state shown to its observer.
        failures: the number of runs that did not end as they should.
    """

    def __init__(
        self,
        fleet: Fleet,
        directory: Path,
        jobs: int,
        decisions: Mapping[str, Decision],
        asked: frozenset[str],
        observer: FleetObserver,
    ) -> None:
        """Record the standing of each run. `asked` has the names of the runs to work on."""
        self._fleet, self._directory = fleet, directory
        self._observer = observer
        self._clock = SystemClock()
        self._started_at = self.now()
        entries = {
            run.name: entry_before(run, decisions[run.name], is_asked=run.name in asked)
            for run in fleet.runs
        }
        self.view = FleetView(jobs, entries, time.monotonic())
        self.failures = 0
        self._written_at = 0.0

    def now(self) -> str:
        """Return the current time in the format of the reports."""
        return timestamp(self._clock.now())

    def put(self, name: str, entry: FleetEntry) -> None:
        """Replace the entry of a run and show it."""
        self.view.entries[name] = entry
        self._observer.has_changed(self.view, entry)

    def update(self, name: str, **changes: Any) -> None:
        """Change the entry of a run and show it."""
        self.put(name, self.view.entries[name].model_copy(update=changes))

    def put_off(self, name: str, reason: str) -> None:
        """Record why a run has to wait for another turn, without showing it."""
        update = {"course": Course.TO_COME, "reason": reason}
        self.view.entries[name] = self.view.entries[name].model_copy(update=update)

    def begin(self, name: str) -> None:
        """Record that work on a run has begun."""
        self.update(name, course=Course.WORKING, reason="", started_at=self.now())

    def end(
        self,
        name: str,
        course: Course,
        reason: str,
        code: int,
        *,
        standing: Standing | None = None,
        run_id: str | None = None,
        untold: tuple[str, ...] = (),
    ) -> None:
        """Record how a run ended, and which notices of it could not be delivered."""
        if standing is Standing.NOT_CLOSABLE:
            code = ExitCode.FAILED
        self.failures += code != ExitCode.DONE
        self.update(
            name,
            course=course,
            reason=reason,
            run_id=run_id or self.view.entries[name].run_id,
            standing=standing,
            exit_code=code,
            finished_at=self.now(),
            untold=untold,
        )

    def leave(self, names: Iterable[str], course: Course, reason: str) -> None:
        """Record that this fleet does nothing more about some runs."""
        for name in names:
            self.update(name, course=course, reason=reason)

    @property
    def worst_code(self) -> int:
        """The worst exit code among the runs that have one."""
        codes = (one.exit_code for one in self.view.entries.values())
        return worst_of(code for code in codes if code is not None)

    def write_now_and_then(self) -> None:
        """Write the report unless it was written less than `REPORT_SECONDS` ago.

        Raises:
            CommandError: it cannot be written.
        """
        if time.monotonic() - self._written_at > REPORT_SECONDS:
            self.write(None)

    def write(self, exit_code: int | None) -> FleetReport:
        """Write the report and return it; `exit_code` is None while the fleet works.

        Raises:
            CommandError: it cannot be written.
        """
        report = FleetReport(
            schema_version=1,
            product=PRODUCT,
            source=self._fleet.source,
            sha256=self._fleet.sha256,
            jobs=self.view.jobs,
            started_at=self._started_at,
            finished_at=None if exit_code is None else self.now(),
            exit_code=exit_code,
            runs=tuple(self.view.entries.values()),
        )
        path = self._directory / FLEET_FILE
        try:
            files.replace_file(path, report.to_json(), mode=0o600)
        except OSError as error:
            raise CommandError(
                f"cannot write {copyable(path)}: {files.reason(error)}",
                remedy="make room there, and start the fleet again: it continues where it stopped",
            ) from error
        self._written_at = time.monotonic()
        return report
