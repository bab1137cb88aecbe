"""A gate that reads JUnit reports: something was tested, nothing failed, every file is valid."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

import pytest

from tests.gates.evidence_cases import assert_refused, evidence_of, run_with
from tests.support.command import orchestrate

SOURCE: Final = 'junit = ["reports/*.xml"]'
GOOD: Final = '<testsuite tests="1"><testcase classname="a" name="b"/></testsuite>'


def reports(folder: Path, *texts: str) -> None:
    """Write reports."""
    (folder / "reports").mkdir(exist_ok=True)
    for number, text in enumerate(texts):
        (folder / "reports" / f"{number}.xml").write_text(text)


def test_good_reports_pass_and_are_kept(tmp_path: Path) -> None:
    """Counts are shown; the reports are kept, with the time of the oldest file."""
    nested = f'<testsuites><testsuite name="s">{GOOD}</testsuite></testsuites>'
    skipped = '<testsuite><testcase name="c"><skipped/></testcase></testsuite>'
    reports(tmp_path, GOOD, nested, skipped)
    os.utime(tmp_path / "reports" / "1.xml", (1_700_000_000, 1_700_000_000))
    assert run_with(tmp_path, SOURCE).code == 0
    evidence = evidence_of(tmp_path)
    assert evidence["checks"] == {"passed": 2, "failed": 0, "skipped": 1, "missing": 0}
    assert evidence["issued_at"] == "2023-11-14T22:13:20.000Z"
    assert evidence["is_issued_by_file"] is True
    kept = json.loads((tmp_path / "out" / evidence["file"]).read_text())
    assert [one["text"] for one in kept["files"]] == [GOOD, nested, skipped]
    explained = " ".join(orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout.split())
    assert "2 tests passed, 0 failed, 1 skipped in 3 files" in explained
    assert "unbound; as old as its file: 2023-11-14T22:13:20.000Z" in explained


BOMB: Final = (
    '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'
    '<testsuite><testcase name="&b;"/></testsuite>'
)
OUTSIDE: Final = (
    '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'
    '<testsuite><testcase name="b">&a;</testcase></testsuite>'
)


@pytest.mark.parametrize(
    ("text", "problem", "status"),
    [
        (
            '<testsuite><testcase name="b"><failure/></testcase></testsuite>',
            "check_failed",
            "failure",
        ),
        (
            '<testsuite><testcase name="b"><error/></testcase></testsuite>',
            "check_failed",
            "failure",
        ),
        ('<testsuite failures="1"><testcase name="b"/></testsuite>', "check_failed", "failure"),
        ("<testsuite><error/></testsuite>", "check_failed", "failure"),
        ("<testsuite/>", "nothing_checked", "missing"),
        (
            '<testsuite><testcase name="b"><skipped/></testcase></testsuite>',
            "nothing_checked",
            "missing",
        ),
        ("<testsuite><testcase", "not_a_statement", "missing"),
        ("", "not_a_statement", "missing"),
        ("<html/>", "not_a_statement", "missing"),
        (BOMB, "not_a_statement", "missing"),
        (OUTSIDE, "not_a_statement", "missing"),
        ('<testsuite failures="many"/>', "not_a_statement", "missing"),
    ],
)
def test_anything_else_refuses(tmp_path: Path, text: str, problem: str, status: str) -> None:
    """One bad report among good ones is enough to refuse."""
    reports(tmp_path, GOOD if problem != "nothing_checked" else text, text)
    assert_refused(tmp_path, run_with(tmp_path, SOURCE), problem, status)


def test_failed_test_is_named(tmp_path: Path) -> None:
    """The operator sees the name of the test."""
    reports(
        tmp_path, '<testsuite><testcase classname="a" name="b"><failure/></testcase></testsuite>'
    )
    assert_refused(tmp_path, run_with(tmp_path, SOURCE), "check_failed", "failure")
    assert evidence_of(tmp_path)["detail"].endswith("failed: 'a.b'")


def test_no_report_is_not_found(tmp_path: Path) -> None:
    """A pattern without a match never passes, whatever the others match."""
    assert_refused(tmp_path, run_with(tmp_path, SOURCE), "not_found", "missing")
    reports(tmp_path, GOOD)
    two = SOURCE.replace("]", ', "integration/*.xml"]')
    assert_refused(tmp_path, run_with(tmp_path, two), "not_found", "missing")
    assert evidence_of(tmp_path)["detail"] == f"no file matches {tmp_path}/integration/*.xml"


def test_fewer_tests_than_asked_for(tmp_path: Path) -> None:
    """`min_tests` counts only tests that passed."""
    reports(tmp_path, GOOD)
    ended = run_with(tmp_path, f"{SOURCE}\nmin_tests = 2")
    assert_refused(tmp_path, ended, "check_missing", "missing")


def test_old_reports_are_too_old(tmp_path: Path) -> None:
    """The oldest file counts; one from the future is not believed."""
    reports(tmp_path, GOOD, GOOD)
    os.utime(tmp_path / "reports" / "0.xml", (1_700_000_000, 1_700_000_000))
    ended = run_with(tmp_path, f'{SOURCE}\nmax_age = "24h"')
    assert_refused(tmp_path, ended, "too_old", "missing")
    for name in ("0.xml", "1.xml"):
        os.utime(tmp_path / "reports" / name, (4_000_000_000, 4_000_000_000))
    assert_refused(tmp_path, run_with(tmp_path, SOURCE), "not_yet_valid", "missing")


def test_reports_are_read_again_before_closing(tmp_path: Path) -> None:
    """A report that a stage has spoiled keeps the run from closing."""
    reports(tmp_path, GOOD)
    more = '[stage.executor]\nbin = "sh"\nargs = ["-c", "echo broken > reports/0.xml"]\n'
    gates = '[gates]\npolicy = "allow"\nreview = "approved"\n'
    (tmp_path / "run.toml").write_text(f"[gate.ci]\n{SOURCE}\n{gates}{more}")
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert_refused(tmp_path, ended, "not_a_statement", "missing")
