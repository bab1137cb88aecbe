"""Types what the runbook prints, with stand-ins for the programs that it names."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.command import Ended, checkpoint_of, environment, report_of

DRY_RUN = """\
fsm-orchestrator ./out \\
  --policy-status allow \\
  --ci-status success \\
  --review-status approved \\
  --manager-bin /bin/sh \\
  --manager-arg -c \\
  --manager-arg "exit 0" \\
  --executor-bin /bin/sh \\
  --executor-arg -c \\
  --executor-arg "exit 0"
"""
CI_LIKE = """\
fsm-orchestrator ./out \\
  --policy-status allow \\
  --ci-status success \\
  --review-status approved \\
  --manager-bin ./target/release/auto_manager_ai \\
  --manager-arg . \\
  --manager-arg ./out/manager \\
  --manager-expected-artifact ./out/manager/action_plan.json \\
  --manager-expected-artifact ./out/manager/run_report.json \\
  --executor-bin ./target/debug/autonomous_dev_ai \\
  --executor-env AUTONOMOUS_NON_INTERACTIVE_PROFILE=orchestrator_v1 \\
  --executor-env AUTONOMOUS_REQUIRE_PR_NUMBER=true \\
  --executor-env AUTONOMOUS_FETCH_PR_CI_STATUS_FROM_GH=true \\
  --executor-env AUTONOMOUS_FETCH_PR_CI_STATUS_REQUIRED=true \\
  --executor-env AUTONOMOUS_REVIEW_REQUIRED=true \\
  --executor-env AUTONOMOUS_REQUIRE_ISSUE_COMPLIANCE=true
"""
RESUME = "fsm-orchestrator ./out --resume"
MANAGER_STAND_IN = """\
#!/bin/sh
echo manager >> calls
printf '%s\\n' "$PWD" "$@" > manager.argv
env > manager.env
mkdir -p "$2"
echo '{"actions": ["review", "apply"]}' > "$2/action_plan.json"
echo '{"status": "ok"}' > "$2/run_report.json"
"""
EXECUTOR_STAND_IN = """\
#!/bin/sh
echo executor >> calls
env > executor.env
test -s ./out/manager/action_plan.json
"""


def typed(command: str, cwd: Path, **env: str) -> Ended:
    """Type a command into a shell that has the program on its PATH."""
    programs = cwd / "bin"
    if not programs.is_dir():
        programs.mkdir()
        make_program(
            programs / "fsm-orchestrator",
            f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fsm_orchestrator "$@"\n',
        )
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=cwd,
        env=environment(
            PATH=f"{programs}{os.pathsep}{os.environ['PATH']}",
            XDG_STATE_HOME=str(cwd / "state"),
            **env,
        ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def make_program(path: Path, text: str, *, mode: int = 0o755) -> None:
    """Make a script that can be started, or with another mode cannot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def make_stand_ins(cwd: Path) -> None:
    """Make stand-ins for the binaries of the CI-like quickstart, at the same relative paths."""
    make_program(cwd / "target/release/auto_manager_ai", MANAGER_STAND_IN)
    make_program(cwd / "target/debug/autonomous_dev_ai", EXECUTOR_STAND_IN)


def calls(cwd: Path) -> list[str]:
    """Return the stand-ins that ran, in order."""
    path = cwd / "calls"
    return path.read_text().split() if path.exists() else []


def decisions(report: Mapping[str, Any]) -> list[tuple[str, str, bool, str | None]]:
    """Return the gate decisions, in order."""
    return [
        (one["gate"], one["status"], one["passed"], one["reason_code"])
        for one in report["gate_decisions"]
    ]


def assert_required_artifacts(output: Path) -> dict[str, Any]:
    """Check that both required artifacts are persisted and agree; return the report."""
    report, checkpoint = report_of(output), checkpoint_of(output)
    assert report["run_id"] == checkpoint["run_id"]
    assert report["current_state"] == checkpoint["current_state"]
    return report
