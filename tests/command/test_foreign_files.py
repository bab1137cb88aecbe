"""Foreign files under a run's file names, and odd files in the place of a run's own."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    INVOCATIONS,
    PASSING,
    REPORT,
    orchestrate,
    report_of,
    shell,
    stages,
    statuses,
    tree_of,
)
from tests.support.soak import SOAK

pytestmark = pytest.mark.timeout(240)
LOCK = "orchestrator.lock"
FOREIGN = {
    "logs/app.log": "mine\n",
    "logs/manager.1.stdout.log": "mine too\n",
    CHECKPOINT: '{"a": 1}\n',
    REPORT: "# a report\n",
    EVENTS: "event 1\n",
    INVOCATIONS: "mine as well\n",
}


def make_socket(path: Path) -> None:
    """Make a socket, at a path that may be longer than a socket's address."""
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


def make_link(path: Path) -> None:
    """Make a link to a file that must not be touched."""
    path.symlink_to(path.parent.parent / "victim")


def make_link_to_device(path: Path) -> None:
    """Make a link to a device that can be read forever."""
    path.symlink_to("/dev/zero")


ODD: dict[str, Callable[[Path], object]] = {
    "FIFO": os.mkfifo,
    "directory": Path.mkdir,
    "link": make_link,
    "link to device": make_link_to_device,
    "socket": make_socket,
}


def put(kind: str, path: Path) -> None:
    """Put something odd in the place of a file."""
    if path.is_dir() and not path.is_symlink():
        path.rename(path.with_name("was-here"))
    path.unlink(missing_ok=True)
    ODD[kind](path)


# Files that no run made


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_no_run_made_stays(tmp_path: Path, name: str, command: str) -> None:
    """A first run beside somebody else's files is refused before anything is started or written."""
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text(FOREIGN[name])
    ended = orchestrate(command, "out", *PASSING, *stages("touch ran"), cwd=tmp_path)
    assert ended.code == 2, ended
    first = name.partition("/")[0]
    assert str(tmp_path / "out" / first) in ended.stderr
    assert "move it away, or name another output directory" in ended.stderr
    assert tree_of(tmp_path) == {f"out/{name}": FOREIGN[name].encode()}
    path.parent.rename(tmp_path / "away") if first != name else path.unlink()
    assert orchestrate("out", *PASSING, *stages("touch ran"), cwd=tmp_path).code == 0
    assert (tmp_path / "ran").exists()


@pytest.mark.one_in(3)
@pytest.mark.parametrize("kind", ["FIFO", "link", "link to device", "socket"])
@pytest.mark.parametrize("name", [CHECKPOINT, REPORT, EVENTS, INVOCATIONS, "logs"])
def test_odd_file_before_a_first_run(tmp_path: Path, name: str, kind: str) -> None:
    """A first run is refused and does not open the odd file."""
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "out").mkdir()
    put(kind, tmp_path / "out" / name)
    ended = orchestrate("out", *PASSING, *stages("touch ran"), cwd=tmp_path, timeout=60)
    assert ended.code == 2, ended
    assert str(tmp_path / "out" / name) in ended.stderr
    assert sorted(os.listdir(tmp_path)) == ["out", "victim"]
    assert (tmp_path / "victim").read_text() == "precious"


def test_empty_files_are_in_nobody_s_way(tmp_path: Path) -> None:
    """An empty directory for logs and empty files hold nothing that could be lost."""
    (tmp_path / "out" / "logs").mkdir(parents=True)
    (tmp_path / "out" / EVENTS).touch()
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    assert not (tmp_path / "out" / "archive").exists()


def test_files_beside_a_run_s_stay(tmp_path: Path) -> None:
    """Foreign files are not moved with the run; its own files are, even damaged ones."""
    assert orchestrate("out", *PASSING, *stages(), "--run-id", "first", cwd=tmp_path).code == 0
    (tmp_path / "out" / "notes").write_text("mine")
    (tmp_path / "out" / CHECKPOINT).write_text("{}")
    assert orchestrate("out", *PASSING, *stages(), cwd=tmp_path).code == 0
    assert (tmp_path / "out" / "notes").read_text() == "mine"
    archived = tree_of(tmp_path / "out" / "archive" / "first")
    assert {CHECKPOINT, REPORT, EVENTS, "logs/manager.1.stdout.log"} < archived.keys()


