"""The means that a run gets from its caller, and its listener kept from deciding anything."""

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
    """Passes events on, until the listener raises; keeps that error for whoever asks.

    What is no `Exception` (Ctrl-C, `SystemExit`), and what a signal handler raises while the
    listener is at work, is not the listener's and passes.
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
        """Say what the listener raised; None when that was told, or it raised nothing."""
        if self._failure is None or self._has_told:
            return None
        self._has_told = True
        kind, text = type(self._failure).__name__, str(self._failure)
        return f"a listener raised {kind}{text and f': {text}'}; it is told nothing more"


class Surroundings(NamedTuple):
    """The means that a run gets from its caller."""

    interrupts: Interrupts
    listener: QuietListener | None
    keepers: KeeperPool | None
    held_by: HeldBy
    on_words: OnWords | None = None
    """Called with a stage and each line that it printed last, where somebody watches."""
    on_slow_artifact: Callable[[SlowArtifact], None] | None = None
    """Called when artifacts take long to judge before there is a log to say it in."""
    code: OwnCode = ANOTHERS
    on_metered: OnMetered | None = None
    """Called with what the run has spent by then, where somebody watches."""
    hearing: StopHearing | None = None
    """Whether the run is asked to end by a file, where no signal could ask it alone."""
    on_ended: Callable[[Preparation, Report | None], None] | None = None
    """Called when an invocation has ended, all is durable and the directory is free: with what it
    began with, and its report; None where that is on disk alone. It must not raise."""
    lease: Lease | None = None
    """Ends the run when it runs out."""
    lent: int | None = None
    """A descriptor of its timer, for those who keep what the run starts."""
    fence: Fence | None = None
    """Whether a later epoch holds the run."""
    epoch: Epoch | None = None
    """The claim under which the run is held; None in a plain output directory."""
    task_queue: str | None = None
    """The queue that the caller serves; a stage of another one is left to it."""

    def placed(self, config: RunConfig) -> RunConfig:
        """Return the request as it is done under the claim of an engine, or without one.

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
