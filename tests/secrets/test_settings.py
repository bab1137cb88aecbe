"""Values of `--<stage>-env`: in no file of OUT, kept for a resume, masked in quoted output."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

from fsm_orchestrator.secrets.masking import MASK
from tests.secrets.secret_cases import AWKWARD, OTHER, STORE, VALUE, places_of, saver
from tests.support.command import PASSING, orchestrate, report_of, shell, stages, tree_of


def test_plain_words_are_not_masked(tmp_path: Path) -> None:
    """A flag's value is no secret: masking `true` would hide nothing and explain nothing."""
    options = ("--manager-bin", "true", "--manager-arg", "true", "--manager-arg", "n=1")
    flags = ("--manager-env", "ENABLED=true", "--manager-env", "COUNT=1")
    assert orchestrate("out", *PASSING, *options, *flags, cwd=tmp_path).code == 0
    execution = report_of(tmp_path / "out")["stage_executions"][0]
    assert (execution["command"], execution["args"]) == ("true", ["true", "n=1"])
    assert execution["env_keys"] == ["ENABLED", "COUNT"]


def test_values_wait_in_a_private_file_until_the_run_is_done(tmp_path: Path) -> None:
    """The file is 0600 in a 0700 directory; a resume has the exact values; when done they go."""
    options = (
        *(*PASSING, *shell("manager", saver("manager-saw"))),
        *("--manager-env", f"MODE={AWKWARD}"),
        *shell("executor", saver("executor-saw", "test -e ready")),
        *("--executor-env", f"MODE={VALUE}"),
        *("--executor-env", "EMPTY=", "--executor-env", "A=b=c"),
    )
    assert orchestrate("out", *options, cwd=tmp_path).code == 1

    (private,) = (tmp_path / STORE).glob("*.json")
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (private, private.parent)]
    assert modes == [0o600, 0o700]
    assert places_of(VALUE, tmp_path / STORE) == {private.name}
    (tmp_path / "ready").touch()
    (tmp_path / "executor-saw").unlink()

    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0

    assert (tmp_path / "manager-saw").read_text() == AWKWARD
    assert (tmp_path / "executor-saw").read_text() == VALUE
    for value in (VALUE, AWKWARD):
        assert places_of(value, tmp_path / "state") == set()
        assert places_of(value, tmp_path / "out") == set()
    again = orchestrate("out", "--resume", *options, cwd=tmp_path)
    assert again.code == 0, again.stderr


def test_a_stage_that_must_run_without_its_values_is_refused(tmp_path: Path) -> None:
    """Exit code 2 names the missing keys and the option; once given again, the stage runs."""
    options = (
        *shell("executor", saver("saw", "test -e ready")),
        *("--executor-env", f"MODE={VALUE}", "--executor-env", f"SECOND={OTHER}"),
    )
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "ready").touch()
    before = tree_of(tmp_path)

    both = orchestrate("out", "--resume", cwd=tmp_path)
    one = orchestrate("out", "--resume", "--executor-env", f"MODE={VALUE}", cwd=tmp_path)

    assert (both.code, one.code) == (2, 2)
    for words in ("executor", "MODE", "SECOND", "--executor-env"):
        assert words in both.stderr
    assert "SECOND" in one.stderr
    assert "MODE" not in one.stderr
    assert tree_of(tmp_path) == before
    given_again = (f"--executor-env=MODE={VALUE}", f"--executor-env=SECOND={OTHER}")
    assert orchestrate("out", "--resume", *given_again, cwd=tmp_path).code == 0
    assert (tmp_path / "saw").read_text() == VALUE


def test_a_completed_stage_does_not_need_its_values(tmp_path: Path) -> None:
    """The values of a skipped stage are not required."""
    options = (*stages(saver("saw"), "test -e ready"), "--manager-env", f"MODE={VALUE}")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 1
    shutil.rmtree(tmp_path / "state")
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


