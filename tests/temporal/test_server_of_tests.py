"""The server of this folder's tests: one for all, which ends with them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.patience import wait_until
from tests.support.temporal_server import connected, own_server, shared_address, why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())

HOLD: Final = """
import os, pathlib, sys
from tests.support.temporal_server import shared_address
with shared_address(pathlib.Path(sys.argv[1])) as address:
    print(address, flush=True)
    sys.stdin.read()
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """Start a process that holds the shared server of a folder until its input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def has_server(address: str) -> bool:
    """Return True if a process serves at an address, by the kernel's command lines."""
    port = address.rpartition(":")[2].encode()
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"start-dev" in words and port in words:
            return True
    return False


def test_shared_server_is_one_and_gone_with_the_last_who_holds_it(tmp_path: Path) -> None:
    """Two processes share one server, which outlives the killed first one and not the second."""
    folder = tmp_path / "shared"
    with holder(folder) as first, holder(folder) as second:
        assert first.stdout is not None
        assert second.stdout is not None
        address = first.stdout.readline().strip()
        assert address == second.stdout.readline().strip()
        first.kill()
        first.wait()
        with shared_address(folder) as third:
            assert third == address
        assert has_server(address)
        second.kill()
    wait_until(lambda: not has_server(address), "the server outlives the session")


def test_server_is_gone_with_the_test_that_was_killed(tmp_path: Path) -> None:
    """The kernel ends the server of a killed process, in which no teardown runs."""
    script = (
        "import pathlib, sys, time\n"
        "from tests.support.temporal_server import own_server\n"
        "with own_server(pathlib.Path(sys.argv[1])) as server:\n"
        "    print(server.address, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "own")],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert has_server(address)
        process.kill()
    wait_until(lambda: not has_server(address), "the server outlives its test")


def test_restarted_server_has_its_address_and_its_workflows(tmp_path: Path) -> None:
    """A killed and restarted server has its workflows; a frozen one answers after thawing."""

    async def start(address: str) -> None:
        client = await connected(address)
        await client.start_workflow("Nobody", id="kept", task_queue="served-by-nobody")

    async def has_it(address: str) -> bool:
        client = await connected(address)
        described = await client.get_workflow_handle("kept").describe()
        return described.workflow_type == "Nobody"

    with own_server(tmp_path / "own", in_file=True) as server:
        asyncio.run(start(server.address))
        address, pid = server.address, server.pid
        server.end()
        server.start()
        assert (server.address, server.pid != pid) == (address, True)
        server.freeze()
        server.thaw()
        assert asyncio.run(has_it(address))


def test_session_has_a_server(temporal_address: str) -> None:
    """The server of the fixture answers."""

    async def name() -> str:
        return (await connected(temporal_address)).namespace

    assert asyncio.run(name()) == "default"
