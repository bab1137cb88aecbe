"""Every mistake an operator can make, and the message for it: one file to be read in one go.

`tests/golden/errors.txt` is written by `make golden` (REWRITE_GOLDEN=1) and reviewed by a person.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsm_orchestrator.cli.main import run_command_line
from tests.support.command import PASSING, stages, tree_of

GOLDEN = Path(__file__).parents[1] / "golden" / "errors.txt"
HUGE = "9" * 400

TITLES_AND_COMMANDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "commands",
        (
            "",
            "plna",
            "plan",
            "run",
            "statsu demo",
            "explain demo",
            "schema reprot",
            "config",
            "config chek run.toml",
            "config check",
            "config show nothing-here",
            "init",
            "init taken",
            "init a-file",
            "init a-file/below",
        ),
    ),
    (
        "options",
        (
            "out --manger-bin x",
            "out --manager-bim x",
            "out --resume=yes",
            "out --bogus",
            "out -x",
            "out other",
            "out --manager-bin",
            "out --policy-status",
            "run out -- --resume extra",
        ),
    ),
    (
        "OUT",
        (
            "''",
            "a-file",
            "a-file/below",
            "dangling",
            "/proc/no-such-place/out",
            "status nowhere",
            "status empty",
            "status foreign",
        ),
    ),
    (
        "gates",
        (
            "out --policy-status alow",
            "out --policy-status ''",
            "out --ci-status SUCCESS",
            "out --review-status approved --review-status approved",
            "out --policy-status allow --policy-status deny",
        ),
    ),
    (
        "stages",
        (
            "out --manager-bin ''",
            "out --manager-bin a --manager-bin b",
            "out --manager-arg x",
            "out --manager-timeout-ms 5",
            "out --reviewer-bin x",
            "out --manager-bin x --manager-env hunter2-secret",
            "out --manager-bin x --manager-env =hunter2-secret",
            "out --manager-bin x --manager-env ''",
            "out --manager-bin x --manager-expected-artifact ''",
            "out --manager-bin x --manager-cwd ''",
        ),
    ),
    (
        "numbers",
        (
            "out --timeout-ms 0",
            "out --timeout-ms -5",
            "out --timeout-ms 1.5",
            "out --timeout-ms 1e3",
            "out --timeout 30x",
            "out --timeout-ms 2147483648",
            f"out --timeout-ms {HUGE}",
            "out --timeout-ms ''",
            "out --timeout-ms 1 --timeout-ms 2",
            "out --manager-bin x --manager-timeout-ms never",
            "out --kill-grace-ms -1",
        ),
    ),
    (
        "run control",
        (
            "out --run-id ''",
            "out --run-id ../escape",
            f"out --run-id {'x' * 65}",
            "done --run-id first",
            "out --fixed-clock noon",
            "out --fixed-clock 2026-13-01",
            "out --log-format xml",
            "out --log-level loud",
            "out --quiet --log-level debug",
            "out --rerun manager",
            "out --on-changed-stage keep",
            "out --on-changed-stage never",
        ),
    ),
    (
        "lifecycles",
        (
            "out --lifecycle governed_rum",
            "out --lifecycle ''",
            "out --lifecycle ./nowhere.toml",
            "out --lifecycle empty.toml",
            "out --lifecycle broken.toml",
            "out --lifecycle bypass.toml",
            "out --lifecycle empty/",
        ),
    ),
    (
        "config files",
        (
            "out --config nowhere.toml",
            "out --config empty",
            "out --config wrong.toml",
            "config check wrong.toml",
            "config check broken.toml",
            "config check latin1.toml",
        ),
    ),
    (
        "resumes",
        (
            "done --resume --policy-status deny",
            "done --resume --manager-arg other",
            "done --resume --rerun manager",
            "done --resume --run-id other",
            "done --resume --on-changed-stage rerun",
            "failed --resume --manager-arg other",
            "failed --resume --rerun manger",
            "failed --resume --lifecycle broken.toml",
        ),
    ),
)

BYPASS = """
[[transition]]
trigger = "gates_passed"
source = "pending"
dest = "manager"
why = "a shortcut"
"""


@pytest.fixture(name="desk")
def desk_with_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Path]:
    """Yield an operator's directory with good, bad and foreign files in it."""
    root = Path(__file__).parents[2]
    default = (root / "states" / "governed_run.toml").read_text()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("empty", "foreign", "taken"):
        Path(name).mkdir()
    Path("a-file").write_text("not a directory\n")
    Path("dangling").symlink_to("nowhere")
    Path("foreign/orchestrator_run_report.json").write_text('{"hello": "world"}\n')
    Path("taken/run.toml").write_text("mine\n")
    Path("empty.toml").write_text("")
    Path("broken.toml").write_text("[[state]\n")
    Path("latin1.toml").write_bytes(b'run_id = "caf\xe9"\n')
    Path("bypass.toml").write_text(default.replace('source = "pending"', 'source = "pendng"', 1))
    Path("wrong.toml").write_text(
        'timeout_ms = 0\nlifecycel = "x"\n[gates]\npolicy = "alow"\n'
        '[stage.manager]\nargs = ["a", 3]\nenv = { TOKEN = 7 }\n[stage.reviewer]\nbin = "x"\n'
    )
    ends = (("done", "exit 0", 0), ("failed", "exit 3", 1))
    for number, (name, executor, code) in enumerate(ends):
        run_id = ("first", "second")[number]
        options = (*PASSING, *stages("exit 0", executor), "--run-id", run_id)
        assert run_command_line([name, *options]) == code
    capfd.readouterr()
    yield tmp_path
    capfd.readouterr()


def collected(desk: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """Return every command and its output; assert that nothing was written and codes are right."""
    before = tree_of(desk)
    parts = ["What an operator is told. Written by `make golden`, read by a person.\n"]
    for title, commands in TITLES_AND_COMMANDS:
        parts.append(f"\n== {title}\n")
        for command in commands:
            code = run_command_line(shlex.split(command))
            said = capfd.readouterr()
            assert tree_of(desk) == before, command
            assert "Traceback" not in said.err, command
            assert "hunter2" not in said.err, command
            assert code in {1, 2}, command
            shown = command.replace(HUGE, "999...")
            text = (said.err + said.out).replace(str(desk), "/desk").replace(HUGE, "999...")
            parts.append(f"\n$ fsm-orchestrator {shown}\n{text}[exit {code}]\n")
    return re.sub(r"[ \t]+\n", "\n", "".join(parts))


def test_messages_are_those_that_were_reviewed(
    desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every mistake gets its exit code and the reviewed message, and writes nothing."""
    text = collected(desk, capfd)
    if os.environ.get("REWRITE_GOLDEN"):
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


def test_an_argument_that_is_not_utf8_is_refused_unseen(
    desk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The message gives the position of the bytes, but not the bytes."""
    before = tree_of(desk)
    code = run_command_line(["out", "--manager-bin", os.fsdecode(b"caf\xe9")])
    assert code == 2
    assert capfd.readouterr().err.startswith("fsm-orchestrator: argument 3 is not valid UTF-8")
    assert tree_of(desk) == before
