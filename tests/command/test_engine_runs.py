"""Every command finds the record of a run that an engine has, and uses the run's own name."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from fsm_orchestrator import claim_epoch, list_runs, load_report, run
from tests.support.command import orchestrate, start
from tests.support.epoch_cases import asked, begun, contents, continued, latest, shell, worker
from tests.support.patience import PATIENCE_SECONDS, wait_until

SIGNAL = "fsm-orchestrator temporal signal runs/RUN"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory of runs, in which a run of an engine has failed."""
    stages = {"manager": shell("echo managed"), "executor": shell("echo broken >&2; exit 1")}
    run(asked(tmp_path / "runs" / "OUT", allow_empty=True))
    directory = tmp_path / "runs" / "RUN"
    begun(directory, stages)
    claim_epoch(directory, 2, 1)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (("status", "runs/RUN"), 0, f"{SIGNAL} --resume"),
        (("status", "runs"), 0, "✗ RUN +failed"),
        (("status", "runs/RUN", "runs/OUT"), 0, "2 runs"),
        (("explain", "runs/RUN"), 0, f"{SIGNAL} --resume"),
        (("logs", "runs/RUN"), 0, r"manager +\| managed"),
        (("logs", "runs/RUN", "--follow"), 0, r"executor +! broken"),
        (("report", "runs/RUN"), 0, '"terminal_state": "failed"'),
        (("compare", "runs/RUN", "runs/OUT"), 1, "A failed, B done"),
        (("plan", "runs/RUN", "--resume"), 0, "plan: resume of run"),
        (("gates", "runs/RUN"), 0, "policy"),
        (("config", "show", "runs/RUN"), 0, "broken"),
        (("diagram", "--run", "runs/RUN"), 0, "executor"),
        (("archive", "list", "runs/RUN"), 0, "no run is archived"),
        (("bundle", "runs/RUN", "run.fsmbundle"), 0, "run.fsmbundle"),
        (("prune", "runs", "--keep", "0"), 0, ""),
        (("stop", "runs/RUN"), 0, "no run was at work in runs/RUN"),
        (("wait", "runs/RUN"), 2, "waits for no gate"),
        (("approve", "runs/RUN"), 2, "no gate of the run"),
        (("notify", "runs/RUN"), 2, r"has no \[\[notify\]\]"),
        (("restore", "runs/RUN", "x"), 2, "nothing is archived there"),
        (
            ("run", "runs/RUN", "--resume"),
            2,
            r"belongs to an engine[^\0]*temporal signal \S*RUN --resume",
        ),
        (
            ("run", "runs/RUN", "--executor-bin", "true"),
            2,
            r"belongs to an engine[^\0]*temporal signal \S*RUN --resume; for a new",
        ),
        (
            ("plan", "runs/RUN", "--executor-bin", "true"),
            2,
            r"temporal signal \S*RUN --resume; for",
        ),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
def test_command_finds_the_record(
    place: Path, arguments: tuple[str, ...], code: int, shown: str
) -> None:
    """The command reads the latest epoch and changes nothing in the run."""
    before = contents(place / "runs" / "RUN")
    ended = orchestrate(*arguments, cwd=place)
    said = ended.stdout + ended.stderr
    assert ended.code == code, said
    assert re.search(shown, said), said
    shown_paths = [one for one in re.findall(r"\S*epochs/\S*", said) if REPORT_NAMES not in one]
    assert shown_paths == [], said
    assert contents(place / "runs" / "RUN") == before


REPORT_NAMES = "orchestrator_"
"""The prefix of file names: files are shown at their real paths."""


def test_documents_name_the_run(place: Path) -> None:
    """Programs get the directory that a person would type."""
    directory = str(place / "runs" / "RUN")
    for arguments in (("status", "runs/RUN", "--json"), ("explain", "runs/RUN", "--json")):
        document = json.loads(orchestrate(*arguments, cwd=place).stdout)
        assert document["output_directory"] == directory
    (row,) = (one for one in list_runs(place / "runs") if one.name == "RUN")
    assert row.output_directory == directory
    assert row.trouble is None
    assert load_report(directory).run_id == row.run_id
    assert load_report(directory).epoch == "000001.000001"


def test_signals_go_to_the_engine(tmp_path: Path) -> None:
    """The signals that a resume would be given are offered for the engine instead."""
    directory = tmp_path / "RUN"
    config = asked(directory, allow_empty=True).model_copy(update={"gates": {"policy": "allow"}})
    run(config, epoch=claim_epoch(directory, 1, 1))
    said = orchestrate("explain", "RUN", cwd=tmp_path).stdout.replace("\\\n", "")
    signals = "--gate ci success --gate review approved"
    assert f"fsm-orchestrator temporal signal RUN {signals}" in " ".join(said.split())


