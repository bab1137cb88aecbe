"""docs/engines.md: its programs hold runs as the page says, started as their engines start them.

Slurm and Kubernetes are replaced by stand-ins; `test_engines_for_real.py` has the real engines.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.vocabulary import StopReason
from tests.support.held_runs import PAGE, Workplace, ended
from tests.support.kube_api import HOST, KubeApi
from tests.support.patience import wait_until
from tests.support.yaml_text import read_yaml

pytestmark = pytest.mark.one_in(2)

FIRST, SECOND = "000001.000001", "000001.000002"
SCONTROL: Final = """#!/bin/sh
# Answers as Slurm's controller does: `state` has what it knows, and is missing while it is away.
test "$*" = "show job --oneliner 4711" || exit 2
cat "$(dirname "$0")/state" 2> /dev/null || exit 1
"""
LEASE: Final = {"LEASE_SECONDS": "2"}
POD: Final = {"POD_NAMESPACE": "runs", "POD_NAME": "orders-1-0-abcde", "POD_UID": "u-1"}


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    """Yield the programs of the page."""
    place = Workplace(tmp_path)
    yield place
    place.close()


# -- Slurm ---------------------------------------------------------------------------------------


class Slurm:
    """A controller that knows one job."""

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace
        self._tools = workplace.folder / "tools"
        self._tools.mkdir()
        (self._tools / "scontrol").write_text(SCONTROL)
        (self._tools / "scontrol").chmod(0o755)
        self.knows(restarts=0)

    def knows(self, *, restarts: int, state: str = "RUNNING") -> None:
        """Set what the controller answers about the job."""
        said = f"JobId=4711 JobName=run.sbatch JobState={state} Requeue=1 Restarts={restarts} X=1\n"
        (self._tools / "new").write_text(said)
        (self._tools / "new").rename(self._tools / "state")

    def is_away(self) -> None:
        """Make the controller unreachable."""
        (self._tools / "state").unlink()

    def start(self, *, restarts: int, number: int = 1) -> subprocess.Popen[str]:
        """Start the job as a node does; its number of restarts is given from the first one on."""
        env = {"PATH": f"{self._tools}:/usr/bin:/bin", "SLURM_JOB_ID": "4711", **LEASE}
        if restarts:
            env["SLURM_RESTART_COUNT"] = str(restarts)
        return self._workplace.start("slurm_run.py", "out", str(number), env=env)


def test_a_requeued_job_goes_on_where_it_was(workplace: Workplace) -> None:
    """SIGTERM ends it as Slurm's requeue does; completed stages are not repeated."""
    slurm = Slurm(workplace)
    job = slurm.start(restarts=0)
    workplace.wait_until_at_work(FIRST)
    job.send_signal(signal.SIGTERM)
    assert ended(job)[0] == 143
    assert workplace.report(FIRST)["stop_reason"] == StopReason.SIGNAL
    slurm.knows(restarts=1)
    workplace.let_go()
    assert ended(slurm.start(restarts=1)) == (0, "")
    assert workplace.work == [f"plan {FIRST}", f"apply {FIRST}", f"apply {SECOND}"]
    assert workplace.report(SECOND)["closure_ready"]


def test_a_job_that_was_requeued_without_a_signal_ends_itself(workplace: Workplace) -> None:
    """The controller reports another job, as where the daemon of its node has died."""
    slurm = Slurm(workplace)
    job = slurm.start(restarts=0)
    workplace.wait_until_at_work(FIRST)
    slurm.knows(restarts=1, state="PENDING")
    assert ended(job)[0] == 75
    assert workplace.report(FIRST)["stop_reason"] == StopReason.FENCED


def test_a_job_whose_controller_is_away_ends_with_its_lease(workplace: Workplace) -> None:
    """A controller that does not answer does not renew the lease."""
    slurm = Slurm(workplace)
    job = slurm.start(restarts=0)
    workplace.wait_until_at_work(FIRST)
    slurm.is_away()
    assert ended(job)[0] == 75
    assert workplace.report(FIRST)["stop_reason"] == StopReason.LEASE_LOST


def test_an_old_job_that_comes_late_is_refused(workplace: Workplace) -> None:
    """It has the earlier token, and changes nothing."""
    slurm = Slurm(workplace)
    slurm.knows(restarts=1)
    workplace.run.mkdir()
    workplace.let_go()
    assert ended(slurm.start(restarts=1))[0] == 0
    slurm.knows(restarts=0)
    code, said = ended(slurm.start(restarts=0))
    assert code == 75
    assert f"no longer holds the run: the latest is {SECOND}" in said
    assert workplace.epochs == [SECOND]


def test_the_next_request_of_a_run_has_the_next_number(workplace: Workplace) -> None:
    """A run that is done is resumed, and no stage is repeated."""
    slurm = Slurm(workplace)
    workplace.run.mkdir()
    workplace.let_go()
    assert ended(slurm.start(restarts=0))[0] == 0
    assert ended(slurm.start(restarts=0, number=2))[0] == 0
    assert workplace.epochs == [FIRST, "000002.000001"]
    assert workplace.work == [f"plan {FIRST}", f"apply {FIRST}"]


# -- Kubernetes ----------------------------------------------------------------------------------


@pytest.fixture
def kube(tmp_path: Path) -> Iterator[KubeApi]:
    """Yield an API server that knows one pod."""
    named = {"namespace": POD["POD_NAMESPACE"], "name": POD["POD_NAME"], "uid": POD["POD_UID"]}
    with KubeApi(tmp_path / "account", **named) as api:
        yield api


