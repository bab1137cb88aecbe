"""The inside of keeper and orchestrator, which a stage of the same user cannot see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.command.stage_cases import log_of, run
from tests.support.command import ORCHESTRATOR_PID

ATTEMPTS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, function):
    try:
        function()
        print(name, "ok")
    except OSError as error:
        print(name, "refused")
def attach(pid):
    if libc.ptrace(16, pid, None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
def take(pid):
    if libc.syscall(438, os.pidfd_open(pid), 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "pidfd_getfd")
for who, pid in (("keeper", os.getppid()), ("orchestrator", int(sys.argv[1]))):
    attempt(f"{who}.environ", lambda: open(f"/proc/{pid}/environ", "rb").read(1))
    attempt(f"{who}.mem", lambda: open(f"/proc/{pid}/mem", "rb"))
    attempt(f"{who}.fd", lambda: os.readlink(f"/proc/{pid}/fd/0"))
    attempt(f"{who}.stdout", lambda: open(f"/proc/{pid}/fd/1", "wb"))
    attempt(f"{who}.pidfd_getfd", lambda: take(pid))
    attempt(f"{who}.ptrace", lambda: attach(pid))
"""


@pytest.mark.unprivileged
@pytest.mark.skipif(os.geteuid() == 0, reason="root looks into everything")
def test_their_insides_are_closed(tmp_path: Path) -> None:
    """Neither process can be read, traced or robbed of a descriptor."""
    (tmp_path / "attempts.py").write_text(ATTEMPTS)
    script = f"exec python3 -I -S {tmp_path}/attempts.py {ORCHESTRATOR_PID}"
    ended = run(tmp_path, "--manager-bin", "/bin/sh", "--manager-arg=-c", f"--manager-arg={script}")
    assert ended.code == 0
    found = dict(line.split() for line in log_of(tmp_path, "manager").decode().splitlines())
    assert len(found) == 12
    assert {*found.values()} == {"refused"}
