"""Prints the value for --ci-status: success, failure or missing.

Runs the package's own tests, on a copy. The value goes to stdout, the reason to stderr; the
exit code is 0 whenever a value was printed.

    python check_ci.py PACKAGE [TEST ...]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tools import run_tests


def main() -> int:
    """Run the tests and print the gate's value."""
    parser = argparse.ArgumentParser(description="Prints success, failure or missing.")
    parser.add_argument("package", type=Path, help="folder of the unpacked package")
    parser.add_argument("tests", nargs="*", help="test files or folders; default: pytest's choice")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "package"
        try:
            shutil.copytree(arguments.package, copy, ignore_dangling_symlinks=True)
        except OSError as error:
            print(f"check_ci: cannot copy {arguments.package}: {error}", file=sys.stderr)
            print("missing")
            return 0
        run = run_tests(copy, arguments.tests)
    print(f"check_ci: pytest exited {run.exit_code}: {run.detail}", file=sys.stderr)
    print(run.outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main())
