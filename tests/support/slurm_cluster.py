"""A Slurm cluster of two nodes on one host: separate daemons, on the loopback.

apt-get install slurmctld slurmd slurm-client munge
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from tests.support.patience import wait_until
from tests.support.temporal_server import free_port

TOOLS: Final = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
NODES: Final = ("n1", "n2")
_CONFIG: Final = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdTimeout=6
KillWait=10
MessageTimeout=5
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
RequeueExit=75
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} State=UNKNOWN
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Return why there can be no cluster here; empty if there can be one."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"no Slurm: {', '.join(missing)} not found"
    return "" if os.geteuid() == 0 else "the daemons of Slurm run as root"


class Cluster:
    """A controller and two nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def submit(self, *words: str, cwd: Path, env: dict[str, str]) -> int:
        """Submit a job, and return its number; it also has the variables of `env`."""
        asked = ("sbatch", "--parsable", *words)
        said = subprocess.run(
            asked,
            cwd=cwd,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(said.stdout)

    def requeue(self, job: int) -> None:
        """Put a job back into the queue, as an operator does."""
        words = ("scontrol", "requeue", str(job))
        subprocess.run(words, env=self.env, check=True)

    def job(self, job: int) -> dict[str, str]:
        """Return what the controller knows of a job."""
        words = ("scontrol", "show", "job", "--oneliner", str(job))
        said = subprocess.run(words, env=self.env, capture_output=True, text=True, check=True)
        return dict(one.partition("=")[::2] for one in said.stdout.split())

    def kill_node(self, name: str) -> None:
        """Kill the daemons of a node, and leave its jobs alone."""
        daemon = psutil.Process(int((self.folder / f"slurmd.{name}.pid").read_text()))
        steps = [one for one in self._ours() if one.name() == "slurmstepd"]
        for process in (daemon, *steps):
            process.kill()

    def _ours(self) -> list[psutil.Process]:
        """Return the processes that belong to this cluster."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if str(self.folder) in process.environ().get("SLURM_CONF", ""):
                    found.append(process)
        return found

    def end(self) -> None:
        """Kill the cluster."""
        for process in self._ours():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def slurm_cluster(folder: Path) -> Iterator[Cluster]:
    """Run a cluster until the end of the block."""
    folder.mkdir()
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o400)
    said = _CONFIG.format(
        folder=folder,
        host=socket.gethostname().partition(".")[0],
        ports=[free_port() for _ in range(3)],
        cpus=os.cpu_count(),
    )
    (folder / "slurm.conf").write_text(said)
    cluster = Cluster(folder)
    munged = ("munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket")
    places = (f"--{name}={folder}/munge.{name}" for name in ("pid-file", "log-file", "seed-file"))
    try:
        subprocess.run([*munged, *places], env=cluster.env, check=True)
        controller = ("slurmctld", "-f", folder / "slurm.conf")
        subprocess.run(controller, env=cluster.env, check=True)
        for node in NODES:
            words = ("slurmd", "-f", folder / "slurm.conf", "-N", node)
            subprocess.run(words, env=cluster.env, check=True)
        idle = ("sinfo", "--noheader", "--states=idle", "--format=%D")
        wait_until(
            lambda: (
                subprocess.run(
                    idle, env=cluster.env, capture_output=True, text=True, check=False
                ).stdout.strip()
                == str(len(NODES))
            )
        )
        yield cluster
    finally:
        cluster.end()
