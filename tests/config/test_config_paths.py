"""Paths and templates in a config file: their base, their values, and what is kept."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.config.templates import (
    Fact,
    Facts,
    Literal,
    TemplateError,
    Variable,
    filled,
    is_absolute,
    pieces_of,
)
from tests.support.command import (
    PASSING,
    Ended,
    checkpoint_of,
    environment,
    orchestrate,
    report_of,
    tree_of,
)

SCRIPT = '#!/bin/sh\nprintf "%s\\n" "$PWD" "$@" > "$ORCHESTRATOR_OUTPUT_DIR/seen"; touch "$1"\n'
STAGE = '[stage.manager]\nbin = "./tool.sh"\nargs = {args}\nexpected_artifacts = {artifacts}\n'


@pytest.fixture(name="desk")
def desk_with_a_project(tmp_path: Path) -> Path:
    """Return a directory to type in, with a project in it that has a tool and a config file."""
    project = tmp_path / "project"
    (project / "sub").mkdir(parents=True)
    tool = project / "tool.sh"
    tool.write_text(SCRIPT)
    tool.chmod(0o755)
    return tmp_path


def config(desk: Path, *extra: str, args: list[str], artifacts: list[str], top: str = "") -> Path:
    """Write the project's config file."""
    file = desk / "project" / "run.toml"
    stage = STAGE.format(args=json.dumps(args), artifacts=json.dumps(artifacts))
    file.write_text(f"{top}\n{stage}" + "\n".join(extra) + "\n")
    return file


def run(desk: Path, *options: str, **env: str) -> Ended:
    """Run the project from the directory above it."""
    command = ("out", "--config", "project/run.toml", *PASSING, *options)
    return orchestrate(*command, cwd=desk, env=environment(**env))


def kept(desk: Path) -> dict[str, Any]:
    """Return the checkpoint's record of the manager."""
    stages: dict[str, dict[str, Any]] = checkpoint_of(desk / "out")["stages"]
    return stages["manager"]


# What paths are relative to


def test_paths_are_relative_to_the_file(desk: Path) -> None:
    """Binary, working directory and artifacts are relative to the file; arguments are unchanged."""
    config(desk, 'cwd = "sub"', args=["made"], artifacts=["sub/made"])
    ended = run(desk)
    assert ended.code == 0, ended.stderr
    sub = desk / "project" / "sub"
    assert (desk / "out" / "seen").read_text().splitlines() == [str(sub), "made"]
    stage = kept(desk)
    assert stage["command"] == str(desk / "project" / "tool.sh")
    assert (stage["cwd"], stage["expected_artifacts"]) == (str(sub), [str(sub / "made")])
    assert stage["args"] == ["made"]


def test_without_a_cwd_the_stage_runs_where_the_command_was_typed(desk: Path) -> None:
    """The default working directory is the same as for an option."""
    config(desk, args=["project/made"], artifacts=["made"])
    assert run(desk).code == 0
    assert kept(desk)["cwd"] == str(desk)


def test_relative_to_cwd_is_the_operators_directory(desk: Path) -> None:
    """With `relative_to = "cwd"`, the file can be anywhere."""
    file = config(desk, args=["made"], artifacts=["made"], top='relative_to = "cwd"')
    assert run(desk).code == 1
    file.write_text(file.read_text().replace("./tool.sh", "project/tool.sh"))
    assert run(desk).code == 0
    assert kept(desk)["expected_artifacts"] == [str(desk / "made")]


def test_an_option_beside_the_file_is_relative_to_the_operators_directory(desk: Path) -> None:
    """The paths of an option and of the file each have their own base."""
    config(desk, args=["made"], artifacts=["no-such"])
    assert run(desk, "--manager-expected-artifact", "made").code == 0
    stage = kept(desk)
    assert stage["command"] == str(desk / "project" / "tool.sh")
    assert stage["expected_artifacts"] == [str(desk / "made")]


def test_a_bare_command_is_looked_up_on_path(desk: Path) -> None:
    """A `bin` without a `/` is looked up on PATH."""
    (desk / "project" / "run.toml").write_text('[stage.manager]\nbin = "true"\n')
    assert run(desk).code == 0
    assert kept(desk)["command"] == "true"


