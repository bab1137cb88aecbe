from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.processes.descriptors import OpenSocket
from tests.processes.nursery import (
    HOLDS_EVERYTHING,
    WAIT,
    Nursery,
    on_linux,
    told_of,
)

LISTENS_ON_IPV6: Final = f"""
import json, socket
one = socket.socket(socket.AF_INET6); one.bind(("::1", 0)); one.listen()
print(json.dumps([one.fileno(), one.getsockname()[1]]), flush=True)
{WAIT}
"""


@pytest.fixture(name="nursery")
def nursery_of_the_test(tmp_path: Path) -> Iterator[Nursery]:
    """Yield the place where the test starts its processes."""
    with Nursery(tmp_path) as nursery:
        yield nursery


@on_linux
def test_every_descriptor_is_told(nursery: Nursery) -> None:
    """Files, pipes and sockets are listed with number, target, addresses and state."""
    pid, held = nursery.python(HOLDS_EVERYTHING)
    snapshot = told_of(pid)
    files = {one.descriptor: one.path for one in snapshot.open_files}
    assert files[held["opened"]] == str(nursery.directory / "opened")
    assert files[held["reader"]] == files[held["writer"]] == held["pipe"]
    assert set(files) >= {0, 1, 2}
    (server, server_port), (client, client_port) = held["server"], held["client"]
    datagrams, datagrams_port = held["datagrams"]
    at_server, at_client = f"127.0.0.1:{server_port}", f"127.0.0.1:{client_port}"
    sockets = {
        one.descriptor: (one.kind, one.local, one.remote, one.state) for one in snapshot.sockets
    }
    assert sockets[server] == ("tcp", at_server, "", "LISTEN")
    assert sockets[client] == ("tcp", at_client, at_server, "ESTABLISHED")
    assert sockets[datagrams] == ("udp", f"127.0.0.1:{datagrams_port}", "", "")
    assert sockets[held["local"]] == ("unix", "a-socket", "", "")
    assert sockets[held["pair"]] == ("unix", "", "", "")
    assert sockets[held["other"]] == ("unknown", "", "", "")
    assert not set(files) & set(sockets)


@on_linux
def test_ipv6_address_is_told_in_brackets(nursery: Nursery) -> None:
    """An IPv6 socket is of kind tcp and has its address in brackets before the port."""
    if not Path("/proc/net/tcp6").exists():
        pytest.skip("this machine has no IPv6")
    pid, (descriptor, port) = nursery.python(LISTENS_ON_IPV6)
    assert told_of(pid).sockets == (
        OpenSocket(
            descriptor=descriptor, kind="tcp", local=f"[::1]:{port}", remote="", state="LISTEN"
        ),
    )