def test_what_this_host_lacks_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers have the secrets, and the request of the run has the values of variables."""
    directory = tmp_path / "RUN"
    stage = shell("true", env={"MODE": "fast-and-careful"}, secrets={"API_TOKEN": None})
    stages = {"manager": shell("true"), "executor": stage}
    config = asked(directory, stages=stages).model_copy(update={"gates": {"policy": "allow"}})
    monkeypatch.setenv("API_TOKEN", "not-a-real-one")
    run(config, epoch=claim_epoch(directory, 1, 1))
    monkeypatch.delenv("API_TOKEN")
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "other-host")}
    for command in ("explain", "status"):
        said = orchestrate(command, "RUN", cwd=tmp_path, env=elsewhere).stdout.replace("\\\n", "")
        signals = "--gate ci success --gate review approved"
        assert f"fsm-orchestrator temporal signal RUN {signals}" in " ".join(said.split())
        assert ("API_TOKEN" in said, "MODE=" in said) == (False, False), said


def test_run_at_work_says_who_has_it(tmp_path: Path) -> None:
    """The lock on this machine names the holder; `logs --follow` continues from epoch to epoch."""
    directory = tmp_path / "RUN"
    (tmp_path / "held").touch()
    waiting = "echo one; touch began; while test -e held; do sleep 0.02; done; echo two"
    stages = {"manager": shell("true"), "executor": shell(waiting, cwd=str(tmp_path))}
    with worker(asked(directory, stages=stages), 1, 1) as process:
        wait_until((tmp_path / "began").exists)
        said = orchestrate("status", "RUN", cwd=tmp_path).stdout
        assert f"held by  process {process.pid}" in said
        assert "temporal signal RUN --stop" in said
        with start("logs", "RUN", "--follow", cwd=tmp_path) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline().endswith("| one\n")
            process.kill()
            process.communicate()
            (tmp_path / "held").unlink()
            assert continued(directory, 2).closure_ready
            follower.communicate(timeout=PATIENCE_SECONDS)


def test_follower_sees_the_next_epoch(tmp_path: Path) -> None:
    """Lines that were shown are not shown again."""
    directory = tmp_path / "RUN"
    (tmp_path / "held").touch()
    said = "$ORCHESTRATOR_ATTEMPT"
    held = "touch began; while test -e held; do sleep 0.02; done"
    waiting = f"echo one-{said}; {held}; echo two-{said}"
    stages = {"manager": shell("true"), "executor": shell(waiting, cwd=str(tmp_path))}
    with worker(asked(directory, stages=stages), 1, 1) as first:
        wait_until((tmp_path / "began").exists)
        with start("logs", "RUN", "--follow", cwd=tmp_path) as follower:
            assert follower.stdout is not None
            assert follower.stdout.readline().endswith("| one-1\n")
            (tmp_path / "began").unlink()
            first.kill()
            first.communicate()
            with worker(asked(directory, resume=True), 2, 1) as second:
                wait_until((tmp_path / "began").exists)
                (tmp_path / "held").unlink()
                second.communicate(timeout=PATIENCE_SECONDS)
            printed, _ = follower.communicate(timeout=PATIENCE_SECONDS)
    assert [line.split()[-1] for line in printed.splitlines()] == ["one-2", "two-2"]


def test_holder_on_another_machine_is_named(place: Path) -> None:
    """This machine sees no lock, so the record names the holder until the next claim."""
    record = latest(place / "runs" / "RUN")
    claim = json.loads((record / "orchestrator_epoch.json").read_text())
    (record / "orchestrator_epoch.json").write_text(json.dumps({**claim, "boot": "another"}))
    holder = {
        "pid": 12,
        "host": "elsewhere",
        "since": claim["claimed_at"],
        "run_id": "x",
        "held_by": "library",
        "hears": "y",
        "directory": [1, os.stat(record).st_ino],
    }
    (record / "orchestrator.lock").write_text(json.dumps(holder))
    said = orchestrate("status", "runs/RUN", cwd=place).stdout
    assert "process 12 on elsewhere" in said
    assert "RUN" in orchestrate("status", "runs", cwd=place).stdout
    ended = orchestrate("stop", "runs/RUN", cwd=place)
    assert ended.code == 1
    assert "held by process 12 on elsewhere" in ended.stderr
    assert f"temporal signal {place}/runs/RUN --stop" in ended.stderr
