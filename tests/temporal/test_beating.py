"""Heartbeats: the engine's answers before and after the lease has run out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fsm_orchestrator.model.endings import stop_reason_of
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.lease import Lease
from fsm_orchestrator.vocabulary import StopReason


class _Late:
    """An engine that answers yes once the requester's lease has run out."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.beats = 0

    async def heartbeat(self, **_: Any) -> None:
        """Answer yes, after the lease has run out."""
        self.beats += 1
        self.lease.end()


@pytest.mark.parametrize("is_begun", [True, False])
def test_yes_that_comes_too_late_is_a_no(*, is_begun: bool) -> None:
    """After a late yes the run does not begin, or ends, and no more heartbeats are sent."""
    pytest.importorskip("temporalio")
    from fsm_orchestrator.temporal.beating import Beating, StopRequests  # noqa: PLC0415 - of the extra

    with Interrupts() as interrupts, Lease(60) as lease:
        late: Any = _Late(lease)
        beating = Beating(late, lease, StopRequests(interrupts), lambda _: None)
        if is_begun:
            asyncio.run(asyncio.wait_for(beating.go_on(), 10))
        else:
            assert not asyncio.run(beating.is_ours())
        assert late.beats == 1
        assert interrupts.first is not None
        assert stop_reason_of(interrupts.first) is StopReason.LEASE_LOST
