"""A governed lint-and-fix of a real package: blocked, failed, resumed, done.

Fetches a small package's source by name through pip, and runs `fsm-orchestrator` four times over
it. Its gates ask for evidence: ci reads the report of the package's own tests, policy has a policy
in Rego judged. Shows each command before its output, and checks that every run ended as this file
expects: exits 1 with a message when one did not.

    python demo.py [OUT]        default: demo-out
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

NAME, VERSION = "inflection", "0.5.1"
SHA256 = "1a29730d366e996aaacffb2f1f1cb9593dc38e2ddd30c91250c6dde09ea9b417"
RULES = "F,I,RET,SIM,UP009,UP025"
GATES = """\
[subject]
files = ["download/{archive}"]

[gate.ci]
junit = ["tests.xml"]

[gate.policy.rego]
policy = ["{policy}"]
data = ["limits.json", "request.json"]
query = "data.lint_fix.allow"

[gates]
review = "approved"
"""

HEADING, BOLD, DIM = "1;36", "1", "2"

HERE = Path(__file__).resolve().parent


class DemoError(Exception):
    """An error that stops the demo, or a result that is not as expected."""


class Paths:
    """The paths of the demo, as short as they can be written from the current directory."""

    def __init__(self, out: Path) -> None:
        self.download = out / "download"
        self.archive = self.download / f"{NAME}-{VERSION}.tar.gz"
        self.source = out / "source"
        self.package = self.source / f"{NAME}-{VERSION}"
        self.gates = out / "gates.toml"
        self.tests = out / "tests.xml"
        self.request = out / "request.json"
        self.limits = out / "limits.json"
        self.run = out / "run"
        self.page = out / "run.html"
        self.report = self.run / "orchestrator_run_report.json"
        self.evidence = self.run / "evidence"
        self.plan = self.run / "manager" / "action_plan.json"
        self.patch = self.run / "executor" / "changes.patch"
        self.test_report = self.run / "executor" / "test_report.json"


def main() -> int:
    """Run the whole demo; return 1 when it fails."""
    parser = argparse.ArgumentParser(description="A governed lint-and-fix of a real package.")
    parser.add_argument("out", nargs="?", type=Path, default=Path("demo-out"))
    paths = Paths(parser.parse_args().out)
    try:
        fetch(paths)
        blocked(paths)
        failed(paths)
        resumed(paths)
        resumed_again(paths)
    except (DemoError, OSError, tarfile.TarError) as error:
        print(f"\ndemo: {error}", file=sys.stderr)
        return 1
    say("Everything was as expected. What the run left behind")
    for what, path in {
        "report": paths.report,
        "checkpoint": paths.run / "orchestrator_checkpoint.json",
        "events": paths.run / "orchestrator_events.jsonl",
        "plan": paths.plan,
        "patch": paths.patch,
        "test report": paths.test_report,
        "what the policy was told": paths.evidence / "policy.1.json",
    }.items():
        expect(path.is_file(), f"{path} is there")
        print(f"{what:>24}  {path}")
    say("Three things to do next")
    program = shlex.join(orchestrator())
    for number, (why, command) in enumerate(
        {
            "Ask who allowed it and what ran": f"{program} explain {paths.run}",
            "See the run on a page": f"{program} report {paths.run} --html {paths.page}",
            "Wrap your own commands": f"{program} init my-run",
        }.items(),
        start=1,
    ):
        print(f"{number}. {why}:\n   {styled(BOLD, command)}")
    return 0


def fetch(paths: Paths) -> None:
    """Have pip download the source distribution unless it exists, and unpack it again."""
    say(f"A package that needs care: {NAME} {VERSION}")
    if digest_of(paths.archive) != SHA256:
        paths.archive.unlink(missing_ok=True)
        download(paths)
    shutil.rmtree(paths.source, ignore_errors=True)
    with tarfile.open(paths.archive) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(paths.source, filter="data")
        else:  # Python before 3.11.4: only the digest proves that nothing leads out of the folder
            archive.extractall(paths.source)  # noqa: S202
    print(f"{paths.archive} unpacked to {paths.package}")


def download(paths: Paths) -> None:
    """Have pip download the source distribution, and check that it is the expected one."""
    pip = [shown(Path(sys.executable)), "-m", "pip", "--quiet", "--no-input"]
    patience = ["--disable-pip-version-check", "--timeout", "15", "--retries", "1"]
    wanted = ["--no-deps", "--no-binary", NAME, f"{NAME}=={VERSION}"]
    command = [*pip, *patience, "download", "--dest", str(paths.download), *wanted]
    show(command)
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    if completed.returncode != 0:
        said = completed.stderr.splitlines()
        errors = [line for line in said if line.startswith("ERROR")] or said[-1:]
        reason = "\n".join(errors)
        raise DemoError(f"pip cannot download {NAME}: is the network there?\n{reason}")
    if digest_of(paths.archive) != SHA256:
        raise DemoError(f"{paths.archive} is not the {NAME} {VERSION} that this demo knows")


def blocked(paths: Paths) -> None:
    """Start a run that the policy refuses: no stage is started."""
    say("Run 1: the gates look for themselves, the policy says no, nothing is started")
    package = str(paths.package)
    called("check_ci.py", package, str(paths.tests))
    called("request.py", package, str(paths.request), f"--select={RULES}")
    copied("limits-strict.json", paths.limits)
    policy = os.path.relpath(HERE / "policy.rego", paths.gates.parent)
    text = GATES.format(archive=paths.archive.name, policy=policy)
    paths.gates.write_text(text, encoding="utf-8")
    show(["cat", str(paths.gates)])
    print(text, end="", flush=True)
    report = orchestrate(
        paths,
        ["--config", str(paths.gates)],
        *manager_options(paths),
        *executor_options(paths, tests="tests"),
        exit_code=3,
    )
    expect(report["terminal_state"] == "blocked", "the run is blocked")
    codes = report["blocked_reason_codes"]
    expect(codes == ["GATE_POLICY_DENIED_OR_UNKNOWN"], "the policy gate alone blocks it")
    expect_problems(report, policy="check_failed", ci=None)
    expect(report["stage_executions"] == [], "no stage was started")
    expect(not report["closure_ready"], "the run is not ready for closure")
    log = paths.run / "logs" / "gate.policy.1.stderr.log"
    show(["cat", str(log)])
    print(log.read_text(encoding="utf-8"), end="", flush=True)


def failed(paths: Paths) -> None:
    """Resume with raised limits, but give the executor tests that do not exist."""
    say("Run 2: the limit is raised, but the executor looks for tests in the wrong place")
    copied("limits.json", paths.limits)
    report = orchestrate(paths, ["--resume"], exit_code=1)
    expect(report["terminal_state"] == "failed", "the run failed")
    expect_problems(report, policy=None, ci=None)
    expect_stages(report, manager="success", executor="failed")


def resumed(paths: Paths) -> None:
    """Resume with corrected arguments; the manager's work still counts."""
    say("Run 3: the executor's arguments are corrected, the manager is not run again")
    report = orchestrate(
        paths,
        ["--resume"],
        *executor_arguments(paths, tests="test_inflection.py"),
        exit_code=0,
    )
    expect_done(report)
    expect_stages(report, manager="skipped", executor="success")
    tests = json.loads(paths.test_report.read_text(encoding="utf-8"))
    expect(tests["outcome"] == "success", "the tests succeed on the fixed copy")


