"""Evidence made to be misread: by the judge, by a person at a screen, or by the calendar."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.gates.sources import junit
from fsm_orchestrator.gates.sources.times import read_with_time
from tests.gates.evidence_cases import (
    GATE_SIGNAL,
    TEST_RESULT,
    config_with,
    sha256_of,
    statement,
    write,
)
from tests.support.command import Ended, environment, orchestrate

SUBJECT: Final = '[subject]\nfiles = ["plan.txt"]'
SIGNAL: Final = {"status": "success", "issuer": "ci", "issuedAt": "2026-01-01T00:00:00Z"}
LINE: Final = "ci\n✓ review  approved \x1b[2K"


def asked_of(folder: Path, predicate_type: str, predicate: Mapping[str, object]) -> Ended:
    """Ask a ci gate that reads a statement about the subject."""
    (folder / "plan.txt").write_text("plan")
    digest = {"sha256": sha256_of(folder / "plan.txt")}
    write(folder / "ci.json", statement(digest, predicate_type, predicate))
    config_with(folder, 'statement = "ci.json"', more=SUBJECT)
    return orchestrate("gates", "--config", "run.toml", cwd=folder)


@pytest.mark.parametrize("changes", [{"issuer": LINE}, {"gate": LINE}, {"status": LINE}])
def test_statement_writes_no_line_of_its_own(tmp_path: Path, changes: dict[str, str]) -> None:
    """Foreign text stays within its own sentence."""
    ended = asked_of(tmp_path, GATE_SIGNAL, {**SIGNAL, **changes})
    lines = [line for line in ended.stdout.splitlines() if "review" in line and "✓" in line]
    assert lines[-1].startswith("✓ review  approved  approved  from the config file")
    assert not [line for line in lines[:-1] if line.startswith("✓")]
    assert r"\x1b[2K" in ended.stdout
    assert "\x1b" not in ended.stdout


def test_secret_in_evidence_is_not_repeated(tmp_path: Path) -> None:
    """Only the evidence itself has the foreign text with the secret."""
    predicate = {**SIGNAL, "issuer": "robot open-sesame-4711"}
    asked_of(tmp_path, GATE_SIGNAL, predicate)
    env = environment(SHY="open-sesame-4711")
    words = ("./out", "--config", "run.toml", "--manager-secret", "SHY")
    ended = orchestrate("run", *words, cwd=tmp_path, env=env)
    assert ended.code == 0, ended.stderr
    out = tmp_path / "out"
    found = [one for one in out.rglob("*") if one.is_file() and b"open-sesame" in one.read_bytes()]
    assert found == [out / "evidence" / "ci.1.json"]
    assert "robot ***" in json.dumps(json.loads((out / "orchestrator_run_report.json").read_text()))


@pytest.mark.parametrize(
    ("seconds", "problem"), [(2**45, "not_yet_valid"), (-(2**45), "too_old"), (0, "too_old")]
)
def test_file_of_no_year_that_there_is(tmp_path: Path, seconds: int, problem: str) -> None:
    """A file's time that no calendar has is refused."""
    asked_of(tmp_path, TEST_RESULT, {"result": "PASSED", "passedTests": ["a"]})
    path = tmp_path / "ci.json"
    os.utime(path, (seconds, seconds))
    if path.stat().st_mtime != seconds:
        pytest.skip("this file system has no such time")
    config_with(tmp_path, 'statement = "ci.json"\nmax_age = "24h"', more=SUBJECT)
    ended = orchestrate("gates", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 3, ended.stderr
    assert f"({problem}" in ended.stdout


def test_time_is_that_of_the_bytes_that_were_read(tmp_path: Path) -> None:
    """A file that replaces another while it is read does not lend it its time."""
    path = tmp_path / "a"
    path.write_text("old")
    os.utime(path, (1_000_000_000, 1_000_000_000))
    data, made_at = read_with_time(str(path), 10)
    assert (data, made_at.timestamp()) == (b"old", 1_000_000_000)
    with pytest.raises(OSError, match="larger than 2 bytes"):
        read_with_time(str(path), 2)


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ('<testsuite><testcase name="a" status="notrun"/></testsuite>', (0, 0, 1)),
        ('<testsuite><testcase name="a" result="suppressed"/></testsuite>', (0, 0, 1)),
        ('<testsuite><testcase name="a" status="run" result="completed"/></testsuite>', (1, 0, 0)),
        ('<testsuite><testcase name="a" status="FAILED"/></testsuite>', (0, 1, 0)),
        ('<x:testsuite xmlns:x="u"><x:testcase><x:failure/></x:testcase></x:testsuite>', (0, 1, 0)),
        ('<testsuite xmlns="u"><testcase><error/></testcase></testsuite>', (0, 1, 0)),
        ('<testsuite xmlns="u" failures="2"><testcase name="a"/></testsuite>', (1, 1, 0)),
        ('<testsuite><testcase><x:failure xmlns:x="u"/></testcase></testsuite>', (0, 1, 0)),
        ("<testsuite><testcase><x:failure/></testcase></testsuite>", None),
        ('<testsuite><testcase><failure/><testcase name="b"/></testcase></testsuite>', None),
        ("<testsuite><testcase><failure></testcase></testsuite>", None),
    ],
)
def test_reports_that_hide_a_failure(text: str, counts: tuple[int, int, int] | None) -> None:
    """Prefixes, nested tests and a lone status hide nothing: passed, failed, skipped."""
    tally = junit.Tally()
    if counts is None:
        with pytest.raises(junit.NotJUnitError):
            junit.read_junit(text.encode(), tally)
        return
    junit.read_junit(text.encode(), tally)
    assert (tally.passed, tally.failed, tally.skipped) == counts
