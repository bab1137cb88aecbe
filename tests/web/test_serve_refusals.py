"""Refusals of `serve`: each names its reason and a remedy, and nothing is listened on."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from fsm_orchestrator.cli.main import run_command_line
from tests.support.command import orchestrate
from tests.web.served import served


def test_directory_has_to_be_there(tmp_path: Path) -> None:
    """A missing directory, or a file in its place, is a usage error."""
    (tmp_path / "file").write_text("")
    for name, what in (("nowhere", "does not exist"), ("file", "is not a directory")):
        done = orchestrate("serve", name, cwd=tmp_path)
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.startswith(f"fsm-orchestrator: {tmp_path / name} {what}\n")


@pytest.mark.unprivileged
def test_directory_has_to_be_readable(tmp_path: Path) -> None:
    """An unreadable directory is refused with the reason."""
    (tmp_path / "closed").mkdir(mode=0)
    done = orchestrate("serve", "closed", cwd=tmp_path)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"fsm-orchestrator: cannot read {tmp_path / 'closed'}: permission denied\n"
    )


def test_port_that_is_in_use(tmp_path: Path) -> None:
    """The message names the port and a remedy; a port that was just released can be used."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = orchestrate("serve", ".", "--port", str(port), cwd=tmp_path)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == (
        f"fsm-orchestrator: port {port} of 127.0.0.1 is in use\n"
        "  name another one with --port, or none: then a free one is taken\n"
    )
    with served(".", "--port", str(port), cwd=tmp_path) as server:
        assert server.port == port


def test_port_that_may_not_be_listened_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason is printed, for low ports belong to root."""

    def refused(*_args: object, **_more: object) -> socket.socket:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(socket, "create_server", refused)
    assert run_command_line(["serve", str(tmp_path), "--port", "80"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith(
        "fsm-orchestrator: cannot listen on port 80 of 127.0.0.1: permission denied\n"
    )


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "jinja2"])
def test_extra_that_is_not_installed(
    missing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """If any one of its packages is missing, the message says what to install."""
    monkeypatch.setitem(sys.modules, missing, None)
    assert run_command_line(["serve", str(tmp_path)]) == 2
    assert capfd.readouterr().err == (
        "fsm-orchestrator: serving runs needs starlette, uvicorn and Jinja2, which are not all"
        " installed\n  pip install 'fsm-orchestrator[web]'\n"
    )


@pytest.mark.parametrize("port", ["-1", "65536", "http", "80.5"])
def test_port_is_a_number_of_a_port(port: str, tmp_path: Path) -> None:
    """Anything else is a usage error of one sentence."""
    done = orchestrate("serve", ".", "--port", port, cwd=tmp_path)
    assert (done.code, done.stdout) == (2, "")
    assert "--port" in done.stderr
