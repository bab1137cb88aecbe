"""Stages that hang in odd ways, kill their keeper, end slowly or print without end."""

from __future__ import annotations

import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from tests.processes import living
from tests.processes.containment_cases import (
    GENTLY,
    HASTES_MS,
    HOUR_MS,
    LIMIT,
    LOGS,
    WAYS,
    ZOO,
    Run,
    Way,
    Witness,
    assert_reported,
    end_in,
    led,
)
from tests.support.command import ORCHESTRATOR_PID, events_of, report_of, shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a child subreaper and /proc")
MEGABYTE: Final = 1024**2
SLOW_TO_LOOK: Final = """
import time
import fsm_orchestrator.cli.main, fsm_orchestrator.processes.keeper_client
class Keeper(fsm_orchestrator.processes.keeper_client.Keeper):
    def spawn(self, *about):
        pid = super().spawn(*about)
        time.sleep(0.5)
        return pid
fsm_orchestrator.processes.keeper_client.Keeper = Keeper
fsm_orchestrator.cli.main.main()
"""


# Harm that a stage may do to itself and to its keeper


@pytest.mark.parametrize("how", ["stopped", "headless"])
def test_stage_that_hangs_in_an_odd_way_is_ended_on_sigterm(
    tmp_path: Path, witness: Witness, how: str
) -> None:
    """A stopped stage is woken for SIGTERM; a stage without a first thread has not ended."""
    way = WAYS["timeout"]
    for haste in HASTES_MS:
        run = Run(tmp_path / haste, witness)
        stage = (*ZOO, "hang", how)
        run.start(stage, "--kill-grace-ms", HOUR_MS, "--manager-timeout-ms", haste)
        assert run.end() == way.code
        run.assert_silent(time.monotonic_ns())
        if run.has("ready"):
            break
    assert witness.adopted() == []
    assert_reported(run, way, is_still=True)
    assert "ended on SIGTERM" in report_of(run.output)["stage_executions"][0]["error"]


@pytest.mark.parametrize("animals", ["own_group,stripped", "own_group,daemon,deaf,closed,holder"])
def test_stage_that_kills_its_keeper_is_ended_all_the_same(
    tmp_path: Path, witness: Witness, animals: str
) -> None:
    """Without a keeper, session and token identify the processes of the stage, which failed."""
    run = Run(tmp_path, witness)
    run.start((*ZOO, "kill_keeper", animals), *GENTLY)
    with witness.reaping():
        assert run.end() == 1
    run.assert_silent(time.monotonic_ns())
    assert witness.escaped() == []
    report = report_of(run.output)
    execution = report["stage_executions"][0]
    assert (execution["status"], execution["ending"]) == ("failed", "lost")
    assert "keeps the stage's processes" in execution["error"]
    assert execution["leaked_processes"] == []


def test_stage_that_kills_its_keeper_and_is_gone_is_lost(tmp_path: Path, witness: Witness) -> None:
    """A stage that ends before the orchestrator has looked at it is lost all the same."""
    run = Run(tmp_path, witness)
    run.start(
        ("/bin/sh", "-c", "sleep 0.1; kill -9 $PPID"), command=(sys.executable, "-c", SLOW_TO_LOOK)
    )
    with witness.reaping():
        assert run.end() == 1
    execution = report_of(run.output)["stage_executions"][0]
    assert (execution["status"], execution["ending"]) == ("failed", "lost")


def test_keeper_minds_no_signal_but_sigkill(tmp_path: Path, witness: Witness) -> None:
    """A stage that signals its parent, as some do to request something, disturbs nothing."""
    run = Run(tmp_path, witness)
    names = "HUP INT QUIT ABRT USR1 USR2 PIPE ALRM TERM TSTP TTIN TTOU CHLD CONT"
    run.start(("/bin/sh", "-c", f"for name in {names}; do kill -$name $PPID; done; sleep 0.05"))
    assert run.end() == 0
    report = report_of(run.output)
    assert (report["containment"], report["warnings"]) == ("subreaper", [])


def test_orphans_that_end_do_not_pile_up(tmp_path: Path, witness: Witness) -> None:
    """Orphans that end while a stage runs are reaped, the last one too."""
    run = Run(tmp_path, witness)
    run.start((*ZOO, "shed"))
    assert run.end() == 0
    most, last = map(int, run.words("zombies"))
    assert most < living.FORKS_MAX / 3
    assert last == 0
    assert witness.adopted() == []


# Gentle ending first


