"""The means that a run gets from its caller, and a listener that cannot affect the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fsm_orchestrator.constants import EPOCHS_DIRECTORY
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.engine.foreign import came_by_signal
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.observing import ANOTHERS, OwnCode
from fsm_orchestrator.vocabulary import HeldBy

if TYPE_CHECKING:
    from fsm_orchestrator.config.run_config import RunConfig
    from fsm_orchestrator.disk.epochs import Epoch
    from fsm_orchestrator.engine.held import Fence
    from fsm_orchestrator.engine.stop_hearing import StopHearing
    from fsm_orchestrator.preparation.preparation import Preparation
    from fsm_orchestrator.processes.keeper_pool import KeeperPool
    from fsm_orchestrator.processes.lease import Lease
    from fsm_orchestrator.record.event_log import Listener
    from fsm_orchestrator.record.report import Report
    from fsm_orchestrator.stages.judging import SlowArtifact
    from fsm_orchestrator.stages.last_words import OnWords
    from fsm_orchestrator.stages.meter import OnMetered


class QuietListener:
    """A listener that passes events on until the caller's listener raises, and keeps that error.

    An exception that is no `Exception` (Ctrl-C, `SystemExit`), or that a signal handler raises
    while the listener is at work, is not the listener's and propagates.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._failure: Exception | None = None
        self._has_told = False

    def __call__(self, event: Mapping[str, Any]) -> None:
        """Pass an event on, unless the listener has raised before."""
        if self._failure is not None:
            return
        try:
            self._listener(event)
        except Exception as error:
            if came_by_signal(error):
                raise
            self._failure = error

    def news(self) -> str | None:
        """Return what the listener raised, or None if it raised nothing or that was reported."""
        if self._failure is None or self._has_told:
            return None
        self._has_told = True
        kind, text = type(self._failure).__name__, str(self._failure)
        return f"a listener raised {kind}{text and f': {text}'}; it gets no more events"


class Surroundings(NamedTuple):
    """The means that a run gets from its caller."""

    interrupts: Interrupts
    listener: QuietListener | None
    keepers: KeeperPool | None
    held_by: HeldBy
    on_words: OnWords | None = None
    """A callback that gets a stage and the last line that it printed, if somebody watches."""
    on_slow_artifact: Callable[[SlowArtifact], None] | None = None
    """A callback for artifacts that take long to judge before there is a log."""
    code: OwnCode = ANOTHERS
    on_metered: OnMetered | None = None
    """A callback that gets what the run has spent so far, if somebody watches."""
    hearing: StopHearing | None = None
    """The requests by file to end the run, where no signal could reach it alone."""
    on_ended: Callable[[Preparation, Report | None], None] | None = None
    """A callback for when an invocation has ended, everything is durable and the directory is free.
    It gets the preparation and the report, or None if that is only on disk. It must not raise."""
    lease: Lease | None = None
    """The lease that ends the run when it runs out."""
    lent: int | None = None
    """A descriptor of the lease's timer, for the processes that keep what the run starts."""
    fence: Fence | None = None
    """The check whether a later epoch holds the run."""
    epoch: Epoch | None = None
    """The claim under which the run is held; None in a plain output directory."""
    task_queue: str | None = None
    """The task queue that the caller serves; a stage that needs another one is left to that."""

    def placed(self, config: RunConfig) -> RunConfig:
        """Return the request as it applies under the claim of an engine, or without one.

        Raises:
            UsageError: an engine has the run, and nothing was claimed; or the claim does not fit.
            FencedError: somebody else has claimed the run since.
        """
        output = config.output_path
        is_plain = run_of(output) == output and not os.path.isdir(output / EPOCHS_DIRECTORY)
        if self.epoch is None and is_plain:
            return config
        from fsm_orchestrator.preparation.in_epoch import in_epoch, refuse_held  # noqa: PLC0415 - under an engine alone

        if self.epoch is not None:
            return in_epoch(config, self.epoch)
        refuse_held(config)
        return config