@pytest.mark.parametrize("relative_to", ["file", "cwd"])
def test_a_lifecycle_is_found_from_the_file(desk: Path, relative_to: str) -> None:
    """The run and the parser, which makes options of its stages, find the file's lifecycle."""
    shipped = orchestrate("lifecycle", "governed_run", cwd=desk).stdout
    own = shipped.replace('"manager"', '"planner"').replace("governed_run", "own")
    place = desk if relative_to == "cwd" else desk / "project"
    (place / "own.toml").write_text(own)
    top = f'relative_to = "{relative_to}"\nlifecycle = "./own.toml"\n'
    (desk / "project" / "run.toml").write_text(top)
    ended = run(desk, "--planner-bin", "true")
    assert ended.code == 0, ended.stderr
    checked = orchestrate("config", "check", "project/run.toml", cwd=desk)
    assert checked.code == 0, checked.stderr


def test_a_lifecycle_that_is_not_there_says_relative_to_what(desk: Path) -> None:
    """The error has the whole path and the file that it is relative to."""
    (desk / "project" / "run.toml").write_text('lifecycle = "./gone.toml"\n')
    ended = run(desk)
    assert ended.code == 2
    assert str(desk / "project" / "gone.toml") in ended.stderr
    assert f"`lifecycle` is relative to {desk}/project/run.toml" in ended.stderr


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ("", "relative to {desk}/project/run.toml"),
        (
            'relative_to = "cwd"',
            "relative to the directory in which the command was typed, {desk}",
        ),
    ],
)
def test_a_program_that_is_not_there_says_relative_to_what(desk: Path, top: str, said: str) -> None:
    """A plan, and the warning of a run before its first stage, name the base of the path."""
    executor = '[stage.executor]\nbin = "./gone.sh"\ncwd = "sub"'
    config(desk, executor, args=["made"], artifacts=[], top=top)
    if top:
        (desk / "tool.sh").symlink_to("project/tool.sh")
    expected = "it was given as './gone.sh', " + said.format(desk=desk)
    plan = orchestrate("plan", "out", "--config", "project/run.toml", *PASSING, cwd=desk)
    assert expected in " ".join(plan.stdout.split())
    ended = run(desk, "--log-format", "json")
    assert ended.code == 1
    warning = next(one for one in ended.events if expected in json.dumps(one))
    assert warning["level"] == "warning"


@pytest.mark.parametrize(
    ("options", "typed"),
    [
        (("--manager-bin", "./gone.sh"), "./gone.sh"),
        (("--manager-bin", "true", "--manager-cwd", "gone/here"), "gone/here"),
        (("--manager-bin", "true", "--manager-expected-artifact", "sub/a.json"), "sub/a.json"),
    ],
)
def test_what_is_not_there_says_how_it_was_typed(
    options: tuple[str, ...], typed: str, tmp_path: Path
) -> None:
    """Record and screens have the whole path, the typed text and its base."""
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path)
    assert ended.code == 1
    said = (
        f"it was given as '{typed}', relative to the directory in which the command was typed,"
        f" {tmp_path}"
    )
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    assert execution["problem"]["details"] == [said]
    assert str(tmp_path / typed) in execution["error"]
    assert execution["error"].endswith(f"; {said}")
    for screen in (ended, orchestrate("explain", "out", "--all", cwd=tmp_path)):
        assert said in " ".join(screen.stdout.split())


def test_an_absolute_path_says_nothing_of_a_directory(tmp_path: Path) -> None:
    """An absolute path has no base, and a name is looked up on PATH."""
    for command in (str(tmp_path / "gone.sh"), "no-such-command"):
        ended = orchestrate("out", *PASSING, "--manager-bin", command, cwd=tmp_path)
        assert ended.code == 1
        assert "relative to" not in ended.stdout + ended.stderr


# Templates


def test_templates_are_filled_in(desk: Path) -> None:
    """Templates are filled in in arguments, artifacts, working directory and binary."""
    args = ["{out}/{run_id}.txt", "{env:GREETING}, {{env:GREETING}}", '{{"a": {{}}']
    file = config(desk, 'cwd = "{env:BELOW}"', args=args, artifacts=["{out}/{run_id}.txt"])
    file.write_text(file.read_text().replace("./tool.sh", "{env:TOOLS}/tool.sh"))
    env = {"GREETING": "hello", "BELOW": "sub", "TOOLS": "."}
    ended = run(desk, "--run-id", "r-1", **env)
    assert ended.code == 0, ended.stderr
    made = str(desk / "out" / "r-1.txt")
    stage = kept(desk)
    assert stage["args"] == [made, "hello, {env:GREETING}}", '{"a": {}}']
    assert stage["expected_artifacts"] == [made]
    assert stage["cwd"] == str(desk / "project" / "sub")
    seen = (desk / "out" / "seen").read_text().splitlines()
    assert seen[1:] == stage["args"]


