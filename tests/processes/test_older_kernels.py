"""An older kernel, booted: it keeps every promise and promises nothing that it cannot keep.

Takes some minutes where the machine has to be emulated: only with `SOAK=1`.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any

import pytest

from tests.support import virtual_machine
from tests.support.soak import SOAK

pytestmark = [
    pytest.mark.skipif(not SOAK, reason="takes minutes: SOAK=1"),
    pytest.mark.skipif(bool(virtual_machine.missing()), reason=virtual_machine.missing() or "-"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what was found on the kernel."""
    folder = tmp_path_factory.mktemp("machine")
    said = virtual_machine.run_in("tests.processes.older_kernel", folder)
    match = re.search(r"^found (.*)$", said, re.MULTILINE)
    assert match, said[-4000:]
    everything: dict[str, Any] = json.loads(match[1])
    return everything


def test_it_is_another_kernel(found: dict[str, Any]) -> None:
    """The kernel differs from the one that the other tests run on."""
    assert found["release"] != os.uname().release


@pytest.mark.parametrize("user", ["root", "user"])
def test_what_is_said_to_hold_does(found: dict[str, Any], user: str) -> None:
    """Whatever the keeper promises there cannot be broken, and it does not promise the rest."""
    assert {"write", "truncate", "inspection", "namespaces"} <= {*found[user]["held"]}
    assert found[user]["broken"] == []
    if found["abi"] < 6:
        assert "signals" not in found[user]["held"]
        assert "signal the keeper" in found[user]["open"]


def test_what_cannot_be_held_is_not_started(found: dict[str, Any]) -> None:
    """A stage that needs an unavailable promise is refused, with the kernel's version."""
    if found["abi"] >= 6:
        pytest.skip("this kernel holds all of it")
    stage = found["required"]["stage"]
    assert (found["required"]["code"], stage["status"]) == (1, "spawn_failed")
    assert f"version {found['abi']} of Landlock" in stage["error"]


def test_memory_is_counted_by_the_kernel(found: dict[str, Any]) -> None:
    """A stage that asks for more memory is ended at once, and the record says by whom."""
    stage = found["memory"]["stage"]
    assert (stage["ending"], stage["usage_held_by"]) == ("limit_exceeded", "cgroup")
    exceeded = stage["limit_exceeded"]
    assert (exceeded["limit"], exceeded["held_by"]) == ("memory_bytes_max", "cgroup")


def test_processes_are_counted_and_bounded(found: dict[str, Any]) -> None:
    """Processes are counted as without a cgroup: a thread does not count."""
    stage = found["processes"]["stage"]
    assert (stage["ending"], stage["usage_held_by"]) == ("limit_exceeded", "cgroup")
    assert stage["limit_exceeded"]["limit"] == "processes_max"


@pytest.mark.parametrize("name", ["memory", "processes", "killed", "good"])
def test_no_cgroup_is_left(found: dict[str, Any], name: str) -> None:
    """Each cgroup is gone with its stage and processes, even where the keeper was killed."""
    assert found[name]["left"] == []
    assert found["killed"]["stage"]["ending"] == "lost"
    assert found["good"]["code"] == 0