def test_another_value_for_a_completed_stage_is_refused_and_neither_is_shown(
    tmp_path: Path,
) -> None:
    """The key is named; the same value is no change; a replaced value stays secret."""
    options = (
        *stages("exit 0", "test -e ready"),
        *("--manager-env", f"MODE={VALUE}"),
    )
    orchestrate("out", *PASSING, *options, cwd=tmp_path)
    before = tree_of(tmp_path)

    changed = ("--manager-env", f"MODE={OTHER}")
    refused = orchestrate("out", "--resume", *changed, cwd=tmp_path)

    assert refused.code == 2
    assert "MODE" in refused.stderr
    for value in (VALUE, OTHER):
        assert places_of(value, tmp_path / "out", refused) == set()
    assert tree_of(tmp_path) == before
    (tmp_path / "ready").touch()
    same = orchestrate("out", "--resume", f"--manager-env=MODE={VALUE}", cwd=tmp_path)
    assert same.code == 0
    after_done = orchestrate("out", "--resume", *changed, cwd=tmp_path)
    assert (after_done.code, "MODE" in after_done.stderr) == (2, True)
    for value in (VALUE, OTHER):
        assert places_of(value, tmp_path, same, after_done) == set()


def test_a_value_replaced_on_a_resume_counts_and_both_stay_secret(tmp_path: Path) -> None:
    """The new value reaches the stage; the old one is still masked, and no longer kept."""
    prints_old = 'printf %s "$MODE" > saw; echo "$(cat old)" >&2; test -e ready'
    (tmp_path / "old").write_text(VALUE)
    options = (*shell("manager", prints_old), "--manager-env", f"MODE={VALUE}")
    orchestrate("out", *PASSING, *options, cwd=tmp_path)

    ended = orchestrate("out", "--resume", f"--manager-env=MODE={OTHER}", cwd=tmp_path)

    assert (ended.code, (tmp_path / "saw").read_text()) == (1, OTHER)
    assert report_of(tmp_path / "out")["stage_executions"][0]["stderr_tail"] == MASK
    logs = {"logs/manager.1.stderr.log", "logs/manager.2.stderr.log"}
    assert places_of(VALUE, tmp_path / "out", ended) == logs
    assert places_of(OTHER, tmp_path / "out", ended) == set()
    assert places_of(VALUE, tmp_path / "state") == set()


# -- not secrets ----------------------------------------------------------------------------


def test_a_setting_is_masked_in_quoted_output_alone(tmp_path: Path) -> None:
    """The program's own sentences, commands, arguments, paths and names are not masked."""
    (tmp_path / "release").mkdir()
    options = (
        *("--manager-bin", "/bin/sh", "--manager-arg", "-c"),
        *("--manager-arg", "echo pull request 1234, $BUILD_PROFILE >&2; exit 3"),
        *("--manager-cwd", "release", "--manager-arg", "release", "--manager-arg", "1234"),
        *("--manager-env", "PR_NUMBER=1234", "--manager-env", "BUILD_PROFILE=release"),
        *("--manager-env", "ROLE=manager", "--manager-env", "EXIT=code 3"),
    )
    planned = orchestrate("plan", "--all", "out", *PASSING, *options, cwd=tmp_path)
    ended = orchestrate("out", *PASSING, *options, "--log-output", cwd=tmp_path)
    logs = orchestrate("logs", "out", cwd=tmp_path)
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    assert execution["stderr_tail"] == "pull request ***, ***"
    assert execution["args"][2:] == ["release", "1234"]
    assert execution["cwd"] == str(tmp_path / "release")
    assert execution["error"] == "exited with code 3"
    causes = [one["cause"] for one in report_of(tmp_path / "out")["transitions"]]
    assert causes[-1] == "attempt 1 of manager: exited with code 3"
    assert "exited with code 3" in ended.stdout
    assert "release 1234" in planned.stdout
    assert [one["text"] for one in ended.events if one["event"] == "stage.output"] == [
        "pull request ***, ***"
    ]
    assert logs.stdout == "manager ! pull request ***, ***\n"


def test_a_setting_decides_nothing(tmp_path: Path) -> None:
    """An artifact in a directory with a setting's value as its name is found, also when done."""
    options = (
        *stages("mkdir -p out.d/manager; echo [1] > out.d/manager/plan.json"),
        *("--manager-expected-artifact", "out.d/manager/plan.json"),
        *("--executor-env", "ROLE=manager", "--manager-env", "PLACE=out.d/manager"),
    )
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 0
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"] is True
    assert "does not exist" not in orchestrate("explain", "out", cwd=tmp_path).stdout
