"""A fact about this machine that is read once: a failed reading is not remembered as "none"."""

from __future__ import annotations

import errno
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from fsm_orchestrator.processes import memory_kills
from fsm_orchestrator.processes.freezing import kernel_bytes
from fsm_orchestrator.processes.memory_kills import MemoryKills

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
pytestmark = pytest.mark.skipif(not BOOT_ID.exists(), reason="no boot has an id here")

WITHOUT_DESCRIPTORS = """
import pwd, resource
from fsm_orchestrator.preparation import starter
from fsm_orchestrator.processes import table
from fsm_orchestrator.processes.freezing import kernel_bytes
from fsm_orchestrator.processes.memory_kills import MemoryKills
from fsm_orchestrator.secrets.masking import Masker

def found():
    person, _, _ = starter._person(Masker(()))
    return table.boot(), person, MemoryKills.now().group is not None

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
unknown = found()
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(unknown, found(), sep="\\n")
"""


def test_what_could_not_be_read_for_a_moment_is_read_later() -> None:
    """A process out of descriptors can read its boot, user and control group afterwards."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_DESCRIPTORS], capture_output=True, text=True, check=True
    )
    user = next((one.pw_name for one in pwd.getpwall() if one.pw_uid == os.getuid()), None)
    known = (BOOT_ID.read_text().strip(), user, MemoryKills.now().group is not None)
    assert done.stdout.splitlines() == [str(("", None, False)), str(known)]


def test_a_count_that_could_not_be_read_for_a_moment_is_found_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file of counts that could not be opened for lack of a descriptor is looked for again."""
    known = MemoryKills.now().group is not None
    memory_kills._group_file.cache_clear()  # as in a new process

    def no_descriptor(path: str) -> bytes:
        kernel_bytes(path)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    with monkeypatch.context() as patch:
        patch.setattr(memory_kills, "kernel_bytes", no_descriptor)
        assert MemoryKills.now() == (None, None)
    assert (MemoryKills.now().group is not None) is known
