"""The jobs of examples/ci work: each of their steps is done, in order, on machines.

The work between the jobs is real as well: tests that fail and pass, a signature by an SSH key, a
record that is handed on, artifacts that lose what they lose on the services.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator import Report, load_report
from tests.support.ci_services import ROOT, GitHub, GitLab, Job, Service
from tests.support.command import checkpoint_of
from tests.support.junit_rules import wrong_in

pytestmark = [
    pytest.mark.one_in(2),
    pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="signs with ssh-keygen"),
]
EXAMPLE: Final = ROOT / "examples" / "ci"
HIDDEN: Final = "hush-4711-hush"
SECRETS: Final = {"STATE_KEY": "s3same-" * 6, "RELEASE_TOKEN": HIDDEN}
PEOPLE: Final = ("ann", "bob")
SHELL_BLOCK: Final = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a key for each person."""
    directory = tmp_path_factory.mktemp("keys")
    for name in PEOPLE:
        file = str(directory / name)
        words = ("-q", "-t", "ed25519", "-N", "", "-f", file)
        subprocess.run([shutil.which("ssh-keygen") or "ssh-keygen", *words], check=True)
    return directory


@pytest.fixture
def project(tmp_path: Path, keys: Path) -> Path:
    """Return a copy of the example, in which these people may sign."""
    copy = tmp_path / "project"
    shutil.copytree(EXAMPLE, copy)
    lines = []
    for name in PEOPLE:
        kind, key = (keys / f"{name}.pub").read_text().split()[:2]
        lines.append(f"{name}@example.org {kind} {key}\n")
    (copy / "ci" / "signers").write_text("".join(lines))
    return copy


def record_of(service: Service, run: str, name: str, below: str = "") -> Report:
    """Return the report of the run that was kept."""
    return load_report(service.artifacts.path(run, name) / below)


def signed(service: Service, told: str, person: Path, out: Path) -> dict[str, str]:
    """Type the printed commands on a person's machine, and return what it hands on."""
    machine = service.machine(person.name)
    given = machine.workspace / "given"
    machine.command(
        "gh", f'test "$1" = workflow || exec cp -r {out} out; printf "%s\\n" "$@" > given'
    )
    name = machine.bin / "fsm-orchestrator"
    name.rename(machine.bin / "command")
    digest = "--digest $(sha256sum out/approvals/review.1.request.json | cut -d' ' -f1)"
    machine.command(name.name, f'exec command-of-fsm "$@" --key {person} {digest}')
    (machine.bin / "command").rename(machine.bin / "command-of-fsm")
    (script,) = SHELL_BLOCK.findall(told)
    if "gh run download" not in script:
        shutil.copytree(out, machine.workspace / "out")
    done = machine.type(script)
    assert done.returncode == 0, done.stdout
    assert "release 1.4.0" in done.stdout  # the plan was shown before the signature
    words = given.read_text().split() if given.exists() else done.stdout.split()
    return dict(one.split("=", 1) for one in words if re.match(r"\w+=", one))


def assert_released(out: Path, job: Job, junit: Path) -> None:
    """Assert that the run continued on another machine, is done, and exposed no token."""
    assert job.is_good, job.log
    report = load_report(out)
    assert checkpoint_of(out)["home"]["host"].startswith("apply-")
    assert (report.terminal_state, report.closure_ready) == ("done", True)
    assert [(one.stage, one.status) for one in report.stage_executions] == [
        ("manager", "skipped"),
        ("executor", "success"),
    ]
    (review,) = [one for one in report.gate_decisions if one.gate == "review"]
    assert review.evidence is not None
    assert wrong_in(junit.read_text()) == []
    kept = [one for one in junit.parents[1].rglob("*") if one.is_file()]
    assert HIDDEN not in job.log + job.summary
    assert [str(one) for one in kept if HIDDEN.encode() in one.read_bytes()] == []


def test_github(project: Path, keys: Path, tmp_path: Path) -> None:
    """Failing tests close the gate; the requester cannot approve, but another person can."""
    service = GitHub(tmp_path / "service", project, SECRETS)
    (project / "version.txt").write_text("next\n")
    jobs = service.run("plan.yml", "1", "ann")
    assert not jobs["tests"].is_good
    assert not jobs["plan"].is_good
    assert "::error title=gate ci::signal failure" in jobs["plan"].log
    assert "blocked: run" in jobs["plan"].summary
    assert "To release this" not in jobs["plan"].summary
    assert record_of(service, "1", "governed-run").blocked_reason_codes == ("GATE_CI_NOT_SUCCESS",)
    assert (service.artifacts.path("1", "governed-run-junit") / "run.xml").exists()

    (project / "version.txt").write_text("1.4.0\n")
    jobs = service.run("plan.yml", "2", "ann")
    assert jobs["plan"].is_good, jobs["plan"].log
    assert "waiting: run" in jobs["plan"].summary
    out = service.artifacts.path("2", "governed-run")
    assert (record_of(service, "2", "governed-run").exit_code, HIDDEN in jobs["plan"].log) == (
        3,
        False,
    )

    given = signed(service, jobs["plan"].summary, keys / "bob", out)
    other = {**given, "digest": "0" * 64}
    job = service.run("apply.yml", "3", "bob", **other)["apply"]
    assert not job.is_good
    assert "is not the record that was accepted" in job.log
    assert record_of(service, "3", "governed-run").exit_code == 1

    job = service.run("apply.yml", "4", "bob", **given)["apply"]
    assert "✅ done: run" in job.summary
    assert "::group::stage executor passed" in job.log
    junit = service.artifacts.path("4", "governed-run-junit") / "run.xml"
    assert_released(service.artifacts.path("4", "governed-run"), job, junit)


def test_gitlab(project: Path, keys: Path, tmp_path: Path) -> None:
    """The job that applies in the one pipeline is started by hand, with the person's signature."""
    service = GitLab(tmp_path / "service", project, SECRETS)
    jobs = service.run("7", "ann@example.org")
    assert sorted(jobs) == ["plan", "tests"]
    assert jobs["plan"].is_good, jobs["plan"].log
    out = service.artifacts.path("7", "plan") / "out"
    assert checkpoint_of(out)["home"]["host"].startswith("plan-")
    given = signed(service, jobs["plan"].log, keys / "bob", out)
    (project / "ci" / "FREEZE").touch()
    job = service.run("7", "bob@example.org", ["apply"], **given)["apply"]
    assert not job.is_good
    report = record_of(service, "7", "apply", "out")
    assert report.blocked_reason_codes == ("GATE_POLICY_DENIED_OR_UNKNOWN",)
    (project / "ci" / "FREEZE").unlink()
    job = service.run("7", "bob@example.org", ["apply"], **given)["apply"]
    junit = service.artifacts.path("7", "apply-junit") / "run.xml"
    assert_released(service.artifacts.path("7", "apply") / "out", job, junit)
    assert "done: run" in (service.artifacts.path("7", "apply") / "run.md").read_text()