def resumed_again(paths: Paths) -> None:
    """Resume a run that is done: it stays done."""
    say("Run 4: resumed once more, nothing is left to run")
    report = orchestrate(paths, ["--resume"], exit_code=0)
    expect_done(report)
    expect_stages(report, manager="skipped", executor="skipped")


def manager_options(paths: Paths) -> list[list[str]]:
    """Return the manager: plan.py under this interpreter, and the artifacts that it must leave."""
    out = paths.plan.parent
    arguments = [shown(HERE / "plan.py"), str(paths.package), str(out), f"--select={RULES}"]
    return [
        ["--manager-bin", shown(Path(sys.executable))],
        *(["--manager-arg", argument] for argument in arguments),
        ["--manager-expected-artifact", str(paths.plan)],
        ["--manager-expected-artifact", str(out / "run_report.json")],
    ]


def executor_options(paths: Paths, *, tests: str) -> list[list[str]]:
    """Return the executor: apply.py under this interpreter, and the artifacts it must leave."""
    return [
        ["--executor-bin", shown(Path(sys.executable))],
        *executor_arguments(paths, tests=tests),
        ["--executor-expected-artifact", str(paths.patch)],
        ["--executor-expected-artifact", str(paths.test_report)],
    ]


def executor_arguments(paths: Paths, *, tests: str) -> list[list[str]]:
    """Return the executor's arguments, which a resume replaces as a whole."""
    files = [str(paths.package), str(paths.plan), str(paths.patch.parent)]
    arguments = [shown(HERE / "apply.py"), *files, f"--tests={tests}", "--max-changed-lines=150"]
    return [["--executor-arg", argument] for argument in arguments]