@pytest.mark.parametrize(
    ("how", "heard"),
    [
        ("tidy", ["leader:SIGTERM", "worker:SIGUSR1", "leader:ends"]),
        ("leave", ["leader:SIGTERM", "leader:ends", "worker:SIGTERM"]),
    ],
)
def test_leader_may_tidy_up_its_workers(
    tmp_path: Path, witness: Witness, how: str, heard: list[str]
) -> None:
    """Workers in another session get SIGTERM only once their leader is gone, if they are left."""
    run = Run(tmp_path, witness)
    run.start((*ZOO, "employ", how), "--kill-grace-ms", HOUR_MS)
    run.wait_for("ready")
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == 143
    assert run.words("heard") == heard
    assert witness.adopted() == []


@pytest.mark.parametrize(
    ("grace_ms", "manager_grace_ms", "animals", "told"),
    [(HOUR_MS, "50", "deaf", "was killed"), ("0", HOUR_MS, "daemon", "ended on SIGTERM")],
)
def test_stage_has_a_grace_of_its_own(
    tmp_path: Path, witness: Witness, grace_ms: str, manager_grace_ms: str, animals: str, told: str
) -> None:
    """A grace for one stage takes precedence over the grace for all stages."""
    graces = ("--kill-grace-ms", grace_ms, "--manager-kill-grace-ms", manager_grace_ms)
    way = Way(124, "timeout", "timed_out", options=(*graces, "--manager-timeout-ms", "HASTE"))
    run = end_in(way, animals, tmp_path, witness)
    assert told in report_of(run.output)["stage_executions"][0]["error"]


# Slow stages, and their output


def test_slow_stage_is_told_again_and_again(tmp_path: Path, witness: Witness) -> None:
    """A slow stage gives repeated events with its last output and one warning, and continues."""
    run = Run(tmp_path, witness)
    run.start((*ZOO, "chat", "40"), "--manager-slow-after-ms", "80")
    assert run.end() == 0
    slow = [event for event in events_of(run.output) if event["event"] == "stage.slow"]
    assert len(slow) >= 3
    elapsed = [event["elapsed_ms"] for event in slow]
    assert elapsed == sorted(elapsed)
    assert all(80 * number <= ms for number, ms in enumerate(elapsed, start=1))
    assert "line " in slow[-1]["stdout_tail"].splitlines()[-1]
    assert "remark " in slow[-1]["stderr_tail"].splitlines()[-1]
    assert slow[0]["stdout_tail"] != slow[-1]["stdout_tail"]
    report = report_of(run.output)
    (warning,) = report["warnings"]
    assert "'manager' is slow" in warning
    assert report["stage_executions"][0]["status"] == "success"


def memory_after(run: Run, *stage: str) -> int:
    """Return the most memory that the orchestrator has had, in bytes, when the stage has ended."""
    script = f"grep VmHWM /proc/{ORCHESTRATOR_PID}/status >memory"
    run.start(stage, executor=shell("executor", script))
    assert run.end() == 0
    return int(run.words("memory")[1]) * 1024


def test_memory_stays_flat_whatever_a_stage_prints(tmp_path: Path, witness: Witness) -> None:
    """A stage that prints 50 MB costs the orchestrator no more than one that prints nothing."""
    count = 50 * MEGABYTE
    loud, quiet = Run(tmp_path / "loud", witness), Run(tmp_path / "quiet", witness)
    of_quiet = memory_after(quiet, "true")
    of_loud = memory_after(loud, *led("0", "speak", str(count)))
    assert [(loud.output / log).stat().st_size for log in LOGS] == [count // 2, count // 2]
    assert of_loud - of_quiet < 4 * MEGABYTE


@pytest.mark.parametrize(("animals", "end"), [("0", "print"), ("0", "speak"), ("printer", "stay")])
def test_no_more_than_the_output_limit_is_kept(
    tmp_path: Path, witness: Witness, animals: str, end: str
) -> None:
    """Both logs together stay within the limit, even if a stage still prints during its grace."""
    run = Run(tmp_path, witness)
    count = ("400000",) if end != "stay" else ()
    run.start(led(animals, end, *count), "--kill-grace-ms", "200", "--manager-output-limit", "5000")
    assert run.end() == 1
    execution = report_of(run.output)["stage_executions"][0]
    assert (execution["status"], execution["ending"]) == ("failed", "output_limit")
    assert sum((run.output / log).stat().st_size for log in LOGS) == 5000
    assert witness.adopted() == []


@pytest.mark.parametrize("way", ["exits", "timeout", "SIGTERM"])
def test_what_is_printed_while_it_is_ended_keeps_to_the_limit_too(
    tmp_path: Path, witness: Witness, way: str
) -> None:
    """Output during a stage's grace stays within the limit, however the stage is ended."""
    options = ("--kill-grace-ms", "100", "--manager-output-limit", str(LIMIT))
    way_there = replace(WAYS[way], options=(*WAYS[way].options[2:], *options))
    run = end_in(way_there, "retort", tmp_path, witness)
    assert sum((run.output / log).stat().st_size for log in LOGS) <= LIMIT < living.RETORT_BYTES
