"""A keeper passes on what its caller has at that moment: limits, masks, directory."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import psutil
import pytest

from tests.processes.keepers.keeper_cases import told_by

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs keepers and /proc")


# -- what a keeper passes on ---------------------------------------------------------------------

CHANGES: Final = r"""
import re
SHOWN = (
    "umask; ulimit -Sn; ulimit -Sc; nice; cat /proc/self/oom_score_adj;"
    "grep -E 'Umask|SigIgn|Cpus_allowed:|Cap|Groups|NoNewPrivs' /proc/self/status"
)
def soft(limit, value):
    resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
def ours(signals):
    # 32 and 33 are the C library's own: its posix_spawn has them ignored.
    return f"{int(signals, 16) & ~(3 << 31):016x}"
def one_processor():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
CHANGES = {
    "nothing": lambda: None,
    "umask": lambda: os.umask(0o027),
    "descriptors": lambda: soft(resource.RLIMIT_NOFILE, 300),
    "core": lambda: soft(resource.RLIMIT_CORE, 0),
    "nice": lambda: os.nice(1),
    "affinity": one_processor,
    "ignored": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
}
count = 0
def look(name, keepers, **more):
    global count
    count += 1
    out = f"out{count}"
    keeper = keeper_after(out, keepers, SHOWN, **more)
    told = Path(out, "logs/manager.1.stdout.log").read_text()
    tidy = lambda text: re.sub("(?<=SigIgn:\t).*", lambda match: ours(match[0]), text)
    child = subprocess.run(["/bin/sh", "-c", SHOWN], capture_output=True, text=True, check=True)
    tell(name=name, told=tidy(told), child=tidy(child.stdout), keeper=keeper)
"""


def test_stage_inherits_what_the_caller_has_now(tmp_path: Path) -> None:
    """A stage sees what a new child would see, whatever changed since its keeper started."""
    told = told_by(
        CHANGES
        + """
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
with KeeperPool() as pool:
    for name, change in CHANGES.items():
        change()
        look(name, pool)
        look("nothing", pool)
""",
        tmp_path,
    )
    assert [one["told"] for one in told] == [one["child"] for one in told]
    seen = {one["name"]: one["told"] for one in told}
    assert seen["umask"].startswith("0027\n")
    assert seen["descriptors"].splitlines()[1] == "300"
    distinct = {one["told"] for one in told}
    has_one_processor = len(os.sched_getaffinity(0)) == 1
    has_no_cores = psutil.Process().rlimit(psutil.RLIMIT_CORE)[1] == 0
    assert len(distinct) == 7 - has_one_processor - has_no_cores
    for before, after in zip(told[::2], told[1::2], strict=True):
        assert after["keeper"] == before["keeper"], "nothing was changed, and it was not shared"


def test_change_in_the_midst_of_a_run_is_seen_by_the_next(tmp_path: Path) -> None:
    """A keeper at work keeps the state from before a change, and is not used again."""
    first, second = told_by(
        CHANGES
        + """
def change(event):
    if event["event"] == "stage.started" and event["stage"] == "executor":
        os.umask(0o077)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
with KeeperPool() as pool:
    look("first", pool, listener=change)
    look("second", pool)
""",
        tmp_path,
    )
    assert second["told"] == second["child"] != first["told"]
    assert second["told"].startswith("0077\n")


@pytest.mark.parametrize("change", ["os.nice(3)", "one_processor()"])
def test_what_a_thread_has_for_itself_is_what_its_stage_has(tmp_path: Path, change: str) -> None:
    """Niceness and processors belong to a thread: a keeper of another thread is not used."""
    if change == "one_processor()" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("there is only one processor")
    told = told_by(
        CHANGES
        + f"""
def work():
    {change}
    look("thread", pool)
with KeeperPool() as pool:
    look("main", pool)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    look("main", pool)
""",
        tmp_path,
    )
    assert [one["told"] for one in told] == [one["child"] for one in told]
    assert told[0]["told"] == told[2]["told"] != told[1]["told"]
