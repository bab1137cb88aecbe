"""The lease of an invocation, renewed by each heartbeat that the engine acknowledges."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Final

from temporalio import activity
from temporalio.client import AsyncActivityCancelledError, AsyncActivityHandle
from temporalio.service import RPCError, RPCStatusCode

from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.lease import Lease
from fsm_orchestrator.vocabulary import StopReason

LEASE_SHARE: Final = 0.75
"""The length of a lease as a share of the heartbeat timeout: the stage is gone before the engine
hands the run to another worker."""
BEATS: Final = 5
"""The number of heartbeats in each heartbeat timeout: more than one may be missed before a stage is
ended for that."""
_GONE: Final = frozenset({RPCStatusCode.NOT_FOUND, RPCStatusCode.FAILED_PRECONDITION})
OnWord = Callable[[str | None], None]
"""A callback that gets None when the engine has answered, else the reason why it has not."""


class Answer(Enum):
    """The engine's answer to a heartbeat."""

    YES = "yes"
    NO = "no"
    """This worker no longer has the run."""
    NONE = "none"


class StopRequests:
    """Asks an invocation to end, once for each reason: a second reason kills its stage at once."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._interrupts = interrupts
        self._asked: set[StopReason] = set()

    def ask(self, reason: StopReason) -> None:
        """Ask the invocation to end."""
        if reason not in self._asked:
            self._asked.add(reason)
            self._interrupts.deliver(signal.SIGTERM, reason)


class Beating:
    """Sends the heartbeats of an invocation, and asks it to end when the engine requires that."""

    def __init__(
        self, handle: AsyncActivityHandle, lease: Lease, requests: StopRequests, on_word: OnWord
    ) -> None:
        self._handle = handle
        self._lease = lease
        self._requests = requests
        self._on_word = on_word
        self._seconds = lease.seconds / LEASE_SHARE / BEATS

    async def is_ours(self) -> bool:
        """Return whether the engine confirms, before any work, that this worker has the run.

        A worker that was frozen may start the invocation much later.
        """
        while not self._lease.is_over:
            answer = await self._beat()
            if answer is not Answer.NONE:
                return answer is Answer.YES
            await asyncio.sleep(self._seconds / BEATS)
        return False

    async def go_on(self) -> None:
        """Send heartbeats for as long as this worker has the run."""
        while True:
            if await self._beat() is Answer.NO:
                return
            await asyncio.sleep(self._seconds)

    async def _beat(self) -> Answer:
        """Send a heartbeat, and renew the lease if the engine acknowledges it.

        The SDK gets one as well: it would end an activity that has sent it none. A lease that has
        run out means no: the engine then receives nothing more and hands the run to another worker,
        even if the rest of the invocation here never ends.
        """
        asked_at = Lease.now()
        try:
            await self._handle.heartbeat(rpc_timeout=timedelta(seconds=self._seconds))
        except AsyncActivityCancelledError as error:
            is_cancel = error.details is None or error.details.cancel_requested
            self._requests.ask(StopReason.CANCELLED if is_cancel else StopReason.REQUESTED)
        except RPCError as error:
            if error.status in _GONE:
                self._requests.ask(StopReason.LEASE_LOST)
                return Answer.NO
            self._on_word(error.status.name.lower().replace("_", " "))
            return Answer.NONE
        if not self._lease.renew(asked_at):  # the answer came too late, or this process slept
            self._requests.ask(StopReason.LEASE_LOST)
            return Answer.NO
        activity.heartbeat()
        self._on_word(None)
        return Answer.YES