# Odd files in the place of a run's file, for every command


COMMANDS = {
    "status": ("status", "out"),
    "status of many": ("status", "."),
    "explain": ("explain", "out"),
    "logs": ("logs", "out"),
    "logs --follow": ("logs", "out", "--follow"),
    "report": ("report", "out"),
    "report --html": ("report", "out", "--html", "page.html"),
    "stop": ("stop", "out"),
    "diagram": ("diagram", "--run", "out"),
    "plan": ("plan", "out", "--resume"),
    "config show": ("config", "show", "out"),
    "resume": ("out", "--resume"),
    "run": ("out", *PASSING, *stages()),
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a failed run in `out`."""
    directory = tmp_path_factory.mktemp("finished")
    options = (*PASSING, *stages("echo line", "exit 1"), "--manager-env", "A=value-of-a")
    assert orchestrate("out", *options, cwd=directory).code == 1
    return directory


@pytest.mark.one_in(2)
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", [CHECKPOINT, REPORT, EVENTS, INVOCATIONS, LOCK, "logs", "archive"])
def test_no_command_waits_for_or_follows_it(
    finished: Path, tmp_path: Path, name: str, kind: str
) -> None:
    """Every command works, or ends at once with a designed error; nothing is written through it.

    With `SOAK=1` every command meets every kind; otherwise every command meets a FIFO, and a third
    of the commands meet each other kind.
    """
    commands = list(COMMANDS.values())
    if kind != "FIFO" and not SOAK:
        commands = commands[list(ODD).index(kind) % 3 :: 3]
    for command in commands:
        place = tmp_path / "place"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(finished, place, symlinks=True)
        (place / "victim").write_text("precious")
        put(kind, place / "out" / name)
        ended = orchestrate(*command, cwd=place, timeout=60)
        assert ended.code in {0, 1, 2, 75}, (command, ended)
        assert "Traceback" not in ended.stderr, command
        assert (place / "victim").read_text() == "precious", command


def test_odd_file_in_every_place_during_a_run(tmp_path: Path) -> None:
    """A stage that puts FIFOs under every name, temporary ones too, is still ended in time."""
    script = (
        'cd "$ORCHESTRATOR_OUTPUT_DIR" || exit 9; until grep -q \'"pid": *[0-9]\' '
        + CHECKPOINT
        + "; do :;"
        " done; mkfifo .orchestrator_checkpoint.json.tmp .orchestrator_run_report.json.tmp"
        " logs/.manager.1.postmortem.json.tmp logs/manager.1.postmortem.json;"
        f" rm {CHECKPOINT} {REPORT}; mkfifo {CHECKPOINT} {REPORT}; echo $$ > ../pid;"
        " exec sleep 300"
    )
    options = (*shell("manager", script), "--manager-timeout-ms", "400")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path, timeout=120)
    assert ended.code == 1, ended  # for the damage to the files of the run
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()
    report = report_of(tmp_path / "out")
    assert statuses(report) == [("manager", "timeout"), ("control", "failed")]
    assert (tmp_path / "out" / report["stage_executions"][0]["postmortem"]).is_file()
    assert (tmp_path / "out" / CHECKPOINT).is_file()


@pytest.mark.parametrize("way", ["rm -r logs; mkfifo logs", "rm -r logs; ln -s .. logs"])
def test_fault_of_the_black_box_lets_no_stage_work_on(tmp_path: Path, way: str) -> None:
    """If the black box cannot be written, the run fails, and its stage is ended all the same."""
    script = f'cd "$ORCHESTRATOR_OUTPUT_DIR" || exit 9; {way}; echo $$ > ../pid; exec sleep 300'
    options = (*shell("manager", script), "--manager-timeout-ms", "600")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path, timeout=120)
    assert ended.code == 1, ended
    pid = int((tmp_path / "pid").read_text())
    assert not Path(f"/proc/{pid}").exists()
    own = [one for one in report_of(tmp_path / "out")["stage_executions"] if one["attempt"] == 0]
    assert [one["command"] for one in own] == ["logs.persist"]
    assert not (tmp_path / "manager.1.postmortem.json").exists()
