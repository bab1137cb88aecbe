"""Requests by file to end a run inside another program, and the rules for who may make them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Sequence
from typing import Final, assert_never

from fsm_orchestrator.constants import STOP_FILE
from fsm_orchestrator.disk import stop_request
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.disk.stop_request import Doubt, StopRequest
from fsm_orchestrator.processes.ancestry import is_of_a_stage
from fsm_orchestrator.processes.lockers import has_open, lockers_of
from fsm_orchestrator.text.hidden import copyable

SIGNALS: Final = signal.SIGTERM, signal.SIGINT
"""The signals that a request stands for, the second if it asks twice: those that `stop` sends."""


class StopHearing:
    """The check for a request in the run's directory; it keeps why one was not believed.

    Attributes:
        hears: the key that a request must quote.
        keeper_pids: returns the pids of the keepers of the stages at work.
    """

    def __init__(self, home: HeldDirectory) -> None:
        self.hears = stop_request.new_key()
        self.keeper_pids: Callable[[], Collection[int]] = tuple
        self._home = home
        self._heard: dict[str, int] = {}
        self._doubt: Doubt | None = None
        stop_request.remove_left(home)

    def look(self) -> Sequence[signal.Signals]:
        """Return the signals that are newly asked for."""
        found = stop_request.found_in(self._home)
        match found:
            case None:
                return ()
            case Doubt():
                self._doubt = self._doubt or found
                return ()
            case StopRequest():
                return self._asked_by(found)
            case _:
                assert_never(found)

    def doubt(self) -> str | None:
        """Return why a request was not believed, or None if none was doubted."""
        if self._doubt is None:
            return None
        file = copyable(self._home.path / STOP_FILE)
        return f"{file} was not believed to be a request to end the run: {_words_of(self._doubt)}"

    def close(self) -> None:
        """Remove the requests that were received: they are answered now."""
        if self._heard:
            stop_request.remove_left(self._home)

    def _asked_by(self, request: StopRequest) -> Sequence[signal.Signals]:
        if request.hears != self.hears or self._heard.get(request.key, 0) >= request.times:
            return ()
        locked = lockers_of({request.inode})
        if locked is not None:
            asking = [pid for pid in locked if has_open(pid, request.inode)]
            if not asking:  # the requester is gone, or in another container
                return ()
            if any(is_of_a_stage(pid, os.getpid(), self.keeper_pids()) for pid in asking):
                self._doubt = self._doubt or Doubt.FROM_A_STAGE
                return ()
        before = self._heard.get(request.key, 0)
        self._heard[request.key] = request.times
        return SIGNALS[before : request.times]


def _words_of(doubt: Doubt) -> str:
    match doubt:
        case Doubt.OTHER_KIND:
            return "it is not a regular file, or has another name elsewhere"
        case Doubt.OTHER_USER:
            return "it is another user's"
        case Doubt.OPEN_TO_OTHERS:
            return "users other than its owner may use it"
        case Doubt.NOT_A_REQUEST:
            return "it does not contain a request"
        case Doubt.FROM_A_STAGE:
            return "a stage made it, and a stage ends itself by an exit code"
        case _:
            assert_never(doubt)
