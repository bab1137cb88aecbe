"""examples/temporal: the session of its page runs, and its files say what the page says."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from tests.support import forked, guide, temporal_server
from tests.support.guide import BLOCK
from tests.support.yaml_text import read_yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "temporal"
PAGE = EXAMPLE / "README.md"
PINNED = re.compile(r"[a-z0-9/-]+:\d[\d.]*")
EPHEMERAL = re.compile(r"\bfor +\S+|\b\d+(\.\d+)?m?s\b")


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with Temporal's command line, whose server listens at a port that is free."""
    if reason := temporal_server.why_not():
        pytest.skip(reason)
    address = f"127.0.0.1:{temporal_server.free_port()}"
    shim = tmp_path / "temporal"
    shim.write_text(
        "#!/bin/sh\n"
        f'test "$2" != start-dev || set -- "$@" --headless --port {address.rpartition(":")[2]}\n'
        f'exec "{temporal_server.BINARY}" "$@"\n'
    )
    shim.chmod(0o755)
    mark = uuid.uuid4().hex
    for name, value in {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "TEMPORAL_ADDRESS": address,
        "WORK_SECONDS": "1",
        "MARK_OF_TEST": mark,
        "FSM_ORCHESTRATOR_LOG_FORMAT": "text",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(forked, "IS_POSSIBLE", False)  # the page kills the process that it started
    yield
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARK_OF_TEST") == mark:
                process.kill()
        except psutil.Error:
            continue


@pytest.mark.usefixtures("laptop")
def test_session_with_the_development_server_runs() -> None:
    """Two workers, a run that waits, a signal, a worker killed in the middle: it ends right."""
    guide.follow(PAGE, EPHEMERAL, beside=EXAMPLE)
