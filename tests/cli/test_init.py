"""`init` for a user's own stages: what it writes works, and existing files stay."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from fsm_orchestrator.lifecycle.reading import load_lifecycle
from fsm_orchestrator.vocabulary import StateKind
from tests.support.command import orchestrate, report_of, shell_environment, statuses, tree_of


def typed(text: str, cwd: Path) -> list[int]:
    """Type each command that a text shows into a shell; return how each ended."""
    joined = text.replace("\\\n", " ")
    lines = [one.strip() for one in joined.splitlines() if one.startswith("  fsm-orchestrator ")]
    env = shell_environment(cwd)
    return [
        subprocess.run(["/bin/sh", "-c", one], cwd=cwd, env=env, capture_output=True).returncode  # noqa: PLW1510
        for one in lines
    ]


def test_stages_with_an_approval(tmp_path: Path) -> None:
    """The lifecycle is proved, the first run waits before apply, and the resume ends done."""
    made = orchestrate("init", "--stages", "plan,apply", "--approve-before", "apply", cwd=tmp_path)
    assert made.code == 0, made.stderr
    assert {one.name for one in tmp_path.iterdir() if one.suffix in {".toml", ".sh"}} == {
        *("lifecycle.toml", "run.toml", "plan.sh", "apply.sh")
    }
    assert os.access(tmp_path / "plan.sh", os.X_OK)
    assert orchestrate("config", "check", "run.toml", cwd=tmp_path).code == 0
    assert typed(made.stdout, tmp_path) == [0, 3, 0]
    report = report_of(tmp_path / "out")
    assert statuses(report) == [("plan", "skipped"), ("apply", "success")]
    assert report["closure_ready"]
    gates = load_lifecycle(tmp_path / "lifecycle.toml").state
    assert {one.name: one.gates for one in gates if one.kind is StateKind.GATE} == {
        "gating": ("policy", "ci"),
        "before_apply": ("review",),
    }


@pytest.mark.parametrize("options", [(), ("--approve-before", "plan")])
def test_without_a_later_approval_all_gates_come_first(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """No stage runs before all three have passed."""
    made = orchestrate("init", "new", "--stages", "plan,apply", *options, cwd=tmp_path)
    assert typed(made.stdout, tmp_path / "new") == [0, 0]
    verified = orchestrate("verify", "-v", "new/lifecycle.toml", cwd=tmp_path)
    assert "no path to a stage without every mandatory gate" in verified.stdout


def test_commands_are_wrapped(tmp_path: Path) -> None:
    """Names come from the words, a shell is used only where needed, and braces stay braces."""
    commands = ("echo plan", "echo 'a {b} $c'", "echo plan", "echo x > made && test -e made")
    made = orchestrate("init", "--from", *commands, cwd=tmp_path)
    assert made.code == 0, made.stderr
    stages = tomllib.loads((tmp_path / "run.toml").read_text())["stage"]
    assert list(stages) == ["plan", "a_b_c", "plan_2", "x"]
    assert stages["a_b_c"] == {"bin": "echo", "args": ["a {{b} $c"], "cwd": "."}
    assert stages["x"]["bin"] == "/bin/sh"
    assert "(x: run by /bin/sh -c" in made.stdout
    assert typed(made.stdout, tmp_path) == [0, 0]
    report = report_of(tmp_path / "out")
    assert report["stage_executions"][1]["args"] == ["a {b} $c"]
    assert (tmp_path / "made").read_text() == "x\n"


@pytest.mark.parametrize("name", ["lifecycle.toml", "run.toml", "apply.sh"])
def test_what_is_in_the_way_stays(tmp_path: Path, name: str) -> None:
    """The existing file is named, and nothing is written."""
    (tmp_path / name).write_text("mine")
    before = tree_of(tmp_path)
    ended = orchestrate("init", ".", "--stages", "plan,apply", cwd=tmp_path)
    assert ended.code == 2
    assert f"{name} is there already; nothing was written" in ended.stderr
    assert tree_of(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--stages", "Plan"), "'Plan' is not a valid stage name"),
        (("--stages", "plan,,apply"), "'' is not a valid stage name"),
        (("--stages", "plan,plan"), "'plan' is given twice"),
        (("--stages", "plan,done"), "'done' is the name of another state"),
        (("--stages", "gating"), "'gating' is the name of another state"),
        (("--stages", ",".join(f"s{n}" for n in range(51))), "51 stages are more than 50"),
        (("--stages", "plan", "--approve-before", "aply"), "'aply', which is no stage"),
        (("--stages", "plan", "--from", "make"), "both name the stages"),
        (("--approve-before", "plan", "."), "--approve-before needs stages"),
        (("--from", "echo 'open"), "cannot be split into words"),
        (("--from", ""), "it is empty"),
        (("--from",), "requires an argument"),
        ((), "missing argument 'DIR'"),
    ],
)
def test_what_makes_no_stages_is_refused(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    """The message has the reason, and nothing is written."""
    ended = orchestrate("init", *options, cwd=tmp_path)
    assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
    assert tree_of(tmp_path) == {}


def test_stages_that_the_default_lifecycle_has_not_say_how_to_have_them(tmp_path: Path) -> None:
    """The refusal names the config file and the option that declare stages."""
    (tmp_path / "run.toml").write_text('[stage.plan]\nbin = "true"\n')
    for options in (("--config", "run.toml"), ("--plan-bin", "true")):
        ended = orchestrate("out", *options, cwd=tmp_path)
        assert ended.code == 2
        assert "init . --stages plan" in ended.stderr
        assert "--lifecycle ./FILE" in ended.stderr
