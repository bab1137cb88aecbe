"""A bug in a worker is reported without its message, which may have a secret."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.disk.epochs import Epoch
from fsm_orchestrator.processes.keeper_pool import KeeperPool
from fsm_orchestrator.temporal.ordered import Terms
from fsm_orchestrator.temporal.watching import Watch


def test_values_of_a_bug_are_told_to_nobody(tmp_path: Path) -> None:
    """The values of a bug reach neither log nor engine; the log has where it was raised."""
    pytest.importorskip("temporalio")
    from temporalio.exceptions import ApplicationError  # noqa: PLC0415 - of the extra

    from fsm_orchestrator.temporal.activity import Invoker  # noqa: PLC0415 - as above

    told: list[Mapping[str, Any]] = []
    client: Any = None  # no call is made
    with KeeperPool() as keepers, ThreadPoolExecutor(1) as threads:
        watch = Watch(told.append, None, {})
        invoker = Invoker(client, keepers, threads, Terms(), watch, set())
        with pytest.raises(ApplicationError, match=r"internal error \(ValueError\)") as caught:
            _fail(invoker, Epoch(tmp_path, 1, 1))
    assert caught.value.__cause__ is None
    [bug] = told
    assert "hush-hush" not in json.dumps([bug, str(caught.value), caught.value.details])
    assert "test_bug.py" in bug["traceback"]
    assert bug["traceback"].endswith("ValueError")


def _fail(invoker: Any, epoch: Epoch) -> None:
    with invoker._as_the_engine_has_it(epoch):
        raise ValueError("cannot take " + "hush" + "-hush")
