from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsm_orchestrator.processes.descriptors import OpenFile, OpenSocket
from fsm_orchestrator.processes.postmortem import Postmortem, summary
from fsm_orchestrator.processes.snapshots import ProcessSnapshot, collect
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import SchemaName
from tests.support.command import PASSING, orchestrate, stages
from tests.support.schema_checks import Written, assert_output_valid, assert_valid


def a_process(pid: int, name: str, state: str = "sleeping", **changes: Any) -> ProcessSnapshot:
    """Return a process with few known facts but those that the test gives."""
    told: dict[str, Any] = {
        "parent_pid": 1,
        "command": "",
        "wait_channel": None,
        "threads": 1,
        "age_seconds": 1.0,
        "rss_bytes": 0,
        "user_seconds": 0.0,
        "system_seconds": 0.0,
        "cwd": None,
        "open_files": (),
        "sockets": (),
    }
    told.update(changes)
    return ProcessSnapshot(pid=pid, name=name, state=state, **told)


def a_postmortem(*processes: ProcessSnapshot, **changes: Any) -> Postmortem:
    """Return a post-mortem of the given processes."""
    told: dict[str, Any] = {
        "schema_version": 1,
        "run_id": "run-1",
        "stage": "manager",
        "attempt": 1,
        "at": "2026-01-31T09:05:00.250Z",
        "why": "its time was up",
        "is_complete": True,
        "silent_seconds": None,
        "stdout_tail": "",
        "stderr_tail": "",
    }
    told.update(changes)
    return Postmortem(processes=processes, **told)


def some_files(count: int) -> tuple[OpenFile, ...]:
    """Return this many open files."""
    return tuple(OpenFile(descriptor=number, path="/dev/null") for number in range(count))


def a_socket(kind: str, local: str, remote: str, state: str) -> OpenSocket:
    """Return a socket of descriptor 9."""
    return OpenSocket(descriptor=9, kind=kind, local=local, remote=remote, state=state)


DATABASE: Final = a_socket("tcp", "127.0.0.1:40112", "127.0.0.1:5432", "ESTABLISHED")
LISTENER: Final = a_socket("tcp", "127.0.0.1:80", "", "LISTEN")
SHELL: Final = a_process(12, "sh", wait_channel="do_wait", open_files=some_files(3))
CLIENT: Final = a_process(
    14,
    "python3",
    wait_channel="unix_stream_read",
    open_files=some_files(12),
    sockets=(DATABASE,),
)


def test_summary_says_who_waits_for_what() -> None:
    """The summary has leader, hanging process, what it holds, the silence and last words."""
    told = a_postmortem(
        *(SHELL, a_process(13, "make", wait_channel="do_wait"), CLIENT),
        silent_seconds=28.1,
        stdout_tail="connecting\n",
        stderr_tail="\nconnected\nsending 'hello'\n \n",
    )
    assert summary(told) == (
        "3 processes; sh (pid 12) sleeping in do_wait; python3 (pid 14) sleeping in"
        " unix_stream_read, 12 open files, 1 socket (tcp 127.0.0.1:5432 ESTABLISHED); make (pid"
        " 13) sleeping in do_wait; silent for 28.1s; last line: 'sending 'hello''"
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (a_postmortem(), "0 processes"),
        (
            a_postmortem(a_process(1, "x"), is_complete=False),
            "1 process, not everything could be read; x (pid 1) sleeping",
        ),
        (
            a_postmortem(a_process(1, ""), stdout_tail="one\ntwo", stderr_tail=" \n"),
            "1 process; a process (pid 1) sleeping; last line: 'two'",
        ),
        (
            a_postmortem(a_process(1, "x", "running", user_seconds=20.0, system_seconds=8.04)),
            "1 process; x (pid 1) running, 28s of processor time",
        ),
        (
            a_postmortem(a_process(1, "x", "running", user_seconds=None, system_seconds=None)),
            "1 process; x (pid 1) running",
        ),
        (
            a_postmortem(
                a_process(1, "x", "disk_sleep", wait_channel="nfs_wait", open_files=some_files(1))
            ),
            "1 process; x (pid 1) disk sleep in nfs_wait, 1 open file",
        ),
        (
            a_postmortem(
                a_process(1, "x", sockets=(a_socket("unknown", "", "", ""), LISTENER, DATABASE))
            ),
            "1 process; x (pid 1) sleeping, 3 sockets (tcp 127.0.0.1:5432 ESTABLISHED, 2 more)",
        ),
        (
            a_postmortem(a_process(1, "x", sockets=(a_socket("unknown", "", "", ""), LISTENER))),
            "1 process; x (pid 1) sleeping, 2 sockets (tcp 127.0.0.1:80 LISTEN, 1 more)",
        ),
        (
            a_postmortem(a_process(1, "\x1b[31mred\n"), stderr_tail="\x1b[2J\x07bell\n"),
            "1 process; ?[31mred? (pid 1) sleeping; last line: '?[2J?bell'",
        ),
    ],
)
def test_summary_wording(told: Postmortem, expected: str) -> None:
    """Numbers, states and gaps read naturally, and nothing acts on a terminal."""
    assert summary(told) == expected


