"""The manager stage: plans with ruff, changes nothing.

Writes OUT/action_plan.json (ruff's findings, the planned fixes, and the present digests of the
files to fix) and OUT/run_report.json (who planned what for which run).

    python plan.py PACKAGE OUT --select RULES
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools import Finding, ToolError, findings, ruff


def action_plan(package: Path, rules: str, found: list[Finding]) -> dict[str, Any]:
    """Return the findings, and each file to fix with its present digest."""
    fixes = Counter(finding.file for finding in found if finding.fixable)
    return {
        "package": str(package.resolve()),
        "rules": rules.split(","),
        "findings": [asdict(finding) for finding in found],
        "files": [
            {
                "file": file,
                "fixes": count,
                "sha256": hashlib.sha256((package / file).read_bytes()).hexdigest(),
            }
            for file, count in sorted(fixes.items())
        ],
        "would_fix": fixes.total(),
        "left_to_a_person": len(found) - fixes.total(),
    }


def run_report(plan: dict[str, Any], ruff_version: str) -> dict[str, Any]:
    """Return who planned what; run, stage and attempt are from the orchestrator's environment."""
    return {
        "status": "planned",
        "run_id": os.environ.get("ORCHESTRATOR_RUN_ID"),
        "stage": os.environ.get("ORCHESTRATOR_STAGE"),
        "attempt": os.environ.get("ORCHESTRATOR_ATTEMPT"),
        "idempotency_key": os.environ.get("ORCHESTRATOR_IDEMPOTENCY_KEY"),
        "tool": ruff_version,
        "would_fix_by_rule": dict(
            sorted(Counter(f["code"] for f in plan["findings"] if f["fixable"]).items())
        ),
        "would_fix": plan["would_fix"],
        "files": len(plan["files"]),
    }


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as JSON that a person can read."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> int:
    """Plan, and write both files; exit 1 with a message when that cannot be done."""
    parser = argparse.ArgumentParser(description="Plans the fixes ruff calls safe.")
    parser.add_argument("package", type=Path, help="folder of the unpacked package")
    parser.add_argument("out", type=Path, help="folder for the plan")
    parser.add_argument("--select", required=True, metavar="RULES", help="ruff rules, by comma")
    arguments = parser.parse_args()
    try:
        found = findings(arguments.package, arguments.select)
        plan = action_plan(arguments.package, arguments.select, found)
        report = run_report(plan, ruff(["--version"], cwd=arguments.package).strip())
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_json(arguments.out / "action_plan.json", plan)
        write_json(arguments.out / "run_report.json", report)
    except (ToolError, OSError) as error:
        print(f"plan: {error}", file=sys.stderr)
        return 1
    print(f"plan: {plan['would_fix']} fixes in {len(plan['files'])} files")
    print(f"plan: {plan['left_to_a_person']} findings are left to a person")
    return 0


if __name__ == "__main__":
    sys.exit(main())
