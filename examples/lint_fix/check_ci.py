"""Runs the package's own tests, on a copy, and leaves their JUnit report for the gate to read.

Exits 0 whenever pytest came to an end: the gate judges the report. If pytest did not come to an
end, there is no report, and the gate stays closed.

    python check_ci.py PACKAGE REPORT [TEST ...]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tools import run_tests


def main() -> int:
    """Run the tests and keep their report."""
    parser = argparse.ArgumentParser(description="Leaves a JUnit report of the package's tests.")
    parser.add_argument("package", type=Path, help="folder of the unpacked package")
    parser.add_argument("report", type=Path, help="the file to write, JUnit XML")
    parser.add_argument("tests", nargs="*", help="test files or folders; default: pytest's choice")
    arguments = parser.parse_args()
    arguments.report.unlink(missing_ok=True)
    arguments.report.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "package"
        try:
            shutil.copytree(arguments.package, copy, ignore_dangling_symlinks=True)
        except OSError as error:
            print(f"check_ci: cannot copy {arguments.package}: {error}", file=sys.stderr)
            return 1
        run = run_tests(copy, arguments.tests, report=arguments.report.resolve())
    print(f"check_ci: pytest exited {run.exit_code}: {run.detail}")
    return 0 if arguments.report.exists() else 1


if __name__ == "__main__":
    sys.exit(main())
