"""A stage's program is on record, and a pinned one must not have changed when it starts."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.command import (
    PASSING,
    Ended,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    statuses,
)

APPLY: Final = "#!/bin/sh\ncat input\n"
PINNED: Final = ("--executor-bin", "./apply.sh", "--executor-arg", "input", "--executor-pin")
CHANGES: Final = {
    "program edited": "echo 'exit 0' >> apply.sh",
    "program edited with its time put back": "touch -r apply.sh t; printf '#' | dd of=apply.sh"
    " conv=notrunc seek=15 bs=1 2>/dev/null; touch -r t apply.sh",
    "program replaced": "cp apply.sh x; echo >> x; mv x apply.sh",
    "program linked over": "echo '#!/bin/true' > x; chmod +x x; ln -sf x apply.sh",
    "program gone": "rm apply.sh",
    "argument edited": "echo more >> input",
    "argument gone": "rm input",
}


def digest(path: Path | str) -> str:
    """Return the digest of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.fixture(name="place")
def place_with_program(tmp_path: Path) -> Path:
    """Make a directory with a program and the file that it reads."""
    (tmp_path / "apply.sh").write_text(APPLY)
    (tmp_path / "apply.sh").chmod(0o755)
    (tmp_path / "input").write_text("input\n")
    return tmp_path


def run(place: Path, script: str, *options: str) -> Ended:
    """Run a script as the first stage, then the program."""
    return orchestrate("./out", *PASSING, *shell("manager", script), *options, cwd=place)


def programs(place: Path) -> list[Any]:
    """Return the programs that each attempt ran."""
    return [one["program"] for one in report_of(place / "out")["stage_executions"]]


def test_each_attempt_says_what_it_ran(place: Path) -> None:
    """The record has the resolved program and its file arguments, as they were at the start."""
    script = "cp apply.sh x; echo '# changed' >> x; mv x apply.sh"
    options = ("--executor-bin", "./apply.sh", "--executor-arg", "input")
    ended = run(place, script, *options, "--executor-arg=-x", "--executor-arg", ".")
    assert ended.code == 0, ended.stderr
    shell_path = os.path.abspath(shutil.which("sh") or "")
    assert programs(place) == [
        [{"path": "/bin/sh", "sha256": digest("/bin/sh")}],
        [
            {"path": str(place / "apply.sh"), "sha256": digest(place / "apply.sh")},
            {"path": str(place / "input"), "sha256": digest(place / "input")},
        ],
    ]
    assert digest(shell_path) == digest("/bin/sh")
    assert "# changed" in (place / "apply.sh").read_text()


def test_large_program_is_read_once_it_runs(place: Path) -> None:
    """The program is digested whole without delay; an argument of that size only if pinned."""
    (place / "large").write_text("#!/bin/sh\nexit 0\n" + "#" * 1_000_000)
    (place / "large").chmod(0o755)
    options = ("--executor-bin", "./large", "--executor-arg", "large")
    assert run(place, "true", *options).code == 0
    path, own = str(place / "large"), digest(place / "large")
    assert programs(place)[1] == [{"path": path, "sha256": own}, {"path": path, "sha256": None}]


def test_what_was_not_started_ran_nothing(place: Path) -> None:
    """A program that does not exist has no digest."""
    run(place, "true", "--executor-bin", "./nothing")
    assert "program" not in report_of(place / "out")["stage_executions"][1]


@pytest.mark.parametrize("change", CHANGES)
def test_pinned_program_is_what_it_was(change: str, place: Path) -> None:
    """A stage that changes the next one's program ends the run before that program starts."""
    ended = run(place, CHANGES[change], *PINNED)
    assert ended.code == 1, ended.stderr
    report = report_of(place / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert statuses(report)[0] == ("manager", "success")
    assert statuses(report)[-1] == ("control", "failed")
    failure = report["stage_executions"][-1]
    assert failure["ending"] == "control_tampered"
    name = "input" if "argument" in change else "apply.sh"
    assert f"{place / name} has changed since stage 'executor' was pinned" in failure["error"]
    assert not (place / "out/logs/executor.1.stdout.log").exists()


def test_pin_outlives_the_invocation(place: Path) -> None:
    """A resume keeps the pin until the program is given again."""
    assert run(place, "echo more >> input; exit 3", *PINNED).code == 1
    kept = checkpoint_of(place / "out")["stages"]["executor"]["pins"]
    assert [one["argument"] for one in kept["files"]] == [None, 0]
    true = ("--manager-bin", "true")
    refused = orchestrate("./out", "--resume", *true, cwd=place)
    assert refused.code == 1
    assert "input has changed since" in refused.stderr
    assert orchestrate("./out", "--resume", "--executor-pin", cwd=place).code == 1
    done = orchestrate("./out", "--resume", *PINNED, cwd=place)
    assert done.code == 0, done.stderr
    assert checkpoint_of(place / "out")["stages"]["executor"]["pins"] != kept


def test_rebuilt_program_is_the_operator_s(place: Path) -> None:
    """An unpinned program runs as rebuilt; a config file can withdraw a pin."""
    assert run(place, "echo more >> input; exit 3", *PINNED).code == 1
    (place / "run.toml").write_text("[stage.executor]\npin = false\n")
    words = ("./out", "--resume", "--config", "run.toml", "--manager-bin", "true")
    assert orchestrate(*words, cwd=place).code == 0
    assert "pins" not in checkpoint_of(place / "out")["stages"]["executor"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--executor-bin", "./made.sh"), "is not there yet"),
        (("--executor-bin", "no-such-program"), "is not there yet"),
        (("--executor-bin", "./nothing"), "is not there yet"),
        (("--executor-bin", "./folder"), "cannot be read"),
    ],
)
def test_what_cannot_be_pinned_is_refused(options: tuple[str, ...], said: str, place: Path) -> None:
    """Nothing starts with a pin that has no file."""
    (place / "folder").mkdir()
    more = ("--manager-expected-artifact", "made.sh")
    ended = run(place, "true", *more, *options, "--executor-pin")
    assert (ended.code, said in ended.stderr) == (2, True), ended.stderr
    assert not (place / "out").exists()


def test_what_another_stage_makes_is_not_pinned(place: Path) -> None:
    """A script that the first stage writes is not pinned; the shell that runs it is."""
    (place / "made.sh").write_text("left over from another run\n")
    more = ("--manager-expected-artifact", "made.sh", "--executor-arg", "made.sh")
    ended = run(place, "echo true > made.sh", "--executor-bin", "sh", *more, "--executor-pin")
    assert ended.code == 0, ended.stderr
    files = checkpoint_of(place / "out")["stages"]["executor"]["pins"]["files"]
    assert [one["argument"] for one in files] == [None]
