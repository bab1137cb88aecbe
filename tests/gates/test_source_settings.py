"""The table of a gate in a config file: checked, shown, printed, planned, and kept by a resume."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator import RunConfig, run
from tests.gates.evidence_cases import assert_refused, config_with, evidence_of, run_with
from tests.support.command import orchestrate

SUBJECT: Final = '[subject]\nfiles = ["plan.txt"]'


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('comand = ["x"]', "key 'gate.ci': should have one of the keys command, statement, junit"),
        ('command = ["x"]\ntiemout = "5s"', "'gate.ci.tiemout'; did you mean 'timeout'?"),
        ('command = ["x"]\ntimeout = "soon"', "key 'gate.ci.timeout': 'soon' is no duration"),
        ("command = []", "key 'gate.ci.command'"),
        ('command = ["x"]\njunit = ["x"]', "has more than one source: command, junit"),
        ('command = ["x"]\nwait = "5m"', 'which needs reads = "statement"'),
        ('junit = ["x"]\nmin_tests = 0', "key 'gate.ci.min_tests'"),
    ],
)
def test_wrong_source_is_refused_with_its_line(tmp_path: Path, source: str, said: str) -> None:
    """An invalid table is refused before anything is made."""
    config_with(tmp_path, source)
    ended = orchestrate("config", "check", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.stderr
    assert "run.toml:" in ended.stderr


def test_source_is_shown_printed_and_planned(tmp_path: Path) -> None:
    """Paths are absolute, so that the file can be used from elsewhere; a plan asks nothing."""
    (tmp_path / "plan.txt").write_text("plan")
    config_with(tmp_path, f'command = ["sh", "-c", "touch {tmp_path}/asked"]', more=SUBJECT)
    shown = orchestrate("config", "show", "run.toml", cwd=tmp_path).stdout
    assert "gate.ci" in shown
    assert "subject" in shown
    printed = orchestrate("./out", "--config", "run.toml", "--print-config", cwd=tmp_path).stdout
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "run.toml").write_text(printed)
    planned = orchestrate("plan", "./out", "--config", "run.toml", "--all", cwd=elsewhere)
    said = " ".join(planned.stdout.split())
    assert "ci ? success by command to be asked" in said
    assert "would be asked" in said
    assert "would end: done" in said
    assert not (tmp_path / "asked").exists()
    assert orchestrate("./out", "--config", "run.toml", cwd=elsewhere).code == 0
    assert (tmp_path / "asked").exists()


def test_changed_config_file_is_told_and_not_used(tmp_path: Path) -> None:
    """A resume uses the kept source, and reports that the file now has another."""
    assert_refused(tmp_path, run_with(tmp_path, 'command = ["false"]'), "exit_code", "failure")
    config_with(tmp_path, 'command = ["true"]')
    ended = orchestrate("./out", "--resume", cwd=tmp_path)
    assert ended.code == 3
    assert "gate.ci was" in ended.stdout
    assert orchestrate("./out", "--resume", "--config", "run.toml", cwd=tmp_path).code == 0
    assert evidence_of(tmp_path)["file"] == "evidence/ci.3.json"


def test_sources_and_subject_from_a_program(tmp_path: Path) -> None:
    """A program gives them in the form of a config file."""
    (tmp_path / "plan.txt").write_text("plan")
    report = run(
        RunConfig.model_validate(
            {
                "output_directory": tmp_path / "out",
                "directory": str(tmp_path),
                "gates": {"policy": "allow", "review": "approved"},
                "sources": {"ci": {"command": ["true"]}},
                "subject": {"files": ["plan.txt"]},
            }
        )
    )
    assert report.subject is not None
    assert report.subject.entries[0].name == str(tmp_path / "plan.txt")
    evidence = report.gate_decisions[1].evidence
    assert evidence is not None
    assert evidence.is_bound
