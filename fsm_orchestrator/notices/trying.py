"""Tries the notices of a config file or a run, with a notice that says it is a test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsm_orchestrator.clock import SystemClock, timestamp
from fsm_orchestrator.constants import PRODUCT, __version__
from fsm_orchestrator.model.told_ends import ToldEnd
from fsm_orchestrator.notices.body import Notice
from fsm_orchestrator.notices.telling import deliver_all
from fsm_orchestrator.text.digest import sha256_of

if TYPE_CHECKING:
    from fsm_orchestrator.config.notice import Notice as NoticeGiven
    from fsm_orchestrator.engine.surroundings import Surroundings
    from fsm_orchestrator.notices.webhook import Delivery


class Tried(NamedTuple):
    """A notice that was tried."""

    given: NoticeGiven
    event: ToldEnd
    delivery: Delivery


def try_all(
    notices: tuple[NoticeGiven, ...], event: ToldEnd | None, directory: Path, caller: Surroundings
) -> Iterator[Tried]:
    """Try each notice that is for an end, one after another; for None, each with its first end."""
    for one in notices:
        if event is None or event in one.on:
            told = one.on[0] if event is None else event
            (delivery,) = deliver_all([one], _pretended(told, directory), caller)
            yield Tried(one, told, delivery)


def _pretended(event: ToldEnd, directory: Path) -> Notice:
    now = timestamp(SystemClock().now())
    return Notice(
        schema_version=1,
        product=PRODUCT,
        version=__version__,
        id=sha256_of(f"{now} {os.getpid()}".encode())[:32],
        event=event,
        is_test=True,
        run_id="test",
        invocation=1,
        host=os.uname().nodename,
        output_directory=str(directory),
        lifecycle=None,
        current_state=None,
        closure_ready=False,
        exit_code=None,
        blocked_reason_codes=(),
        waiting_for=(),
        stages=(),
        started_at=now,
        finished_at=now,
        look=(PRODUCT, "explain", str(directory)),
    )
