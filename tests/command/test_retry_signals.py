"""Retries after signals, named by their names and not by the exit code of a shell."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import PASSING, orchestrate, report_of, shell
from tests.support.lifecycle_cases import edited

QUICK = ("--manager-backoff-ms", "1", "--manager-max-attempts", "2")
BY_KILL = ("--manager-retry-signal", "SIGKILL")
ADVICE = (
    "stage 'manager': retries after exit code 137, by which a shell reports SIGKILL; if that is"
    " meant, name it: --manager-retry-signal SIGKILL"
)


@pytest.mark.parametrize(
    ("script", "options", "attempts"),
    [
        ("kill -KILL $$", BY_KILL, 2),
        ("exit 137", BY_KILL, 2),
        ("ulimit -c 0; kill -SEGV $$", BY_KILL, 1),
        ("exit 9", BY_KILL, 1),
        ("kill -KILL $$", ("--manager-retry-exit-code", "137"), 2),
    ],
)
def test_stage_is_retried_after_the_signals_that_are_named(
    tmp_path: Path, script: str, options: tuple[str, ...], attempts: int
) -> None:
    """A shell's report of the signal counts too; an exit code over 128 is taken, with a warning."""
    told = (*shell("manager", script), *QUICK, *options)
    orchestrate("./out", *PASSING, *told, cwd=tmp_path)
    report = report_of(tmp_path / "out")
    assert len(report["stage_executions"]) == attempts
    assert (ADVICE in report["warnings"]) is ("137" in options)


def test_signals_may_be_in_the_lifecycle_and_in_a_config_file(tmp_path: Path) -> None:
    """An exit code over 128 gives a warning there too; an unknown name of a signal is refused."""
    retry = "retry = {{ max_attempts = 2, backoff_ms = 1, {} = {} }}"
    manager = 'name = "manager"\nkind = "stage"'
    given = ("./out", *PASSING, "--lifecycle", "./run.toml", *shell("manager", "kill -KILL $$"))

    def written(key: str, value: str) -> None:
        text = edited((manager, f"{manager}\n{retry.format(key, value)}"))
        (tmp_path / "run.toml").write_text(text)

    written("killed_by", '["SIGKILL"]')
    orchestrate(*given, cwd=tmp_path)
    report = report_of(tmp_path / "out")
    assert len(report["stage_executions"]) == 2
    assert report["warnings"] == []
    written("exit_codes", "[137]")
    orchestrate(*given, cwd=tmp_path)
    report = report_of(tmp_path / "out")
    assert (len(report["stage_executions"]), ADVICE in report["warnings"]) == (2, True)
    written("killed_by", '["SIGKIL"]')
    ended = orchestrate(*given, cwd=tmp_path)
    assert ended.code == 2
    assert "did you mean 'SIGKILL'?" in ended.stderr
    config = tmp_path / "run-config.toml"
    config.write_text('[stage.manager.retry]\nkilled_by = ["SIGKIL"]\n')
    ended = orchestrate("./other", *PASSING, "--config", config.name, cwd=tmp_path)
    assert ended.code == 2
    assert "did you mean 'SIGKILL'?" in ended.stderr
