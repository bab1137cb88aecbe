"""A declared secret in every place where an operator or a stage can put text: it is never shown.

The options come from the parser, so that a new one is tried as well.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import click
import pytest

from fsm_orchestrator import RunConfig, StageGiven, run
from fsm_orchestrator.cli.parser.run_options import output_options, run_options
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.source import Declared
from tests.support.command import PASSING, Ended, orchestrate, shell, stages, tree_of
from tests.support.soak import SOAK

WORD = "opensesame4711longer"
"""A secret that may also be a name, and is too long for the name of a process."""
AWKWARD = "open sesame/4711+longer"
ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "plain": lambda value: value,
    "hex": lambda value: value.encode().hex(),
    "base64": lambda value: base64.b64encode(b"x:" + value.encode()).decode(),
}
SAMPLES = (
    ("plain", "hex"),
    ("plain",),
    ("plain",),
    ("plain",),
    ("plain", "base64"),
    *[("plain",)] * 3,
)
DECLARED = ("--executor-secret", "TOKEN")
OPTIONS = sorted(
    option.opts[0]
    for option in (*run_options(Declared(("executor",))), *output_options())
    if isinstance(option, click.Option) and not option.is_flag
)
GOVERNED = Path("states/governed_run.toml")


def pieces_of(value: str) -> tuple[str, ...]:
    """Return the parts that give a secret away: its beginning, and parts in any encoding."""
    encoded = base64.b64encode(b"x:" + value.encode()).decode()[4:-6]
    return (value[:10], value.encode().hex()[:20], quote(value[:10], safe=""), encoded)


def assert_unseen(value: str, directory: Path, *shown: Ended) -> None:
    """Check that no file or screen of the program has a piece of the value, and none is a crash."""
    for one in shown:
        assert one.code != 70, one.stderr
        for piece in pieces_of(value):
            assert piece not in one.stdout + one.stderr, (piece, one.stdout + one.stderr)
    for name, content in tree_of(directory).items() if directory.exists() else ():
        is_of_stage = name.startswith("logs/") and name.endswith(".log")
        for piece in pieces_of(value):
            assert is_of_stage or piece.encode() not in content, (name, piece)


LOOKS = (("explain", "--all"), ("status", "--json"), ("report", "--html", "-"), ())
OTHER_LOOKS = (
    *(("explain", "--json"), ("status",), ("plan", "--resume"), ("plan", "--resume", "--json")),
    *(("report",), ("config", "show"), ("logs",)),
)


def looks(
    cwd: Path, env: Mapping[str, str], commands: Sequence[tuple[str, ...]]
) -> Iterator[Ended]:
    """Yield the output of these commands about the run in `out`; by default, of a resume."""
    for command in commands:
        first = command[:2] if command[:1] == ("config",) else command[:1]
        rest = command[len(first) :] if command else ("--resume",)
        words = (*first, "./out", *rest)
        yield orchestrate(*words, cwd=cwd, env=env)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("option", "encoding"),
    [
        (option, encoding)
        for number, option in enumerate(OPTIONS)
        for encoding in (ENCODINGS if SOAK else SAMPLES[number % len(SAMPLES)])
    ],
)
def test_no_option_shows_a_secret(tmp_path: Path, option: str, encoding: str) -> None:
    """An option with a secret in it is masked or refused, in the record, on screens and in print.

    With `SOAK=1` every encoding is tried; otherwise the value itself, and for every fourth option
    one of the encodings: the list of known encodings has tests of its own.
    """
    env = {"TOKEN": AWKWARD}
    value = ENCODINGS[encoding](AWKWARD)
    rest = (*PASSING, *stages("exit 0", "exit 3"), *DECLARED)
    if option.endswith(("-env", "-secret")):
        value = f"{value}={value}"
    for given in (value, f"A={value}"):
        ended = orchestrate("./out", *rest, option, given, cwd=tmp_path, env=env)
        planned = orchestrate("plan", "./out", *rest, option, given, cwd=tmp_path, env=env)
        words = ("./out", *rest, option, given, "--print-config")
        printed = orchestrate(*words, cwd=tmp_path, env=env)
        assert_unseen(AWKWARD, tmp_path / "out", ended, planned, printed)
    if (tmp_path / "out").exists():
        assert_unseen(AWKWARD, tmp_path / "out", *looks(tmp_path, env, LOOKS))


def named_lifecycle(directory: Path, old: str, new: str) -> tuple[str, ...]:
    """Return the option of a lifecycle that is the governed run with something replaced."""
    text = GOVERNED.read_text()
    assert old in text
    (directory / "life.toml").write_text(text.replace(old, new))
    return ("--lifecycle", "./life.toml")


REFUSED: Mapping[str, Callable[[Path], tuple[str, ...]]] = {
    "name of the lifecycle": lambda at: named_lifecycle(
        at, 'name = "governed_run"', f'name = "{WORD}"'
    ),
    "title of the lifecycle": lambda at: named_lifecycle(at, 'title = "', f'title = "{WORD} '),
    "a state of the lifecycle": lambda at: named_lifecycle(at, '"gating"', f'"{WORD}"'),
    "a reason (`why`) in the lifecycle": lambda at: named_lifecycle(
        at, 'why = "', f'why = "{WORD} '
    ),
    "name of a variable": lambda _: ("--manager-env", f"A_{WORD}=1"),
    "name of a variable ": lambda _: ("--manager-secret", f"A_{WORD}=another-value"),
    "run id": lambda _: ("--run-id", WORD),
}


@pytest.mark.parametrize("place", REFUSED)
def test_a_name_that_holds_a_secret_is_refused(tmp_path: Path, place: str) -> None:
    """All records use the name: nothing is written, and the refusal names the place."""
    rest = (*PASSING, *stages("exit 0", "exit 3"), *DECLARED, *REFUSED[place](tmp_path))
    ended = orchestrate("./out", *rest, cwd=tmp_path, env={"TOKEN": WORD})
    assert ended.code == 2
    assert f"the value of secret TOKEN is in the {place.strip()}" in ended.stderr.replace(
        "is in a ", "is in the a "
    )
    assert not (tmp_path / "out").exists()
    assert_unseen(WORD, tmp_path / "out", ended)


@pytest.mark.parametrize("place", ["out", "config", "lifecycle"])
def test_a_path_that_holds_a_secret_is_refused(tmp_path: Path, place: str) -> None:
    """A record names OUT and the given files: a secret in their paths is refused, too."""
    at = tmp_path / WORD
    at.mkdir()
    (at / "life.toml").write_text(GOVERNED.read_text())
    (at / "run.toml").write_text("timeout_ms = 9000\n")
    out, *given = {
        "out": (f"{WORD}/out",),
        "config": ("./out", "--config", f"{WORD}/run.toml"),
        "lifecycle": ("./out", "--lifecycle", f"{WORD}/life.toml"),
    }[place]
    rest = (*PASSING, *stages("exit 0", "exit 3"), *DECLARED)
    ended = orchestrate(out, *rest, *given, cwd=tmp_path, env={"TOKEN": WORD})
    assert ended.code == 2
    assert "the value of secret TOKEN is in the path of the" in ended.stderr
    assert not (tmp_path / out).exists()
    assert_unseen(WORD, tmp_path / "out", ended)


def test_the_name_of_the_machine_is_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock file names the machine verbatim, for `stop` needs its name: it is refused."""
    named = os.uname_result(("Linux", f"build-{WORD}", "6", "1", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: named)
    stage = StageGiven(bin="/bin/true", secrets={"TOKEN": WORD})
    with pytest.raises(UsageError, match="secret TOKEN is in the name of this machine") as told:
        run(RunConfig(output_directory=tmp_path / "out", stages={"manager": stage}))
    assert WORD not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_a_kept_name_that_holds_a_secret_by_now_is_refused(tmp_path: Path) -> None:
    """A resume that declares a secret contained in a name writes nothing; without it, it runs."""
    given = (*PASSING, *stages("exit 0", "exit 3"), "--manager-env", f"A_{WORD}=1")
    assert orchestrate("./out", *given, cwd=tmp_path).code == 1
    before = tree_of(tmp_path / "out")
    ended = orchestrate("./out", "--resume", *DECLARED, cwd=tmp_path, env={"TOKEN": WORD})
    assert (ended.code, tree_of(tmp_path / "out")) == (2, before)
    assert WORD not in ended.stderr + ended.stdout
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 1


BY_STAGE: Mapping[str, str] = {
    "output": "echo $TOKEN; echo $TOKEN >&2; exit 3",
    "output in pieces": "printf ${TOKEN%%4711*}; sleep 0.1; echo 4711${TOKEN##*4711}; exit 3",
    "base64": "printf %s x:$TOKEN | base64 >&2; exit 3",
    "left process": "cp /bin/sleep ./$TOKEN; ./$TOKEN 60 & exit 3",
    "black box": (
        "cp /bin/sleep ./$TOKEN; mkdir -p at/$TOKEN; cd at/$TOKEN; exec 7>$TOKEN.open;"
        " exec ../../$TOKEN 60"
    ),
    "files in OUT": (
        "touch $ORCHESTRATOR_OUTPUT_DIR/$TOKEN $ORCHESTRATOR_OUTPUT_DIR/logs/$TOKEN.1.stdout.log;"
        " exit 3"
    ),
    "bad JSON": 'echo "{\\"$TOKEN\\": tru}" > made.json',
    "OUT moved": "mkdir -p x; mv $ORCHESTRATOR_OUTPUT_DIR x/$TOKEN; exit 3",
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("place", BY_STAGE)
def test_no_stage_has_a_secret_shown(tmp_path: Path, place: str) -> None:
    """A stage's output, files, process names and events are masked where they are shown."""
    env = {"TOKEN": WORD}
    rest = ("--log-output", "--executor-timeout-ms", "1000", "--executor-kill-grace-ms", "100")
    made = ("--executor-expected-artifact", "made.json")
    given = (*stages("exit 0", BY_STAGE[place]), *DECLARED, *rest, *made)
    ended = orchestrate("./out", *PASSING, *given, cwd=tmp_path, env=env)
    assert ended.code in {1, 124}
    assert_unseen(WORD, tmp_path / "out", ended, *looks(tmp_path, env, (*OTHER_LOOKS, *LOOKS)))


def test_a_usage_error_does_not_quote_a_secret_of_the_config_file(tmp_path: Path) -> None:
    """An error about the command line does not show what its config file declares."""
    (tmp_path / "run.toml").write_text('[stage.executor]\nsecrets = ["TOKEN"]\n')
    words = ("./out", "--config", "run.toml", f"--{WORD}", *shell("manager", "exit 0"))
    ended = orchestrate(*words, cwd=tmp_path, env={"TOKEN": WORD})
    assert (ended.code, WORD in ended.stderr) == (2, False)
    assert "no option" in ended.stderr
