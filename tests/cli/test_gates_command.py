"""`gates` asks every source as a run would, runs no stage, and leaves no files."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

from tests.gates.evidence_cases import config_with, run_with
from tests.support.command import orchestrate, start, tree_of
from tests.support.patience import PATIENCE_SECONDS

REFUSING = 'command = ["sh", "-c", "echo it is broken; test -e good"]'


def test_sources_of_a_config_file_are_asked(tmp_path: Path) -> None:
    """The output of a refusing command is shown; nothing is written."""
    config_with(tmp_path, REFUSING)
    before = tree_of(tmp_path)
    ended = orchestrate("gates", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 3
    said = " ".join(ended.stdout.split())
    assert "! ci failure success by command refused" in said
    assert "exited with code 1 (exit_code)" in said
    assert "| it is broken" in said
    assert "✓ policy allow allow from the config file passed" in said
    assert tree_of(tmp_path) == before
    (tmp_path / "good").touch()
    ended = orchestrate("gates", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 0
    assert "| it is broken" not in ended.stdout
    assert not (tmp_path / "out").exists()


def test_sources_of_a_run_are_asked(tmp_path: Path) -> None:
    """The sources that the run has kept are asked; its directory stays unchanged."""
    assert run_with(tmp_path, REFUSING).code == 3
    (tmp_path / "run.toml").unlink()
    (tmp_path / "good").touch()
    before = tree_of(tmp_path / "out")
    ended = orchestrate("gates", "./out", "--json", cwd=tmp_path)
    assert ended.code == 0
    document = json.loads(ended.stdout)
    assert document["have_passed"] is True
    policy, ci, review = document["gates"]
    assert (policy["asked"], review["asked"]) == (None, None)
    assert ci["asked"].startswith("command sh -c")
    assert (ci["status"], ci["source"]) == ("success", "evidence")
    assert (ci["evidence"]["file"], ci["evidence"]["log"]) == (None, None)
    assert tree_of(tmp_path / "out") == before


def test_what_a_lifecycle_demands_counts(tmp_path: Path) -> None:
    """A gate without a source is refused where evidence is demanded."""
    config_with(tmp_path, 'command = ["true"]', more='lifecycle = "evidence_only"')
    ended = orchestrate("gates", "--config", "run.toml", "--json", cwd=tmp_path)
    assert ended.code == 3
    problems = [one["evidence"]["problem"] for one in json.loads(ended.stdout)["gates"]]
    assert problems == ["not_configured", "unbound", "not_configured"]


def test_either_a_run_or_a_config_file(tmp_path: Path) -> None:
    """Neither or both is a usage error, and so is a directory without a run."""
    config_with(tmp_path, 'command = ["true"]')
    assert orchestrate("gates", cwd=tmp_path).code == 2
    assert orchestrate("gates", "./out", "--config", "run.toml", cwd=tmp_path).code == 2
    refused = orchestrate("gates", "./out", cwd=tmp_path)
    assert (refused.code, "name the output directory of a run" in refused.stderr) == (2, True)


def test_interrupt_ends_what_is_asked(tmp_path: Path) -> None:
    """Ctrl-C ends the command that is asked, and the exit code reports it."""
    config_with(tmp_path, f'command = ["sh", "-c", "echo $$ > {tmp_path}/pid; sleep 300"]')
    process = start("gates", "--config", "run.toml", cwd=tmp_path)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (tmp_path / "pid").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()