def pod(workplace: Workplace, kube: KubeApi, **failures: str) -> subprocess.Popen[str]:
    """Start the pod's program with the variables of the manifest, and those of every pod."""
    env = {
        **POD,
        **LEASE,
        "ACCOUNT": str(kube.account),
        "KUBERNETES_SERVICE_HOST": HOST,
        "KUBERNETES_SERVICE_PORT": str(kube.port),
        "COUNTED_FAILURES": "",  # an annotation that the pod lacks
        "IGNORED_FAILURES": "",
        **failures,
    }
    return workplace.start("pod_run.py", "out", "1", env=env)


def test_a_pod_that_is_deleted_hands_the_run_on(workplace: Workplace, kube: KubeApi) -> None:
    """It ends within its grace; its replacement has one failure more, and continues the run."""
    first = pod(workplace, kube)
    workplace.wait_until_at_work(FIRST)
    kube.delete_pod()
    assert ended(first)[0] == 143
    assert workplace.report(FIRST)["stop_reason"] == StopReason.SHUTDOWN


@pytest.mark.parametrize("count", ["COUNTED_FAILURES", "IGNORED_FAILURES"])
def test_a_pod_that_replaces_another_goes_on(
    workplace: Workplace, kube: KubeApi, count: str
) -> None:
    """The replacement continues, whether the failure was counted or ignored as a disruption."""
    first = pod(workplace, kube)
    workplace.wait_until_at_work(FIRST)
    first.kill()
    ended(first)
    workplace.let_go()
    assert ended(pod(workplace, kube, **{count: "1"})) == (0, "")
    assert workplace.epochs == [FIRST, SECOND]
    assert workplace.work[-1] == f"apply {SECOND}"


def test_a_pod_that_is_forced_away_is_fenced(workplace: Workplace, kube: KubeApi) -> None:
    """The API server no longer knows the pod, so another one may have the run."""
    first = pod(workplace, kube)
    workplace.wait_until_at_work(FIRST)
    kube.force_delete_pod()
    assert ended(first)[0] == 75
    assert workplace.report(FIRST)["stop_reason"] == StopReason.FENCED


def test_a_pod_that_is_cut_off_ends_with_its_lease(workplace: Workplace, kube: KubeApi) -> None:
    """It asks again and again, and gets no answer."""
    first = pod(workplace, kube)
    workplace.wait_until_at_work(FIRST)
    kube.is_silent = True
    assert ended(first)[0] == 75
    assert workplace.report(FIRST)["stop_reason"] == StopReason.LEASE_LOST


def manifests(workplace: Workplace) -> list[dict[str, Any]]:
    """Return the manifests that the page gives Kubernetes."""
    text = (workplace.folder / "job.yaml").read_text()
    return [read_yaml(one) for one in re.split(r"^---$", text, flags=re.MULTILINE)]


def test_the_manifest_gives_the_program_what_it_reads(workplace: Workplace) -> None:
    """The manifest has every variable, an existing command, and the right to query the pod."""
    job, role, account, binding = manifests(workplace)
    spec = job["spec"]["template"]["spec"]
    container = spec["containers"][0]
    given = {one["name"] for one in container["env"]}
    assert given == {*POD, "COUNTED_FAILURES", "IGNORED_FAILURES"}
    program = container["command"][1]
    text = (workplace.folder / program).read_text()
    assert all(name in text or name.partition("_")[0] in text for name in given)
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"][0]["name"] == account["metadata"]["name"]
    assert spec["serviceAccountName"] == account["metadata"]["name"]


def test_the_manifest_tries_again_what_may_go_on(workplace: Workplace) -> None:
    """It retries a run that was lost, handed over or ended by a signal; other codes fail it."""
    job = manifests(workplace)[0]["spec"]
    disrupted, failed = job["podFailurePolicy"]["rules"]
    assert disrupted["action"] == "Ignore"
    assert failed["action"] == "FailJob"
    assert failed["onExitCodes"] == {"operator": "NotIn", "values": [75, 130, 137, 143]}
    assert job["completionMode"] == "Indexed"  # otherwise pods do not count their failures
    assert job["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("version", ["1.31.0", "1.37.0"])
def test_the_manifest_is_what_kubernetes_takes(workplace: Workplace, version: str) -> None:
    """The manifest fits the schemas of its versions, which know all its keys."""
    judge = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate")
    for manifest in manifests(workplace):
        judge.validate(manifest, version, strict=True)


# -- the page ------------------------------------------------------------------------------------


def test_every_reason_to_stop_has_a_row() -> None:
    """The table of answers to the engine has a row for each reason."""
    _, _, text = PAGE.read_text().partition("| what came back |")
    table = text.partition("\n\n")[0]
    assert [one for one in StopReason if f"`{one}`" not in table] == []


def test_each_engine_takes_few_lines(workplace: Workplace) -> None:
    """Besides `held.py`, imports and blank lines, an engine takes as few lines as promised."""
    for name, lines_max in (("slurm_run.py", 12), ("pod_run.py", 20), ("queued_runs.py", 40)):
        text = (workplace.folder / name).read_text().partition('"""\n')[2]
        lines = [one for one in text.splitlines() if one and not one.startswith(("import", "from"))]
        assert len(lines) <= lines_max, name


def test_nothing_is_left_at_work(workplace: Workplace) -> None:
    """A killed program leaves no stage at work."""
    slurm = Slurm(workplace)
    job = slurm.start(restarts=0)
    workplace.wait_until_at_work(FIRST)
    job.kill()
    ended(job)
    pattern = ("pgrep", "-f", str(workplace.folder / "work.sh"))
    wait_until(lambda: subprocess.run(pattern, check=False).returncode == 1)
