"""The Temporal server that the tests of runs across machines share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support import temporal_server


@pytest.fixture(scope="session")
def temporal_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of the server of this session, or skip if there is none."""
    if reason := temporal_server.why_not():
        pytest.skip(reason)
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with temporal_server.shared_address(shared / "temporal") as address:
        yield address
