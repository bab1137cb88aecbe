"""Every view of a run shows its subject."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.gates.evidence_cases import repository
from tests.support.command import PASSING, orchestrate, report_of, stages, start
from tests.support.patience import PATIENCE_SECONDS
from tests.support.screen import Terminal

VIEWS = (
    ("status", "./out"),
    ("explain", "./out"),
    ("explain", "./out", "--all"),
    ("gates", "./out"),
    ("plan", "./out", "--resume"),
    ("report", "./out", "--html", "-"),
)


def test_what_a_run_is_about_is_shown_everywhere(tmp_path: Path) -> None:
    """It is shown at the end and later, for a blocked, a done and an archived run."""
    commit = repository(tmp_path)[:12]
    asked = ("--subject-git", ".", "--subject-file", "file.txt", *stages())
    ended = orchestrate("./out", *PASSING[:4], *asked, cwd=tmp_path)
    assert ended.code == 3
    about = f"  about    {tmp_path}, gitCommit {commit}"
    assert about in ended.stdout.splitlines()
    assert about in orchestrate("status", "./out", cwd=tmp_path).stdout.splitlines()
    for view in VIEWS:
        shown = orchestrate(*view, cwd=tmp_path)
        for words in (f"gitCommit {commit}", "file.txt, sha256 "):
            assert words in " ".join(shown.stdout.split()), (view, shown)
    earlier = report_of(tmp_path / "out")["run_id"]
    assert orchestrate("./out", *PASSING, *asked, cwd=tmp_path).code == 0
    assert about in orchestrate("status", "./out", cwd=tmp_path).stdout.splitlines()
    archived = orchestrate("status", "./out", "--run-id", earlier, cwd=tmp_path)
    assert about in archived.stdout.splitlines()


def test_report_on_a_terminal_says_it(tmp_path: Path) -> None:
    """The terminal's report has it among the other facts for a supervisor."""
    (tmp_path / "plan.txt").write_text("plan")
    words = ("--subject-file", "plan.txt", *PASSING, *stages())
    assert orchestrate("./out", *words, cwd=tmp_path).code == 0
    with Terminal("report", "./out", cwd=tmp_path, columns=120) as terminal:
        assert terminal.end() == 0
        (line,) = [one for one in terminal.all_lines if one.startswith("subject ")]
        assert line.split()[1:3] == [f"{tmp_path}/plan.txt,", "sha256"]


def test_run_at_work_and_one_that_died_say_it_too(tmp_path: Path) -> None:
    """It is shown while a run is held, and after SIGKILL; of many files the first are named."""
    names = [f"{number}.txt" for number in range(5)]
    for name in names:
        (tmp_path / name).write_text(name)
    words = [word for name in names for word in ("--subject-file", name)]
    script = f"echo > {tmp_path}/started; sleep 300"
    process = start("./out", *PASSING, *stages(script), *words, cwd=tmp_path)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (tmp_path / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    at_work = orchestrate("status", "./out", cwd=tmp_path).stdout
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_SECONDS)
    died = orchestrate("status", "./out", cwd=tmp_path).stdout
    for shown in (at_work, died):
        about = [line.split()[1:] for line in shown.splitlines() if line.startswith("  about ")]
        assert [line[0].rpartition("/")[2] for line in about[:3]] == [
            f"{one}," for one in names[:3]
        ]
        assert about[3] == ["and", "2", "more"]
