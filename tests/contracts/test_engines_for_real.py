"""docs/engines.md under the real engines, where they are available: Slurm's own daemons, Postgres.

    apt-get install slurmctld slurmd slurm-client munge postgresql
    pip install procrastinate 'psycopg[binary]'

Without them these tests skip; `test_engines_guide.py` has stand-ins for the engines.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from fsm_orchestrator.vocabulary import StopReason
from tests.support import postgres, slurm_cluster
from tests.support.guide import write
from tests.support.held_runs import Workplace, ended
from tests.support.patience import wait_until
from tests.support.slurm_cluster import Cluster

FIRST, SECOND = "000001.000001", "000001.000002"
RIGHT = [f"plan {FIRST}", f"apply {FIRST}", f"apply {SECOND}"]
"""The notes of the stages where one attempt was cut off: nothing complete is repeated."""


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    """Yield the programs of the page."""
    place = Workplace(tmp_path)
    yield place
    place.close()


# -- Slurm ---------------------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Yield two nodes and their controller."""
    if reason := slurm_cluster.why_not():
        pytest.skip(reason)
    with slurm_cluster.slurm_cluster(tmp_path / "slurm") as made:
        yield made


def submitted(workplace: Workplace, cluster: Cluster) -> int:
    """Submit the job of the page, with this interpreter as its `python`."""
    tools = workplace.folder / "tools"
    write(tools / "python", f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "LEASE_SECONDS": "3"}
    env["XDG_STATE_HOME"] = str(workplace.folder / "state-home")
    return cluster.submit("run.sbatch", str(workplace.run), "1", cwd=workplace.folder, env=env)


def test_slurm_requeues_a_job(workplace: Workplace, cluster: Cluster) -> None:
    """`scontrol requeue` ends the job by SIGTERM, and the next job continues the run."""
    job = submitted(workplace, cluster)
    workplace.wait_until_at_work(FIRST)
    cluster.requeue(job)
    workplace.wait_until_at_work(SECOND)
    workplace.let_go()
    wait_until(lambda: cluster.job(job)["JobState"] == "COMPLETED")
    assert workplace.work == RIGHT
    assert workplace.report(FIRST)["exit_code"] == 143
    assert workplace.report(SECOND)["closure_ready"]


def test_slurm_takes_a_node_for_dead_whose_job_lives(
    workplace: Workplace, cluster: Cluster
) -> None:
    """The daemons are gone and nobody ends the job: it ends before the next one begins."""
    job = submitted(workplace, cluster)
    workplace.wait_until_at_work(FIRST)
    cluster.kill_node(cluster.job(job)["NodeList"])
    wait_until(lambda: workplace.report(FIRST)["finished_at"] is not None)
    assert workplace.epochs == [FIRST]
    assert workplace.report(FIRST)["stop_reason"] == StopReason.FENCED
    workplace.let_go()
    wait_until(lambda: cluster.job(job)["JobState"] == "COMPLETED")
    assert workplace.work == RIGHT


# -- Procrastinate -------------------------------------------------------------------------------


@pytest.fixture
def database() -> Iterator[dict[str, str]]:
    """Yield a PostgreSQL server."""
    missing = [name for name in ("procrastinate", "psycopg") if find_spec(name) is None]
    missing += [name for name in ("initdb", "postgres") if postgres.tool(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}")
    with postgres.postgres() as env:
        yield env


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process can still do something."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def queued(workplace: Workplace, env: dict[str, str]) -> None:
    """Queue the run, with an engine that takes workers for dead after four seconds."""
    program = workplace.folder / "queued_runs.py"
    text = program.read_text()
    text, replaced = re.subn(
        r"^STALLED_SECONDS = 30$", "STALLED_SECONDS = 4", text, flags=re.MULTILINE
    )
    assert replaced == 1
    program.write_text(text.replace('cron="* * * * *"', 'cron="* * * * * *"'))
    asked = f'{{"run": "{workplace.run}", "number": 1}}'
    for words in (("schema", "--apply"), ("defer", "queued_runs.governed", asked)):
        code, said = ended(workplace.start(*APP, *words, env=env))
        assert code == 0, said


APP = ("-m", "procrastinate", "--app", "queued_runs.app")
WORKER = (*APP, "worker", "--concurrency", "1")


def test_a_worker_that_shuts_down_hands_its_job_on(
    workplace: Workplace, database: dict[str, str]
) -> None:
    """The shutdown ends the run; another worker continues it at once."""
    env = {**database, "PYTHONPATH": str(workplace.folder)}
    queued(workplace, env)
    first = workplace.start(*WORKER, "--shutdown-graceful-timeout", "0.1", env=env)
    workplace.wait_until_at_work(FIRST)
    first.send_signal(signal.SIGTERM)
    assert ended(first)[0] == 0
    assert workplace.report(FIRST)["stop_reason"] == StopReason.SHUTDOWN
    workplace.start(*WORKER, env=env)
    workplace.wait_until_at_work(SECOND)
    workplace.let_go()
    wait_until(lambda: workplace.report(SECOND)["closure_ready"])
    assert workplace.work == RIGHT


def test_a_worker_that_was_frozen_says_nothing(
    workplace: Workplace, database: dict[str, str]
) -> None:
    """Its stage is gone before another worker begins; thawed, it ends without printing anything."""
    env = {**database, "PYTHONPATH": str(workplace.folder)}
    queued(workplace, env)
    first = workplace.start(*WORKER, env=env)
    workplace.wait_until_at_work(FIRST)
    stages = [one for one in psutil.Process(first.pid).children(True) if one.name() == "work.sh"]
    os.kill(first.pid, signal.SIGSTOP)
    workplace.start(*WORKER, env=env)
    wait_until(lambda: not any(map(is_alive, stages)))
    assert workplace.epochs == [FIRST]
    workplace.wait_until_at_work(SECOND)
    os.kill(first.pid, signal.SIGCONT)
    assert ended(first)[0] == 75
    workplace.let_go()
    asked = "SELECT status FROM procrastinate_jobs WHERE task_name = 'queued_runs.governed'"
    words = (str(postgres.tool("psql")), "--tuples-only", "--no-align", "--command", asked)
    wait_until(
        lambda: (
            subprocess.run(
                words, env={**os.environ, **env}, capture_output=True, text=True, check=True
            ).stdout
            == "succeeded\n"
        )
    )
    assert workplace.work == RIGHT
    assert workplace.report(FIRST)["stop_reason"] in {StopReason.LEASE_LOST, StopReason.FENCED}