def orchestrate(paths: Paths, *options: list[str], exit_code: int) -> dict[str, Any]:
    """Run the orchestrator, let its output through, and return its report."""
    start = [*orchestrator(), "run", str(paths.run), "--log-format", "text"]
    show(start, *options)
    command = start + [word for option in options for word in option]
    completed = subprocess.run(command, check=False)
    print(styled(DIM, f"[exit code {completed.returncode}]"), flush=True)
    expect(completed.returncode == exit_code, f"the exit code is {exit_code}")
    try:
        report = json.loads(paths.report.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DemoError(f"{paths.report} cannot be read: {error}") from error
    expect(report["exit_code"] == exit_code, "the report states the same exit code")
    return dict(report)


def orchestrator() -> list[str]:
    """Return the command that starts this interpreter's orchestrator."""
    beside = Path(sys.executable).with_name("fsm-orchestrator")
    if beside.exists():
        return [shown(beside)]
    return [shown(Path(sys.executable)), "-m", "fsm_orchestrator"]


def called(script: str, *arguments: str) -> None:
    """Run a script from this file's folder, which must succeed."""
    command = [shown(Path(sys.executable)), shown(HERE / script), *arguments]
    show(command)
    if subprocess.run(command, check=False).returncode != 0:
        raise DemoError(f"{script} failed")


def copied(name: str, place: Path) -> None:
    """Copy a file from this file's folder to the place where the gates look."""
    show(["cp", shown(HERE / name), str(place)])
    shutil.copyfile(HERE / name, place)


def expect_problems(report: dict[str, Any], **problems: str | None) -> None:
    """Check the result of the gates' evidence: no problem where they passed."""
    found = {one["gate"]: one["evidence"] for one in report["gate_decisions"]}
    said = {gate: found[gate]["problem"] for gate in problems}
    expect(said == problems, f"the evidence of the gates is {problems}")


def expect_done(report: dict[str, Any]) -> None:
    """Check that the run is done and may be closed."""
    expect(report["terminal_state"] == "done", "the run is done")
    expect(report["closure_ready"] is True, "the run is ready for closure")


def expect_stages(report: dict[str, Any], **statuses: str) -> None:
    """Check how the stages of this invocation ended, in this order."""
    found = {entry["stage"]: entry["status"] for entry in report["stage_executions"]}
    expect(list(found.items()) == list(statuses.items()), f"the stages ended {statuses}")


def expect(holds: bool, expected: str) -> None:
    """Stop the demo when something is not as expected."""
    if not holds:
        raise DemoError(f"not as expected: {expected}")


def digest_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, or None if it does not exist."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def shown(path: Path) -> str:
    """Return the path relative to the current directory if it is below it.

    It always has a slash in it, so that no program is looked up on PATH by its bare name.
    """
    here = Path.cwd()
    if not path.is_relative_to(here):
        return str(path)
    relative = str(path.relative_to(here))
    return relative if os.sep in relative else os.path.join(os.curdir, relative)


def show(command: list[str], *options: list[str]) -> None:
    """Print a command as a person would type it, one option per line."""
    lines = [shlex.join(command), *(shlex.join(option) for option in options)]
    print("\n$ " + styled(BOLD, " \\\n    ".join(lines)), flush=True)


def say(heading: str) -> None:
    """Print a heading."""
    print("\n" + styled(HEADING, f"=== {heading}"), flush=True)


def styled(style: str, text: str) -> str:
    """Return the text in a style if standard output shows colors."""
    wanted = os.environ.get
    forced = wanted("FORCE_COLOR") or wanted("CLICOLOR_FORCE", "0") != "0"
    shows = forced or (sys.stdout.isatty() and wanted("TERM") != "dumb")
    return f"\x1b[{style}m{text}\x1b[0m" if shows and not wanted("NO_COLOR") else text


if __name__ == "__main__":
    sys.exit(main())
