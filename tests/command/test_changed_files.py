"""Config and lifecycle files that have changed since they were given to a run."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.command import (
    PASSING,
    Ended,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    spawned,
    tree_of,
)

STATES: Final = Path(__file__).parents[2] / "states"
CONFIG: Final = """
[gates]
policy = "allow"
ci = "success"
review = "approved"
[stage.manager]
bin = "true"
[stage.executor]
bin = "/bin/sh"
args = ["-c", "exit 3"]
"""


def begun(home: Path, text: str = CONFIG, *options: str) -> Path:
    """Run with a config file to its failing end; return the file."""
    file = home / "run.toml"
    file.write_text(text)
    assert orchestrate("out", "--config", "run.toml", *options, cwd=home).code == 1
    return file


def told(home: Path, *option: str) -> dict[str, str]:
    """Return what each command says of the run, in single spaces; none of them writes anything."""
    before = tree_of(home)
    ended = {
        "plan": orchestrate("plan", "out", "--resume", *option, cwd=home),
        "explain": orchestrate("explain", "out", "--all", cwd=home),
        "status": orchestrate("status", "out", cwd=home),
    }
    assert [one.code for one in ended.values()] == [0, 0, 0]
    assert tree_of(home) == before
    return {name: re.sub(r"\s+", " ", one.stdout) for name, one in ended.items()}


def assert_all_say(home: Path, sentence: str) -> Ended:
    """Check that every command and the resume itself say a sentence; return the resume."""
    for name, text in told(home).items():
        assert sentence in text, name
    ended = orchestrate("out", "--resume", cwd=home)
    assert sentence in "\n".join(report_of(home / "out")["warnings"])
    assert sentence in re.sub(r"\s+", " ", ended.stdout)
    return ended


def test_origin_of_each_setting_is_kept(tmp_path: Path) -> None:
    """The checkpoint names the source of each setting, an option or a file, and which file."""
    file = begun(tmp_path, CONFIG, "--executor-timeout-ms", "900", "--kill-grace-ms", "10")
    origins = checkpoint_of(tmp_path / "out")["origins"]
    assert origins["files"] == [
        {
            "kind": "config",
            "path": str(file),
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
            "directory": str(tmp_path),
            "invocation": 1,
        }
    ]
    by_file = {"source": "config", "invocation": 1}
    by_flag = {"source": "flag", "invocation": 1}
    assert origins["by_setting"] == {
        "kill_grace_ms": by_flag,
        "gates.policy": by_file,
        "gates.ci": by_file,
        "gates.review": by_file,
        "stage.manager.bin": by_file,
        "stage.executor.bin": by_file,
        "stage.executor.args": by_file,
        "stage.executor.timeout_ms": by_flag,
    }
    assert origins["stages_since"] == {"manager": 1, "executor": 1}
    again = ("--resume", "--executor-bin", "true", "--executor-timeout-ms", "900")
    assert orchestrate("out", *again, cwd=tmp_path).code == 0
    origins = checkpoint_of(tmp_path / "out")["origins"]
    assert "stage.executor.args" not in origins["by_setting"]
    assert origins["by_setting"]["stage.executor.bin"] == {"source": "flag", "invocation": 2}
    assert origins["stages_since"] == {"manager": 1, "executor": 2}


def test_mended_config_file_is_told_and_its_option_uses_it(tmp_path: Path) -> None:
    """A resume without the file uses the kept settings, and reports what the file says now."""
    file = begun(tmp_path)
    for text in told(tmp_path).values():
        assert "run.toml" not in text
    file.write_text(CONFIG.replace("exit 3", "exit 0"))
    sentence = (
        f"config file {file} has changed since invocation 1, and a resume goes by what was kept of"
        " it: stage.executor.args was ['-c', 'exit 3'], is ['-c', 'exit 0'];"
        f" --config {file} uses the file"
    )
    assert assert_all_say(tmp_path, sentence).code == 1
    plan = told(tmp_path, "--config", str(file))["plan"]
    assert "has changed since" not in plan
    ended = orchestrate("out", "--resume", "--config", str(file), cwd=tmp_path)
    assert ended.code == 0, ended.stdout
    assert "has changed since" not in "\n".join(report_of(tmp_path / "out")["warnings"])


def test_what_counts_is_what_the_run_still_has_from_the_file(tmp_path: Path) -> None:
    """A setting that an option has replaced is not compared; a new key counts as a change."""
    file = begun(tmp_path)
    assert orchestrate("out", "--resume", "--executor-bin", "false", cwd=tmp_path).code == 1
    file.write_text("timeout_ms = 700\n" + CONFIG.replace('"allow"', '"deny"'))
    explained = json.loads(orchestrate("explain", "out", "--json", cwd=tmp_path).stdout)
    (change,) = explained["changed_files"]
    assert change["words"] == ["--config", str(file)]
    assert "timeout_ms was not set, is 700" in change["differences"]
    assert "gates.policy was allow, is deny" in change["differences"]


def test_remark_in_a_config_file_changes_nothing(tmp_path: Path) -> None:
    """A file with other bytes and the same settings is not reported."""
    file = begun(tmp_path)
    file.write_text(f"# a remark\n{CONFIG}")
    for text in told(tmp_path).values():
        assert "run.toml" not in text


def test_changed_value_of_the_environment_is_told_without_it(tmp_path: Path) -> None:
    """A changed environment is reported by its key alone, without values."""
    text = f'{CONFIG}env = {{ TONE = "harmless-before" }}\n'
    file = begun(tmp_path, text)
    file.write_text(text.replace("harmless-before", "harmless-after"))
    ended = assert_all_say(tmp_path, "stage.executor.env has other values")
    everything = "".join(told(tmp_path).values()) + ended.stdout + ended.stderr
    assert "harmless" not in everything
    assert not any(b"harmless" in data for data in tree_of(tmp_path / "out").values())


@pytest.mark.parametrize("broken", ["[stage", "policy = 3\n", '[stage.nobody]\nbin = "x"\n'])
def test_config_file_that_cannot_be_used_any_more_is_told(tmp_path: Path, broken: str) -> None:
    """A resume is not refused for a file that it does not use."""
    file = begun(tmp_path)
    file.write_text(broken)
    sentence = f"config file {file} has changed and cannot be used as it is: "
    assert assert_all_say(tmp_path, sentence).code == 1


@pytest.mark.parametrize("kind", ["gone", "directory gone"])
def test_config_file_that_is_gone_is_told(tmp_path: Path, kind: str) -> None:
    """A missing file is named and does not stop the resume."""
    folder = tmp_path / "settings"
    folder.mkdir()
    file = folder / "run.toml"
    file.write_text(CONFIG)
    assert orchestrate("out", "--config", str(file), cwd=tmp_path).code == 1
    file.unlink()
    if kind == "directory gone":
        folder.rmdir()
    sentence = f"config file {file}, given to invocation 1, is gone"
    assert assert_all_say(tmp_path, sentence).code == 1


def lifecycle(home: Path, *changes: tuple[str, str]) -> Path:
    """Write the default lifecycle to a file, with changes."""
    text = (STATES / "governed_run.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = home / "ours.toml"
    path.write_text(text)
    return path


EXECUTOR: Final = 'name = "executor"\nkind = "stage"\n'


def of_executor(settings: str) -> tuple[str, str]:
    """Return the change that gives the executor settings in the lifecycle."""
    return (EXECUTOR, f"{EXECUTOR}{settings}\n")


def begun_with_lifecycle(home: Path, script: str) -> Path:
    """Run with a lifecycle in which the executor may take 200 ms; it fails."""
    path = lifecycle(home, of_executor("timeout_ms = 200"))
    stage: tuple[Any, ...] = ("--executor-bin", "/bin/sh", "--executor-arg=-c")
    options = ("--lifecycle", str(path), *PASSING, *stage, "--executor-arg", script)
    assert orchestrate("out", *options, cwd=home).code == 124
    return path


def test_settings_of_a_lifecycle_are_adopted_when_it_is_given_again(tmp_path: Path) -> None:
    """Longer timeouts and other titles are allowed, reported, and in force from then on."""
    path = begun_with_lifecycle(tmp_path, 'test "$ORCHESTRATOR_ATTEMPT" != 1 || exec sleep 60')
    lifecycle(tmp_path, of_executor("timeout_ms = 30000"), ('title = "', 'title = "Our '))
    sentence = "executor.timeout_ms was 200, is 30000; the title is"
    for name, text in told(tmp_path).items():
        assert f"lifecycle file {path} has changed since invocation 1" in text, name
        assert sentence in text, name
        assert f"--lifecycle {path} uses the file" in text, name
    ended = orchestrate("out", "--resume", "--lifecycle", str(path), cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    (warning,) = [one for one in report_of(tmp_path / "out")["warnings"] if "adopted" in one]
    assert f"settings of the lifecycle {path} are adopted: {sentence}" in warning
    kept = checkpoint_of(tmp_path / "out")
    (executor,) = [one for one in kept["lifecycle"]["state"] if one["name"] == "executor"]
    assert executor["timeout_ms"] == 30000
    assert report_of(tmp_path / "out")["lifecycle"]["sha256"] == kept["lifecycle_sha256"]
    names = [one["event"] for one in events_of(tmp_path / "out")]
    assert names.count("run.started") == 2
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


def test_other_relation_is_told_and_refused(tmp_path: Path) -> None:
    """A lifecycle with another relation is refused, for the checkpoint's has been proved."""
    path = begun_with_lifecycle(tmp_path, "exec sleep 60")
    lifecycle(tmp_path, ('name = "governed_run"', 'name = "ours"'))
    sentence = f"lifecycle file {path} has changed since invocation 1 and declares another relation"
    for name, text in told(tmp_path).items():
        assert sentence in text, name
    before = tree_of(tmp_path / "out")
    ended = orchestrate("out", "--resume", "--lifecycle", str(path), cwd=tmp_path)
    assert ended.code == 2
    assert "is not the same relation" in ended.stderr
    assert tree_of(tmp_path / "out") == before


def test_done_run_has_no_use_for_its_files(tmp_path: Path) -> None:
    """A run that is over compares no files and adopts no settings."""
    file = tmp_path / "run.toml"
    file.write_text(CONFIG.replace("exit 3", "exit 0"))
    assert orchestrate("out", "--config", "run.toml", cwd=tmp_path).code == 0
    file.unlink()
    for text in told(tmp_path).values():
        assert "run.toml" not in text
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert (ended.code, report_of(tmp_path / "out")["warnings"]) == (0, [])
    assert spawned(report_of(tmp_path / "out")) == []
