"""Two CI services, as far as the jobs of examples/ci use them: each job on a separate machine.

A job's workspace is a new directory, on a machine with another name, boot and home, and is gone
when the job has ended. What a job passes on goes through the artifacts, which lose what they lose
on the services: rights, hidden files, empty directories. An action, key or expression that is not
known here fails the test.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator import __version__
from tests.support.command import command_of_shells
from tests.support.fork_server import MACHINE
from tests.support.patience import PATIENCE_SECONDS
from tests.support.yaml_text import read_yaml

ROOT: Final = Path(__file__).parents[2]
PIP: Final = f"""#!/bin/sh
test "$*" = "install ci/fsm_orchestrator-{__version__}-py3-none-any.whl"
"""
OK: Final = frozenset({"always()", "!cancelled()"})


@dataclass
class Job:
    """A job that has ended.

    Attributes:
        log: the output of its steps.
        summary: the text that they added to the page of the workflow run.
    """

    is_good: bool = True
    log: str = ""
    summary: str = ""


@dataclass
class Machine:
    """A machine that does one job, or a person's.

    Attributes:
        workspace: the directory where its commands are typed.
    """

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Set the machine up."""
        self.workspace = self.folder / "work" / "project"
        self.bin, home = self.folder / "bin", self.folder / "home"
        for directory in (self.workspace, self.bin, home, self.folder / "temp"):
            directory.mkdir(parents=True)
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}"
        self.env |= {"PATH": path, "HOME": str(home), "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
        self.env |= {"XDG_STATE_HOME": str(home / "state"), MACHINE: self.folder.name}
        words = shlex.join(command_of_shells(self.env))
        self.command("fsm-orchestrator", f'exec {words} "$@"')
        self.command("python", f'exec {sys.executable} "$@"')
        (self.bin / "pip").write_text(PIP)
        (self.bin / "pip").chmod(0o755)

    def command(self, name: str, text: str) -> None:
        """Put a command on its path."""
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    def type(self, script: str, *shell: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script in the workspace."""
        return subprocess.run(
            [*(shell or ("bash", "-e")), "-c", script],
            cwd=self.workspace,
            env={**self.env, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )


class Artifacts:
    """The files that jobs pass on, by the id of their run and a name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, run: str, name: str, source: Path, base: Path | None = None) -> None:
        """Keep a file or directory without hidden files, empty directories and rights.

        Each file is kept by its path below `base`, the directory itself unless given.
        """
        base = base or (source.parent if source.is_file() else source)
        for one in [source] if source.is_file() else source.rglob("*"):
            inner = one.relative_to(base)
            target = self.path(run, name) / inner
            if one.is_file() and not any(part.startswith(".") for part in inner.parts):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(one, target)

    def fetch(self, run: str, name: str, target: Path) -> None:
        """Put the stored files into a directory."""
        shutil.copytree(self.path(run, name), target, dirs_exist_ok=True)

    def path(self, run: str, name: str) -> Path:
        """Return where an artifact is stored."""
        return self._folder / run / name


class Service:
    """The common parts of both services: a project, secrets, artifacts, and temporary machines."""

    def __init__(self, folder: Path, project: Path, secrets: Mapping[str, str]) -> None:
        self.project = project
        self.secrets = secrets
        self.artifacts = Artifacts(folder / "artifacts")
        self._folder = folder
        self._machines = 0

    def machine(self, job: str, **env: str) -> Machine:
        """Return a new machine."""
        self._machines += 1
        return Machine(self._folder / f"{job}-{self._machines}", dict(env))

    def check_out(self, machine: Machine) -> None:
        """Put the project into the workspace of a machine."""
        shutil.copytree(self.project, machine.workspace, dirs_exist_ok=True)


class GitHub(Service):
    """GitHub Actions."""

    def run(self, workflow: str, run_id: str, actor: str, **inputs: str) -> dict[str, Job]:
        """Run a workflow of the project; return its jobs."""
        text = (self.project / ".github" / "workflows" / workflow).read_text()
        jobs: dict[str, Job] = {}
        for name, said in _jobs_in(text):
            needed = said.get("needs", [])
            before = [jobs[one] for one in ([needed] if isinstance(needed, str) else needed)]
            if not all(one.is_good for one in before) and _condition(said) not in OK:
                continue
            known = {"github.token": "token", **{f"inputs.{k}": v for k, v in inputs.items()}}
            known |= {f"secrets.{k}": v for k, v in self.secrets.items()}
            jobs[name] = self._do(name, said, known, GITHUB_RUN_ID=run_id, GITHUB_ACTOR=actor)
        return jobs

    def _do(self, name: str, said: Mapping[str, Any], known: dict[str, str], **env: str) -> Job:
        machine, job = self.machine(name, CI="true", GITHUB_ACTIONS="true", **env), Job()
        temp = machine.folder / "temp"
        files = {one: temp / one for one in ("GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        machine.env |= {one: str(path) for one, path in files.items()}
        machine.env |= {"RUNNER_TEMP": str(temp), "GITHUB_WORKSPACE": str(machine.workspace)}
        assert not set(said) - {"runs-on", "needs", "if", "steps"}, said
        for step in said["steps"]:
            condition = _condition(step)
            assert condition in {"success()", "always()"}, condition
            if not job.is_good and condition != "always()":
                continue
            for path in files.values():
                path.write_text("")
            job.is_good &= self._step(machine, step, known, job)
            job.summary += files["GITHUB_STEP_SUMMARY"].read_text()
            for line in files["GITHUB_ENV"].read_text().splitlines():
                key, _, value = line.partition("=")
                machine.env[key] = value
        shutil.rmtree(machine.folder)  # a hosted runner serves one job
        return job

    def _step(
        self, machine: Machine, step: Mapping[str, Any], known: Mapping[str, str], job: Job
    ) -> bool:
        env = {key: _filled(text, known) for key, text in step.get("env", {}).items()}
        if "run" in step:
            assert "${{" not in step["run"], (
                "an expression in a script is typed by whoever fills it"
            )
            done = machine.type(step["run"], **env)
            job.log += done.stdout
            return done.returncode == 0
        given = {key: _filled(str(text), known) for key, text in step.get("with", {}).items()}
        run = given.pop("run-id", machine.env["GITHUB_RUN_ID"])
        match step["uses"]:
            case "actions/checkout@v4":
                self.check_out(machine)
            case "actions/setup-python@v5":
                assert given == {"python-version": "3.12"}
            case "actions/upload-artifact@v4":
                self.artifacts.keep(run, given["name"], machine.workspace / given["path"])
            case "actions/download-artifact@v4":
                assert given.pop("github-token", "token") == "token"
                self.artifacts.fetch(run, given["name"], machine.workspace / given["path"])
            case other:
                raise AssertionError(f"not known: {other}")
        return True


def _jobs_in(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the jobs in the order of their needs."""
    jobs, done = read_yaml(text)["jobs"], set[str]()
    while len(done) < len(jobs):
        for name in sorted(jobs.keys() - done):
            needed = jobs[name].get("needs", [])
            if {needed} <= done if isinstance(needed, str) else set(needed) <= done:
                done.add(name)
                yield name, jobs[name]


def _condition(said: Mapping[str, Any]) -> str:
    return re.sub(r"^\$\{\{ *(.*?) *\}\}$", r"\1", said.get("if", "success()"))


def _filled(text: str, known: Mapping[str, str]) -> str:
    return re.sub(r"\$\{\{ *([\w.]+) *\}\}", lambda found: known[found[1]], text)


class GitLab(Service):
    """GitLab CI."""

    def run(
        self, pipeline: str, starter: str, jobs: Sequence[str] = (), **given: str
    ) -> dict[str, Job]:
        """Run the pipeline's jobs that start on their own, or the named ones, by hand."""
        said = read_yaml((self.project / ".gitlab-ci.yml").read_text())
        assert said.pop("default") == {"image": "python:3.12"}
        order, ended = said.pop("stages"), dict[str, Job]()
        for name in sorted(said, key=lambda one: order.index(said[one]["stage"])):
            job = said[name]
            is_asked = name in jobs if jobs else job.get("when", "on_success") != "manual"
            needed = [ended[one] for one in job.get("needs", []) if one in ended]
            is_due = all(one.is_good for one in needed) or job.get("when") == "always"
            if is_asked and is_due:
                ended[name] = self._do(name, job, pipeline, GITLAB_USER_EMAIL=starter, **given)
        return ended

    def _do(self, name: str, said: Mapping[str, Any], pipeline: str, **env: str) -> Job:
        known = {"stage", "needs", "when", "script", "after_script", "artifacts", "resource_group"}
        assert not set(said) - known, said
        machine = self.machine(name, CI="true", GITLAB_CI="true", CI_PIPELINE_ID=pipeline, **env)
        temp = machine.folder / "temp"
        for secret, value in self.secrets.items():
            machine.env[secret] = value
        (temp / "STATE_KEY").write_text(self.secrets["STATE_KEY"])
        machine.env["STATE_KEY"] = str(temp / "STATE_KEY")  # a variable of type file
        self.check_out(machine)
        for needed in said.get("needs", []):
            self.artifacts.fetch(pipeline, needed, machine.workspace)
        own = str(temp)  # a container has a separate /tmp
        script, after = ("\n".join(said.get(one, ())) for one in ("script", "after_script"))
        done = machine.type(script.replace("/tmp/", f"{own}/"), "bash", "-eo", "pipefail")
        job = Job(done.returncode == 0, done.stdout)
        job.log += machine.type(after, "bash", "-eo", "pipefail").stdout
        self._keep(said["artifacts"], machine, pipeline, name, is_good=job.is_good)
        shutil.rmtree(machine.folder)
        return job

    def _keep(
        self, said: Mapping[str, Any], machine: Machine, run: str, name: str, *, is_good: bool
    ) -> None:
        assert set(said) == {"when", "paths", "reports"}
        assert set(said["reports"]) == {"junit"}
        if said["when"] != "always" and not is_good:
            return
        for one in said["paths"]:
            self.artifacts.keep(run, name, machine.workspace / one, machine.workspace)
        for one in machine.workspace.glob(said["reports"]["junit"]):
            self.artifacts.keep(run, f"{name}-junit", one)