def test_a_run_id_that_is_made_is_the_one_filled_in(desk: Path) -> None:
    """A generated run id is also filled in."""
    config(desk, args=["{out}/{run_id}"], artifacts=["{out}/{run_id}"])
    assert run(desk).code == 0
    run_id = report_of(desk / "out")["run_id"]
    assert kept(desk)["args"] == [str(desk / "out" / run_id)]


def test_a_resume_goes_by_what_was_filled_in(desk: Path) -> None:
    """A resume without the file needs no variable; with the file, all is filled in again."""
    executor = '[stage.executor]\nbin = "{env:WORD}"\nargs = ["{run_id}"]'
    config(desk, executor, args=["{out}/made"], artifacts=["{out}/made"])
    assert run(desk, WORD="false").code == 1
    assert orchestrate("out", "--resume", cwd=desk).code == 1
    assert orchestrate("explain", "out", cwd=desk).code == 0
    assert orchestrate("out", "--resume", "--config", "project/run.toml", cwd=desk).code == 2
    ended = run(desk, "--resume", WORD="true")
    assert ended.code == 0, ended.stderr
    report = report_of(desk / "out")
    manager, executor_done = report["stage_executions"]
    assert manager["status"] == "skipped"
    assert executor_done["args"] == [report["run_id"]]


def test_a_changed_file_is_compared_as_it_would_be_used(desk: Path) -> None:
    """A changed file is compared with its templates filled in, also from another directory."""
    args = ["{out}/made"]
    config(desk, "timeout_ms = 9000", 'cwd = "sub"', args=args, artifacts=args)
    assert run(desk, "--policy-status", "deny").code == 2
    assert orchestrate("out", "--config", "project/run.toml", cwd=desk).code == 3
    config(desk, "timeout_ms = 8000", 'cwd = "sub"', args=args, artifacts=args)
    shown = orchestrate("status", str(desk / "out"), cwd=desk / "project").stdout
    assert "was kept of it: stage.manager.timeout_ms was 9000, is 8000; --config" in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{output}", "there is no template '{output}'; the templates are {out}, {run_id} and"),
        ("{}", "there is no template '{}'"),
        ("{env:}", "there is no template '{env:}'"),
        ('{"a": 1}', "there is no template"),
        ("a{", "a brace that nothing closes"),
        ("{out", "a brace that nothing closes"),
    ],
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_an_unknown_template_is_refused(desk: Path, text: str, said: str, command: str) -> None:
    """The refusal has file, line, key and the known templates, and nothing is written."""
    config(desk, args=[text], artifacts=[])
    before = tree_of(desk)
    if command == "run":
        ended = run(desk)
    else:
        ended = orchestrate("config", "check", "project/run.toml", cwd=desk)
    assert ended.code == 2
    assert "project/run.toml:4: key 'stage.manager.args': " + said in ended.stderr
    assert "a brace itself is written {{" in ended.stderr
    assert tree_of(desk) == before


@pytest.mark.parametrize("key", ["args", "cwd", "bin", "expected_artifacts"])
def test_a_variable_that_is_not_set_is_refused_by_its_name(desk: Path, key: str) -> None:
    """A variable that is not set is refused by name wherever it is used, and nothing is written."""
    value = "./{env:NO_SUCH_THING}"
    shown = json.dumps([value] if key in {"args", "expected_artifacts"} else value)
    binary = "" if key == "bin" else 'bin = "true"\n'
    text = f"[stage.manager]\n{binary}{key} = {shown}\n"
    (desk / "project" / "run.toml").write_text(text)
    ended = run(desk)
    assert ended.code == 2
    said = f"{desk}/project/run.toml: key 'stage.manager.{key}': the variable NO_SUCH_THING is not"
    assert said in ended.stderr
    assert not (desk / "out").exists()


def test_a_path_that_comes_to_nothing_is_refused(desk: Path) -> None:
    """A variable that is set and empty makes no working directory."""
    (desk / "project" / "run.toml").write_text('[stage.manager]\nbin = "true"\ncwd = "{env:A}"\n')
    ended = run(desk, A="")
    assert (ended.code, "it is empty once its templates" in ended.stderr) == (2, True)


