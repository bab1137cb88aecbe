from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.processes import descriptors
from fsm_orchestrator.processes.descriptors import OpenSocket
from tests.processes.nursery import (
    HOLDS_EVERYTHING,
    PATIENCE_SECONDS,
    WAIT,
    Nursery,
    collect_in_bounds,
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
    """Where the test starts its processes."""
    with Nursery(tmp_path) as nursery:
        yield nursery


@on_linux
def test_every_descriptor_is_told(nursery: Nursery) -> None:
    """Files, pipes and sockets are told with number, target, addresses and state."""
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
    assert sockets[datagrams] == ("udp", f"127.0.0.1:{datagrams_port}", "", "UNCONNECTED")
    assert sockets[held["local"]] == ("unix", "a socket", "", "LISTEN")
    assert sockets[held["pair"]] == ("unix", "", "", "CONNECTED")
    assert sockets[held["other"]] == ("unknown", "", "", "")
    assert not set(files) & set(sockets)


@on_linux
def test_ipv6_address_is_told_in_brackets(nursery: Nursery) -> None:
    """An IPv6 socket is of kind tcp, its address is in brackets before the port."""
    if not Path("/proc/net/tcp6").exists():
        pytest.skip("this machine has no IPv6")
    pid, (descriptor, port) = nursery.python(LISTENS_ON_IPV6)
    assert told_of(pid).sockets == (
        OpenSocket(
            descriptor=descriptor, kind="tcp", local=f"[::1]:{port}", remote="", state="LISTEN"
        ),
    )


@on_linux
@pytest.mark.parametrize("missing", ["tcp6", "udp6"])
def test_table_that_this_kernel_does_not_have_is_no_error(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Where /proc lacks a table, the sockets of the others are told, and nothing is missing."""
    pid, held = nursery.python(HOLDS_EVERYTHING)
    really_open = open

    def without(path: str, mode: str) -> Any:
        if path.endswith(f"/net/{missing}"):
            raise FileNotFoundError(2, "No such file or directory", path)
        return really_open(path, mode)

    monkeypatch.setattr(descriptors, "open", without, raising=False)
    addresses = {one.descriptor: one.local for one in told_of(pid).sockets}
    assert addresses[held["local"]] == "a socket"
    assert addresses[held["server"][0]] == f"127.0.0.1:{held['server'][1]}"


@on_linux
def test_table_without_end_is_left_when_the_time_is_up(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with very many sockets nobody goes on reading for what nobody waits for."""
    pid, held = nursery.python(HOLDS_EVERYTHING)
    is_left, is_over = threading.Event(), threading.Event()

    def without_end(_: str) -> Iterator[bytes]:
        try:
            while not is_over.is_set():
                yield b"a row of somebody else\n"
        finally:
            is_left.set()

    monkeypatch.setattr(descriptors, "_lines", without_end)
    told = collect_in_bounds([pid], seconds=0.5)
    assert held["local"] in {one.descriptor for one in told[pid].sockets}
    try:
        assert is_left.wait(PATIENCE_SECONDS / 4)
    finally:
        is_over.set()