def test_summary_names_the_most_telling_processes_first() -> None:
    """After the leader come odd states, others, shells, zombies, and waiting parents."""
    processes = (
        *(a_process(1, "leader", wait_channel="do_wait"), a_process(2, "make", "zombie")),
        *(a_process(3, "env", wait_channel="do_wait"), a_process(4, "bash")),
        *(a_process(5, "curl"), a_process(6, "cp", "disk_sleep"), a_process(7, "vi", "stopped")),
    )
    told = summary(a_postmortem(*processes))
    names = [phrase.split()[0] for phrase in told.split("; ")[1:]]
    assert names == ["leader", "cp", "vi", "curl", "bash", "make", "env"]


def test_summary_leaves_out_details_before_processes() -> None:
    """A process whose details do not all fit is at least named."""
    long = a_socket("unix", "/" + "long" * 30, "", "LISTEN")
    processes = [
        a_process(number, f"worker-{number}", sockets=(long,), wait_channel="unix_stream_read")
        for number in range(1, 5)
    ]
    told = summary(a_postmortem(*processes, stderr_tail="w" * 500))
    assert "worker-1 (pid 1) sleeping in unix_stream_read, 1 socket (unix /long" in told
    assert "worker-2 (pid 2) sleeping in unix_stream_read; last line: 'www" in told
    assert "worker-3" not in told


def test_summary_at_its_longest_names_the_leader() -> None:
    """The leader has room in the summary, however long everything is."""
    leader = a_process(2**22, "n" * 80, "tracing_stop", wait_channel="w" * 80)
    told = summary(
        a_postmortem(
            *(leader for _ in range(256)),
            is_complete=False,
            silent_seconds=10.0**9,
            stderr_tail="x" * 500,
        )
    )
    assert len(told) <= 300
    assert "nnn... (pid 4194304) tracing stop in www" in told


NAMES: Final = st.text(max_size=80)
SOCKETS: Final = st.builds(a_socket, st.just("unix"), NAMES, NAMES, st.just("CONNECTED"))
SNAPSHOTS: Final = st.builds(
    a_process,
    st.integers(1, 2**22),
    NAMES,
    st.sampled_from(["running", "sleeping", "tracing_stop"]),
    wait_channel=st.none() | NAMES,
    open_files=st.integers(0, 64).map(some_files),
    sockets=st.lists(SOCKETS, max_size=3).map(tuple),
)


@given(
    processes=st.lists(SNAPSHOTS, max_size=6),
    silent_seconds=st.none() | st.floats(0, 10**6),
    tails=st.tuples(st.text(max_size=400), st.text(max_size=400)),
    is_complete=st.booleans(),
)
def test_summary_is_one_short_line_with_the_leader(
    processes: list[ProcessSnapshot],
    silent_seconds: float | None,
    tails: tuple[str, str],
    is_complete: bool,
) -> None:
    """Whatever the processes are called and print, the summary is a short, printable line."""
    told = a_postmortem(
        *processes,
        silent_seconds=silent_seconds,
        stdout_tail=tails[0],
        stderr_tail=tails[1],
        is_complete=is_complete,
    )
    line = summary(told)
    assert len(line) <= 300
    assert line.isprintable()
    assert not processes or f"(pid {processes[0].pid})" in line


def test_postmortem_is_read_back_as_it_was_written() -> None:
    """A post-mortem of a real process survives as a JSON document, which matches the schema."""
    processes, _ = collect([os.getpid()], Masker(()), seconds=60)
    assert processes
    written = a_postmortem(*processes, silent_seconds=1.5)
    document = written.model_dump_json()
    assert Postmortem.model_validate_json(document) == written
    assert_valid(SchemaName.POSTMORTEM, json.loads(document), "of a real process")


@pytest.fixture(name="box")
def box_of_a_run(tmp_path: Path) -> Path:
    """Return the post-mortem of a run whose first stage took too long."""
    ended = orchestrate(
        *("./out", *PASSING, *stages("exec sleep 60"), "--timeout-ms", "50"), cwd=tmp_path
    )
    assert ended.code == 124
    return tmp_path / "out" / "logs" / "manager.1.postmortem.json"


def test_postmortem_of_a_run_is_as_published(box: Path, tmp_path: Path) -> None:
    """The post-mortem of a real run is valid, and an invalid change to it is found."""
    assert_output_valid(tmp_path / "out")
    forged = box.read_text().replace("{", '{"forged": 1,', 1)
    before = Written(["./out"], tmp_path)
    box.unlink()
    without = Written(["./out"], tmp_path)
    box.write_text(forged)
    for check in (
        before.assert_valid,
        without.assert_valid,
        lambda: assert_output_valid(box.parents[1]),
    ):
        with pytest.raises(AssertionError, match="'forged' was unexpected"):
            check()