@pytest.mark.parametrize(
    "declared", ['secrets = ["PHRASE"]', '[stage.executor]\nbin="true"\nsecrets=["PHRASE"]', ""]
)
def test_a_secret_is_never_filled_in(desk: Path, declared: str) -> None:
    """A secret of any stage, or a credential by its name, is never filled in."""
    name = "PHRASE" if declared else "API_TOKEN"
    config(desk, declared, args=[f"--with={{env:{name}}}"], artifacts=[])
    ended = run(desk, **{name: "correct-horse-battery"})
    assert ended.code == 2
    assert f"{{env:{name}}} would put a secret where" in ended.stderr
    assert "correct-horse-battery" not in ended.stdout + ended.stderr
    assert not (desk / "out").exists()


def test_a_secret_that_the_run_has_kept_is_never_filled_in(desk: Path) -> None:
    """A resume never fills in a secret of the run, whether or not it is declared again."""
    executor = '[stage.executor]\nbin = "false"\nsecrets = ["PHRASE"]'
    config(desk, executor, args=["{out}/made"], artifacts=[])
    assert run(desk, PHRASE="correct-horse-battery").code == 1
    (desk / "project" / "run.toml").write_text('[stage.executor]\nargs = ["{env:PHRASE}"]\n')
    ended = run(desk, "--resume", PHRASE="correct-horse-battery")
    assert (ended.code, "would put a secret" in ended.stderr) == (2, True)


def test_options_have_no_templates(desk: Path) -> None:
    """Options are passed on unchanged, with a file and without one."""
    args = ["{out}/made"]
    config(desk, args=args, artifacts=[])
    script = 'test "$0" = "{out}"'
    shell = ("--executor-bin", "/bin/sh", "--executor-arg", "-c", "--executor-arg", script)
    assert run(desk, *shell, "--executor-arg", "{out}").code == 0
    assert orchestrate("b", *PASSING, *shell, "--executor-arg", "{out}", cwd=desk).code == 0


# --print-config


def test_print_config_says_the_same_wherever_it_is_kept(desk: Path) -> None:
    """Printed templates, literal braces and paths keep their meaning anywhere."""
    args = ["{out}/made", "{{"]
    config(desk, 'cwd = "sub"', args=args, artifacts=["{out}/made"])
    options = ("--executor-bin", "project/tool.sh", "--executor-arg", "{x}")
    printed = run(desk, *options, "--print-config").stdout
    document = tomllib.loads(printed)
    assert document["relative_to"] == "cwd"
    assert document["stage"]["manager"]["args"] == args
    assert document["stage"]["executor"] == {"bin": "project/tool.sh", "args": ["{{x}"]}
    elsewhere = desk / "kept" / "printed.toml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(printed)
    assert orchestrate("out", "--config", "kept/printed.toml", cwd=desk).code == 0
    direct = checkpoint_of(desk / "out")["stages"]
    assert run(desk, *options).code == 0
    again = checkpoint_of(desk / "out")["stages"]
    assert again == direct


def test_print_config_without_a_relative_path_says_nothing_of_it(desk: Path) -> None:
    """Without a relative path, the printed file has no `relative_to`."""
    printed = orchestrate("out", *PASSING, "--manager-bin", "true", "--print-config", cwd=desk)
    assert "relative_to" not in printed.stdout


# The texts themselves


def test_a_text_is_taken_apart() -> None:
    """Each piece of a text has its kind, and a closing brace stands for itself."""
    assert pieces_of("a{{b}{out}{env:A B}{run_id}}") == (
        *(Literal("a"), Literal("{"), Literal("b}")),
        *(Fact.OUT, Variable("A B"), Fact.RUN_ID, Literal("}")),
    )
    assert pieces_of("") == ()


def test_what_is_filled_in_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short text cannot become huge; its own length does not count toward the limit."""
    monkeypatch.setenv("LONG", "x" * 100_000)
    facts = Facts("/o", "r", ())
    assert len(filled("y" * 200_000 + "{env:LONG}", facts)) == 300_000
    with pytest.raises(TemplateError, match="more than 131071"):
        filled("{env:LONG}{env:LONG}", facts)


def test_an_absolute_text_is_known_before_it_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text is known to be absolute by its first piece, before it is filled in."""
    monkeypatch.setenv("ROOT_OF_IT", "/srv")
    monkeypatch.setenv("NAME_OF_IT", "srv")
    assert all(map(is_absolute, ("/a", "{out}/a", "{env:ROOT_OF_IT}/a")))
    assert not any(map(is_absolute, ("a", "{run_id}/a", "{env:NAME_OF_IT}/a", "{env:UNSET_}", "")))
