"""The Python interface does what the command does, and nothing else to its process."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from fsm_orchestrator import RunConfig, StageGiven, errors, load_report, resume, run
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.vocabulary import ExecutionMode, Gate, Outcome
from tests.support.command import environment, orchestrate, report_of, shell_environment

QUICKSTARTS = Path(__file__).parents[2] / "examples" / "quickstarts"
PASSED = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
FIXED = ("--run-id", "same", "--fixed-clock", "2026-01-31T09:00:00Z")


@pytest.fixture(name="desk", autouse=True)
def own_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory to work in, with separate private state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(script: str) -> StageGiven:
    """Return a stage that runs a shell script."""
    return StageGiven(bin="/bin/sh", args=("-c", script))


def config(out: str | Path = "out", executor: str = "exit 0", **given: Any) -> RunConfig:
    """Return a run whose gates pass and whose manager succeeds."""
    stages = {"manager": shell("exit 0"), "executor": shell(executor)}
    return RunConfig(output_directory=out, gates=PASSED, stages=stages, **given)


def test_run_returns_the_report_that_is_on_disk() -> None:
    """The typed report and the file are the same."""
    report = run(config())
    assert (report.terminal_state, report.closure_ready, report.exit_code) == ("done", True, 0)
    assert load_report("out") == load_report(Path("out/orchestrator_run_report.json")) == report


def test_resume_continues_and_a_failure_is_a_report() -> None:
    """A failed run is returned, not raised; resuming needs no more than the directory."""
    assert run(config(executor="exit 4")).stage_executions[1].exit_code == 4
    mended = RunConfig(output_directory="out", stages={"executor": shell("exit 0")})
    report = resume(mended)
    assert report.execution_mode is ExecutionMode.RESUME
    assert [one.status.value for one in report.stage_executions] == ["skipped", "success"]
    assert report.terminal_state is Outcome.DONE


def test_process_is_left_as_it_was(desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """No output, handler, directory, variable, child or descriptor is left behind."""

    def state() -> tuple[object, ...]:
        handlers = [signal.getsignal(one) for one in (2, 15, 1, signal.SIGCHLD)]
        children = {child.pid for child in psutil.Process().children()}
        descriptors = len(os.listdir("/proc/self/fd"))
        return handlers, os.getcwd(), dict(os.environ), descriptors, children

    run(config("warm-up"))
    before = state()
    run(config(executor="sleep 60 & exit 0"))
    assert state() == before
    assert capfd.readouterr() == ("", "")
    assert desk == Path.cwd()


def test_interrupts_end_a_run_from_another_thread() -> None:
    """Without signal handlers, `interrupts` ends a run."""
    interrupts = Interrupts()
    script = "echo ready >ready; exec sleep 60"

    def ask(event: Any) -> None:
        if event["event"] == "stage.started" and event["stage"] == "executor":
            threading.Timer(0.05, interrupts.deliver, [signal.SIGTERM]).start()

    report = run(config(executor=script), interrupts=interrupts, listener=ask)
    interrupts.close()
    assert (report.terminal_state, report.exit_code) == (Outcome.FAILED, 143)


def test_signal_handlers_are_installed_when_asked_and_put_back() -> None:
    """A SIGINT to the process ends the run while it works, and is Python's again afterwards."""
    before = signal.getsignal(signal.SIGINT)

    def interrupt(event: Any) -> None:
        if event["event"] == "stage.started" and event["stage"] == "executor":
            threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT]).start()

    report = run(config(executor="exec sleep 60"), install_signal_handlers=True, listener=interrupt)
    assert report.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before
    with Interrupts() as all_of_them:
        asked: dict[str, Any] = {"install_signal_handlers": True, "interrupts": all_of_them}
        report = run(config("a", executor="exec sleep 60"), listener=interrupt, **asked)
        assert (report.exit_code, all_of_them.first) == (130, signal.SIGINT)
        assert run(config("b", executor="exec sleep 60"), **asked).exit_code == 130


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"output_directory": ""}, "output_directory"),
        ({"output_directory": "x", "gates": {"policy": "alow"}}, "policy is one of allow"),
        ({"output_directory": "x", "timeout_ms": 0}, "timeout_ms"),
        (
            {"output_directory": "x", "stages": {"manager": {"binn": "y"}}},
            "stages.manager.binn: unknown key",
        ),
        ({"output_directory": "x", "stages": {"manager": {"bin": "a\0b"}}}, "stages.manager.bin"),
        ({"output_directory": "x", "run_id": "../x"}, "run_id"),
    ],
)
def test_wrong_configurations_are_usage_errors(given: dict[str, Any], said: str) -> None:
    """A refused configuration raises the program's own error, which names the setting."""
    with pytest.raises(errors.UsageError, match=said):
        RunConfig(**given)


