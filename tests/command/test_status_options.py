"""`status` of many runs for operators and monitors: filtered, sorted, judged, and of the past."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.command import PASSING, orchestrate, report_of, stages
from tests.support.screen import Terminal


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory: in `runs` one is done, one waits, two failed; `out` has had three."""
    folder = tmp_path_factory.mktemp("many")
    orchestrate("runs/a-done", *PASSING, *stages(), cwd=folder)
    orchestrate("runs/b-waiting", *PASSING[:4], *stages(), cwd=folder)
    orchestrate("runs/c-failed", *PASSING, *stages("echo broken >&2; exit 1"), cwd=folder)
    shutil.copytree(folder / "runs" / "c-failed", folder / "runs" / "d-failed")
    for number, script in enumerate(("exit 0", "echo lost >&2; exit 3", "exit 0"), 1):
        orchestrate("out", "--run-id", f"run-{number}", *PASSING, *stages(script), cwd=folder)
    return folder


CASES: list[tuple[tuple[str, ...], int, list[str]]] = [
    ((), 0, ["d-failed", "c-failed", "b-waiting", "a-done"]),
    (("--sort", "name"), 0, ["a-done", "b-waiting", "c-failed", "d-failed"]),
    (("--sort", "oldest", "--name", "[ab]-*"), 0, ["a-done", "b-waiting"]),
    (("--state", "failed"), 0, ["c-failed", "d-failed"]),
    (("--state", "waiting,done"), 0, ["b-waiting", "a-done"]),
    (("--state", "waiting", "--state", "done", "--name", "a*"), 0, ["a-done"]),
    (("--since", "1h"), 0, ["c-failed", "d-failed", "b-waiting", "a-done"]),
    (("--since", "2999-01-01"), 0, []),
    (("--fail-if", "blocked,timeout"), 0, ["c-failed", "d-failed", "b-waiting", "a-done"]),
    (("--fail-if", "blocked,failed"), 1, ["c-failed", "d-failed", "b-waiting", "a-done"]),
    (("--fail-if", "failed", "--state", "done"), 0, ["a-done"]),
]


@pytest.mark.parametrize(("options", "code", "names"), CASES)
def test_list_is_what_was_asked_for(
    options: tuple[str, ...], code: int, names: list[str], cwd: Path
) -> None:
    """Text and JSON have the same runs and the same exit code."""
    ended = orchestrate("status", "runs", *options, cwd=cwd)
    found = [line.split()[1] for line in ended.stdout.splitlines()[2:]]
    assert (ended.code, sorted(found)) == (code, sorted(names))
    if names[:1] == ["a-done"]:
        assert found == names
    ended = orchestrate("status", "runs", *options, "--json", cwd=cwd)
    told = json.loads(ended.stdout)
    assert (ended.code, sorted(one["name"] for one in told["runs"])) == (code, sorted(names))
    assert (sum(told["counts"].values()), told["total"] >= len(names)) == (len(names), True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--state", "faild"), "'faild' is not one of unreadable, failed,"),
        (("--state", "failed,wating"), "did you mean 'waiting'?"),
        (("--fail-if", "blockd"), "did you mean 'blocked'?"),
        (("--fail-if", "failed,"), "'' is not one of"),
        (("--sort", "wors"), "did you mean 'worst'?"),
        (("--since", "yesterday"), "neither a time"),
        (("--watch", "--json"), "--watch shows runs until Ctrl-C"),
        (("--history",), "--history lists the runs of one OUT, and runs has none"),
        (("--run-id", "x", "--state", "done"), "--run-id shows one run"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: tuple[str, ...], said: str, cwd: Path) -> None:
    """The refusal names the option that was probably meant."""
    ended = orchestrate("status", "runs", *words, cwd=cwd)
    assert (ended.code, ended.stdout) == (2, "")
    assert said in " ".join(ended.stderr.split())


def test_one_run_can_be_judged_as_a_list(cwd: Path) -> None:
    """A list option makes a list of a single run, so a monitor can use one command line."""
    ended = orchestrate("status", "runs/c-failed", "--fail-if", "failed", cwd=cwd)
    assert ended.code == 1
    counts, _, line = ended.stdout.splitlines()
    assert counts == "1 run:  ✗ 1 failed"
    assert "manager: exited with code 1: broken" in line
    ended = orchestrate("status", "runs/a-done", "--fail-if", "failed", cwd=cwd)
    assert ended.code == 0


def test_history_lists_the_runs_that_were_archived(cwd: Path) -> None:
    """Archived runs come newest first, with ids and endings; `--run-id` shows one of them."""
    ended = orchestrate("status", "out", "--history", cwd=cwd)
    assert ended.code == 0, ended.stdout
    counts, _, *lines = ended.stdout.splitlines()
    assert counts == "3 runs in out:  ✗ 1 failed  ✓ 2 done"
    assert [line.split()[1:3] for line in lines] == [
        ["run-3", "done"],
        ["run-2", "failed"],
        ["run-1", "done"],
    ]
    assert lines[1].endswith("manager: exited with code 3: lost")
    told = json.loads(orchestrate("status", "out", "--history", "--json", cwd=cwd).stdout)["runs"]
    assert [one["output_directory"] for one in told] == [
        "out",
        "out/archive/run-2",
        "out/archive/run-1",
    ]
    for one in told:
        assert one["run_id"] == report_of(cwd / one["output_directory"])["run_id"]
        assert one["trouble"] is None


@pytest.mark.parametrize(
    ("columns", "env"), [(80, {}), (120, {"NO_COLOR": "1"}), (80, {"LC_ALL": "C"})]
)
def test_list_on_a_terminal(columns: int, env: dict[str, str], cwd: Path) -> None:
    """Symbols and colors appear where they are possible, and no line is wider than the terminal."""
    with Terminal("status", "runs", cwd=cwd, columns=columns, env=env) as terminal:
        terminal.end()
        lines, raw = terminal.shown, bytes(terminal.raw)
    is_ascii = "LC_ALL" in env
    bad, wait, good = ("x ", "! ", "ok") if is_ascii else ("✗", "!", "✓")
    assert lines[0] == f"4 runs in runs:  {bad.strip()} 2 failed  ! 1 waiting  {good} 1 done"
    assert [line.split()[0] for line in lines[2:]] == [bad.strip(), bad.strip(), wait.strip(), good]
    assert re.search(r"waits for review$", lines[4])
    assert (b"\x1b[31m" in raw) == ("NO_COLOR" not in env)
    assert max(map(len, lines)) <= columns
