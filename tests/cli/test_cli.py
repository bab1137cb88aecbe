"""The forms of a command: its words and their order."""

from __future__ import annotations

from pathlib import Path

from tests.cli.cli_cases import GOOD_RUN
from tests.support.command import PASSING, REPORT, orchestrate, report_of, shell, stages

# The forms of a command


def test_bare_form_is_run(tmp_path: Path) -> None:
    """`OUT ...` and `run OUT ...` do the same: their reports differ only in the place."""
    fixed = ("--fixed-clock", "2026-01-31T09:00:00Z", "--run-id", "same")
    texts: list[str] = []
    for name, words in (("bare", ()), ("word", ("run",))):
        cwd = tmp_path / name
        cwd.mkdir()
        seed = {"PYTHONHASHSEED": str(len(texts))}
        assert orchestrate(*words, "./out", *GOOD_RUN, *fixed, cwd=cwd, env=seed).code == 0
        texts.append((cwd / "out" / REPORT).read_text().replace(str(cwd), "HERE"))
    assert texts[0] == texts[1]


def test_options_stand_before_and_after_out(tmp_path: Path) -> None:
    """OUT may be first, last or between options, with and without the word `run`."""
    for arguments in (
        ("./first", *GOOD_RUN),
        (*GOOD_RUN, "./last"),
        (*PASSING, "./between", *stages()),
        ("run", *GOOD_RUN, "./run-last"),
        (*GOOD_RUN, "--", "-dashed"),
    ):
        assert orchestrate(*arguments, cwd=tmp_path).code == 0, arguments
    made = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    made.remove("state")  # the private state, which the tests keep here
    assert made == {"first", "last", "between", "run-last", "-dashed"}


def test_value_after_equals_sign(tmp_path: Path) -> None:
    """`--option=value` is `--option value`."""
    equals = ("--policy-status=allow", "--ci-status=success", "--review-status=approved")
    assert orchestrate("./out", *equals, *stages(), cwd=tmp_path).code == 0


def test_directory_named_like_a_command(tmp_path: Path) -> None:
    """A word near a command still names OUT when it is a directory, or is written as a path."""
    (tmp_path / "plans").mkdir()
    assert orchestrate("plans", *PASSING, cwd=tmp_path).code == 0
    assert orchestrate("./plna", *PASSING, cwd=tmp_path).code == 0
    assert orchestrate("run", "run", *PASSING, cwd=tmp_path).code == 0
    assert report_of(tmp_path / "run")["terminal_state"] == "done"


def test_stage_arguments_are_never_ours(tmp_path: Path) -> None:
    """A word after `--<stage>-arg` reaches the stage unchanged, even this program's options."""
    values = (
        *("--resume", "-c", "--", "", "--help", "--lifecycle=nowhere", "--lifecycle", "a b"),
        *("--policy-status=deny", "-h", "--version", "$HOME", "'", "\u00e9", "--manager-arg", "\n"),
    )
    script = 'printf "%s\\0" "$@" > seen'
    given = [word for value in values for word in ("--manager-arg", value)]
    options = (*shell("manager", script), "--manager-arg", "sh", *given)
    assert orchestrate("./out", *PASSING, *options, cwd=tmp_path).code == 0
    assert (tmp_path / "seen").read_text().split("\0") == [*values, ""]
    report = report_of(tmp_path / "out")
    assert report["execution_mode"] == "run"
    assert report["stage_executions"][0]["args"] == ["-c", script, "sh", *values]


def test_last_environment_pair_of_a_key_wins(tmp_path: Path) -> None:
    """A pair is split at its first `=`; its value may be empty; the last pair of a key counts."""
    pairs = ("A=1", "A=2=3", "B=")
    given = [word for pair in pairs for word in ("--manager-env", pair)]
    script = 'printf "%s|%s" "$A" "${B-unset}" > seen'
    assert orchestrate("./out", *PASSING, *shell("manager", script), *given, cwd=tmp_path).code == 0
    assert (tmp_path / "seen").read_text() == "2=3|"