def test_refusals_are_errors_of_ours() -> None:
    """Each refusal has its class and the exit code of the command."""
    with pytest.raises(errors.CheckpointError, match="nothing to resume"):
        resume(RunConfig(output_directory="nowhere"))
    with pytest.raises(errors.UsageError, match="no stage 'reviewer'"):
        run(RunConfig(output_directory="x", stages={"reviewer": shell("exit 0")}))
    with pytest.raises(errors.ReportError, match="no run has left a report"):
        load_report("nowhere")
    Path("broken").write_text("{")
    with pytest.raises(errors.ReportError, match="not a report of this program"):
        load_report("broken")
    assert not Path("nowhere").exists()
    assert not Path("x").exists()


def test_flags_file_and_script_give_the_same_report(desk: Path) -> None:
    """The CI-like quickstart, three times, gives equal normalized reports."""
    script = (QUICKSTARTS / "ci_like.py").read_text()
    script = script.replace(
        "output_directory=out,",
        'output_directory=out, run_id="same", fixed_clock="2026-01-31T09:00:00Z",',
    )
    flags = (QUICKSTARTS / "ci_like.sh").read_text().partition('exec fsm-orchestrator "$out"')[2]
    flags = flags.replace('"$stand_ins', '"./stand_ins').replace("$out", "./out")
    commands = {
        "flags": f'"{sys.executable}" -m fsm_orchestrator ./out {" ".join(FIXED)} {flags}',
        "file": f'"{sys.executable}" -m fsm_orchestrator ./out {" ".join(FIXED)}'
        " --config ci_like.toml",
        "script": f'"{sys.executable}" ci_like.py ./out',
    }
    reports = {}
    for name, command in commands.items():
        folder = desk / "same"
        shutil.copytree(QUICKSTARTS, folder)
        (folder / "ci_like.py").write_text(script)
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=folder,
            env=environment(XDG_STATE_HOME=str(desk / "state")),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        reports[name] = report_of(folder / "out")
        for decision in reports[name]["gate_decisions"]:
            expected = "config" if name == "file" else "flag"
            assert decision.pop("source") == expected
        shutil.rmtree(folder)
    assert reports["flags"] == reports["file"] == reports["script"]
    assert reports["flags"]["closure_ready"]


def test_init_leads_to_a_run_of_ones_own(desk: Path) -> None:
    """The output of `init` is right, and the commands that it prints do what it says."""
    started = orchestrate("init", "my run", cwd=desk)
    assert started.code == 0
    plan, command = started.stdout.split("\n\n")[2], started.stdout.split("\n\n")[4]
    for typed, code in ((plan, 0), (f"cd 'my run'\n{command}", 0)):
        done = subprocess.run(
            ["/bin/sh", "-c", typed],
            cwd=desk,
            env=shell_environment(desk),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr
    assert report_of(desk / "my run" / "out")["closure_ready"]
    assert orchestrate("config", "check", "run.toml", cwd=desk / "my run").code == 0
    again = orchestrate("init", "my run", cwd=desk)
    assert (again.code, "nothing was written" in again.stderr) == (2, True)
