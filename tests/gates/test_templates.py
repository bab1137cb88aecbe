"""Templates in `[gate.NAME]` and `[subject]`: filled in when the run is known, never a secret."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Final

import pytest

from tests.gates.evidence_cases import STAGES, decision_of, evidence_of, run_with
from tests.support.command import checkpoint_of, orchestrate, report_of

GOOD: Final = '<testsuite><testcase name="a"/></testsuite>'
OTHERS: Final = '[gates]\npolicy = "allow"\nreview = "approved"\n'


def test_command_is_told_where_the_run_is(tmp_path: Path) -> None:
    """`{out}`, `{run_id}` and variables are filled in; `{{` is a brace; a resume keeps them."""
    words = ("sh", "-c", "echo $0 $1 $2; test -e good", "{out}", "{run_id}", "{{x}{env:WHO}")
    source = f"command = {json.dumps(words)}"
    ended = run_with(tmp_path, source, env={"WHO": "me"})
    assert ended.code == 3
    run_id = report_of(tmp_path / "out")["run_id"]
    log = tmp_path / "out" / evidence_of(tmp_path)["log"]
    assert log.read_text() == f"{tmp_path}/out {run_id} {{x}}me\n"
    (tmp_path / "good").touch()
    ended = orchestrate(
        "./out", "--resume", "--config", "run.toml", cwd=tmp_path, env={"WHO": "you"}
    )
    assert ended.code == 0, ended.stderr
    assert checkpoint_of(tmp_path / "out")["sources"]["ci"]["command"][-1] == "{x}you"


def test_paths_are_filled_in_before_they_are_made_absolute(tmp_path: Path) -> None:
    """A template for an absolute path is used as it is; others are relative to the file."""
    (tmp_path / "plan.txt").write_text("plan")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "notes.txt").write_text("notes")
    reports = tmp_path / "odd [place]"
    reports.mkdir()
    (reports / "a.xml").write_text(GOOD)
    subject = '[subject]\nfiles = ["{env:TOP}/plan.txt", "{env:KIND}.txt"]\n'
    source = '[gate.ci]\njunit = ["{env:REPORTS}/*.xml"]\n'
    (tmp_path / "conf" / "run.toml").write_text(f"{subject}{source}{OTHERS}{STAGES}")
    env = {"TOP": str(tmp_path), "KIND": "notes", "REPORTS": str(reports)}
    words = ("run", "./out", "--config", "conf/run.toml")
    ended = orchestrate(*words, cwd=tmp_path, env=env)
    assert ended.code == 0, ended.stderr
    assert evidence_of(tmp_path)["checks"]["passed"] == 1
    names = [one["name"] for one in report_of(tmp_path / "out")["subject"]["entries"]]
    assert names == [f"{tmp_path}/plan.txt", f"{tmp_path}/conf/notes.txt"]
    again = orchestrate(*words, "--resume", cwd=tmp_path, env=env)
    assert again.code == 0, again.stderr
    printed = orchestrate(*words, "--print-config", cwd=tmp_path, env=env).stdout
    document = tomllib.loads(printed)
    assert document["subject"]["files"] == [
        "{env:TOP}/plan.txt",
        f"{tmp_path}/conf/{{env:KIND}}.txt",
    ]
    assert document["gate"]["ci"]["junit"] == ["{env:REPORTS}/*.xml"]


def test_repository_can_be_a_variable(tmp_path: Path) -> None:
    """The repository can be a variable, as in CI; a value that is no repository is refused."""
    source = 'github = { repository = "{env:REPOSITORY}", checks = ["build"] }'
    (tmp_path / "run.toml").write_text(f"[gate.ci]\n{source}\n{OTHERS}{STAGES}")
    words = ("gates", "--config", "run.toml", "--json")
    ended = orchestrate(*words, cwd=tmp_path, env={"REPOSITORY": "octocat/hello-world"})
    assert json.loads(ended.stdout)["gates"][1]["asked"] == (
        "GitHub octocat/hello-world, checks build"
    )
    ended = orchestrate(*words, cwd=tmp_path, env={"REPOSITORY": "a/b/../c"})
    assert ended.code == 2
    assert "key 'gate.ci': once its templates are filled in" in ended.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{env:MY_TOKEN}", "would put a secret"),
        ("{env:DECLARED}", "would put a secret"),
        ("{env:NOT_SET_ANYWHERE}", "is not set in the environment"),
    ],
)
@pytest.mark.parametrize("table", ['[gate.ci]\nstatement = "TEXT"', '[subject]\ngit = "TEXT"'])
def test_what_cannot_be_filled_in_is_refused(
    tmp_path: Path, table: str, text: str, said: str
) -> None:
    """It is refused before anything runs; a secret is never put where others see it."""
    declared = '[stage.manager]\nbin = "true"\nsecrets = ["DECLARED"]\n'
    (tmp_path / "run.toml").write_text(table.replace("TEXT", text) + f"\n{OTHERS}{declared}")
    env = {"MY_TOKEN": "hunter2-hunter2", "DECLARED": "hunter2-hunter2"}
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path, env=env)
    assert ended.code == 2
    assert said in " ".join(ended.stderr.split())
    assert "hunter2" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_template_that_there_is_not_has_its_line(tmp_path: Path) -> None:
    """`config check` names the place, in both tables."""
    text = '[gate.ci]\ncommand = ["sh", "{oops}"]\n[subject]\nfiles = ["{out"]\n'
    (tmp_path / "run.toml").write_text(text + OTHERS)
    ended = orchestrate("config", "check", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert "run.toml:2: key 'gate.ci.command': there is no template '{oops}'" in ended.stderr
    assert "run.toml:4: key 'subject.files': a brace that nothing closes" in ended.stderr


def test_text_of_an_option_has_no_template(tmp_path: Path) -> None:
    """A typed text is literal; printed as a config file, it still is."""
    (tmp_path / "{out}").write_text("odd name")
    words = ("run", "./out", "--subject-file", "{out}", "--manager-bin", "true")
    printed = orchestrate(*words, "--print-config", cwd=tmp_path).stdout
    assert tomllib.loads(printed)["subject"]["files"] == [f"{tmp_path}/{{{{out}}"]
    (tmp_path / "run.toml").write_text(printed)
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 3
    (entry,) = report_of(tmp_path / "out")["subject"]["entries"]
    assert entry["name"] == f"{tmp_path}/{{out}}"
    assert decision_of(tmp_path)["status"] == "missing"
