"""The executor stage: applies a plan to a copy of the package and proves it with the tests.

Writes OUT/changes.patch (for `patch -p1` or `git apply` in the package) and, once the tests have
run on the fixed copy, OUT/test_report.json. Leaves the package itself unchanged. Exits 1 with a
message when the package is not the one that was planned for, the patch is empty or longer than
allowed, or the tests did not succeed.

    python apply.py PACKAGE PLAN OUT [--tests TEST ...] [--max-changed-lines N]
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import io
import json
import shutil
import sys
import tempfile
from pathlib import Path

from tools import ToolError, ruff_check, run_tests


class ApplyError(Exception):
    """An error that kept the plan from being carried out; the message says why."""


def read_plan(path: Path) -> tuple[str, dict[str, str]]:
    """Return the plan's rules, joined for ruff, and the files to fix with the digests they had."""
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        digests = {entry["file"]: entry["sha256"] for entry in plan["files"]}
        rules = ",".join(plan["rules"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ApplyError(f"cannot use the plan {path}: {error!r}") from error
    if not digests:
        raise ApplyError(f"the patch is empty: {path} plans no fix")
    return rules, digests


def require_planned_state(package: Path, digests: dict[str, str]) -> None:
    """Refuse a package that is not, file by file, the one that was planned for."""
    root = package.resolve()
    for file, digest in digests.items():
        path = (package / file).resolve()
        if not path.is_relative_to(root) or not path.is_file():
            raise ApplyError(f"the plan names {file}, which is no file of the package")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise ApplyError(f"{file} has changed since it was planned for: plan again")


def file_patch(before: Path, after: Path, file: str) -> list[str]:
    """Return the unified diff of one file, headers first, or no lines if it is unchanged."""
    old, new = (
        list(io.StringIO((root / file).read_bytes().decode(), newline="\n"))
        for root in (before, after)
    )
    # difflib leaves a last line without its newline open: mark it as diff(1) does.
    return [
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        for line in difflib.unified_diff(old, new, f"a/{file}", f"b/{file}")
    ]


def require_sound_size(patches: list[list[str]], max_changed_lines: int | None) -> None:
    """Refuse an empty patch, and one that changes more lines than allowed."""
    if not any(patches):
        raise ApplyError("the patch is empty: ruff changed nothing")
    changed = sum(line.startswith(("+", "-")) for lines in patches for line in lines[2:])
    if max_changed_lines is not None and changed > max_changed_lines:
        raise ApplyError(f"the patch changes {changed} lines, {max_changed_lines} are allowed")
    print(f"apply: the patch changes {changed} lines")


def apply(arguments: argparse.Namespace) -> None:
    """Fix a copy, write the patch, run the tests on the copy, write their report."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    patch_file, report_file = arguments.out / "changes.patch", arguments.out / "test_report.json"
    for left_by_an_earlier_attempt in (patch_file, report_file):
        left_by_an_earlier_attempt.unlink(missing_ok=True)
    rules, digests = read_plan(arguments.plan)
    require_planned_state(arguments.package, digests)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "package"
        shutil.copytree(arguments.package, copy, ignore_dangling_symlinks=True)
        ruff_check(copy, rules, ["--fix-only", "--exit-zero", "--", *digests])
        patches = [file_patch(arguments.package, copy, file) for file in digests]
        patch_file.write_bytes("".join(line for lines in patches for line in lines).encode())
        require_sound_size(patches, arguments.max_changed_lines)
        run = run_tests(copy, arguments.tests)
    report = json.dumps(run.as_dict(), indent=2, ensure_ascii=False) + "\n"
    report_file.write_text(report, encoding="utf-8")
    if run.outcome != "success":
        raise ApplyError(f"tests on the fixed copy: {run.outcome}: {run.detail}")
    print(f"apply: tests passed on the fixed copy: {run.passed}")


def main() -> int:
    """Carry out the plan; exit 1 with a message when that fails."""
    parser = argparse.ArgumentParser(description="Applies a plan to a copy and tests the copy.")
    parser.add_argument("package", type=Path, help="folder of the unpacked package")
    parser.add_argument("plan", type=Path, help="action_plan.json")
    parser.add_argument("out", type=Path, help="folder for patch and test report")
    parser.add_argument("--tests", nargs="+", default=[], help="default: pytest's choice")
    parser.add_argument("--max-changed-lines", type=int, metavar="N")
    arguments = parser.parse_args()
    try:
        apply(arguments)
    except (ApplyError, ToolError, OSError, shutil.Error) as error:
        print(f"apply: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
