"""Quickstart: CI-like orchestration, from Python. From this folder: python ci_like.py [OUT]."""

import sys

from fsm_orchestrator import RunConfig, run

out = sys.argv[1] if len(sys.argv) > 1 else "./out"
report = run(
    RunConfig(
        output_directory=out,
        gates={"policy": "allow", "ci": "success", "review": "approved"},
        stages={
            "manager": {
                "bin": "./stand_ins/auto_manager_ai",
                "args": [".", f"{out}/manager"],
                "expected_artifacts": [
                    f"{out}/manager/action_plan.json",
                    f"{out}/manager/run_report.json",
                ],
            },
            "executor": {
                "bin": "./stand_ins/autonomous_dev_ai",
                "env": {
                    "AUTONOMOUS_NON_INTERACTIVE_PROFILE": "orchestrator_v1",
                    "AUTONOMOUS_REQUIRE_PR_NUMBER": "true",
                    "AUTONOMOUS_FETCH_PR_CI_STATUS_FROM_GH": "true",
                    "AUTONOMOUS_FETCH_PR_CI_STATUS_REQUIRED": "true",
                    "AUTONOMOUS_REVIEW_REQUIRED": "true",
                    "AUTONOMOUS_REQUIRE_ISSUE_COMPLIANCE": "true",
                },
            },
        },
    )
)
print(report.terminal_state, report.closure_ready)
sys.exit(report.exit_code)
