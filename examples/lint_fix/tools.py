"""Runs ruff and pytest, as modules of this interpreter, and returns what they really said.

The checks and the stages in this folder share it. Never writes into the package it looks at.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TESTS_SECONDS_MAX = 300


class ToolError(Exception):
    """A failure of a tool; the message is for the operator."""


@dataclass(frozen=True)
class Finding:
    """One place where ruff objects; `fixable` means that ruff calls its fix safe."""

    file: str
    line: int
    code: str
    message: str
    fixable: bool


@dataclass(frozen=True)
class TestRun:
    """The result that pytest reported.

    `outcome` is `success` (tests ran, none failed), `failure` (some failed) or `missing` (no test
    ran, or pytest did not come to its end): `missing` is never as good as success.
    """

    outcome: str
    passed: int
    failed: int
    skipped: int
    duration_seconds: float
    exit_code: int | None
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """Return the same as plain values, for a JSON file."""
        return asdict(self)


def ruff(arguments: list[str], *, cwd: Path) -> str:
    """Run ruff in `cwd` and return its stdout; raise ToolError unless it exits 0."""
    completed = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments],
        cwd=cwd,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if completed.returncode != 0:
        raise ToolError(f"ruff exited {completed.returncode}: {_last_line(completed.stderr)}")
    return completed.stdout


def ruff_check(package: Path, rules: str, arguments: list[str]) -> str:
    """Run `ruff check` with these rules alone: no configuration, cache or ignore file counts."""
    alone = ["--isolated", "--no-cache", "--no-respect-gitignore"]
    return ruff(["check", *alone, "--select", rules, *arguments], cwd=package)


def findings(package: Path, rules: str) -> list[Finding]:
    """Return all findings of ruff in the package under these rules, by file and line."""
    listed = ruff_check(package, rules, ["--exit-zero", "--output-format", "json", "."])
    root = package.resolve()
    found = [
        Finding(
            file=Path(item["filename"]).relative_to(root).as_posix(),
            line=item["location"]["row"],
            code=item["code"] or "invalid-syntax",
            message=item["message"],
            fixable=(item["fix"] or {}).get("applicability") == "safe",
        )
        for item in json.loads(listed)
    ]
    return sorted(found, key=lambda finding: (finding.file, finding.line, finding.code))


def run_tests(package: Path, targets: list[str], *, report: Path | None = None) -> TestRun:
    """Run the package's tests (all of them unless `targets` names some) and count them.

    Keeps the JUnit report with the counts as `report`, if that is given.
    """
    with tempfile.TemporaryDirectory() as scratch:
        junit = report or Path(scratch) / "junit.xml"
        options = ["-q", "-p", "no:cacheprovider", f"--junitxml={junit}"]
        try:
            completed = subprocess.run(
                [sys.executable, "-m", "pytest", *options, *targets],
                cwd=package,
                env=_test_environment(package),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=TESTS_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return TestRun("missing", 0, 0, 0, TESTS_SECONDS_MAX, None, "the tests did not end")
        return _counted(junit, completed.returncode, _last_line(completed.stdout))


def _test_environment(package: Path) -> dict[str, str]:
    """Put the package's code first, and load no plugin of pytest."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"}
    root = package.resolve()
    own_code = [str(root / "src"), str(root), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, own_code))
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return environment


def _counted(junit: Path, exit_code: int, detail: str) -> TestRun:
    """Judge a pytest run by its JUnit file and its exit code; both must agree on success."""
    try:
        suites = list(ET.parse(junit).iter("testsuite"))  # noqa: S314 - pytest has just written it
    except (OSError, ET.ParseError):
        return TestRun("missing", 0, 0, 0, 0.0, exit_code, detail)
    tests, failures, errors, skipped = (
        sum(int(suite.get(name, "0")) for suite in suites)
        for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    passed = tests - failed - skipped
    outcome = "missing"
    if failed:
        outcome = "failure"
    elif exit_code == 0 and passed > 0:
        outcome = "success"
    seconds = sum(float(suite.get("time", "0")) for suite in suites)
    return TestRun(outcome, passed, failed, skipped, seconds, exit_code, detail)


def _last_line(text: str) -> str:
    """Return the last line that is not empty."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "no output")
