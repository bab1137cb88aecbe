"""What is around the command reaches its stages, and not the program itself."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.support.command import COMMAND, PASSING, report_of
from tests.support.patience import PATIENCE_SECONDS

ROOT: Final = Path(__file__).parents[2]
SCRIPT: Final = Path(sysconfig.get_path("scripts")) / "fsm-orchestrator"
WAYS: Final[Mapping[str, Sequence[str]]] = {
    "module": (sys.executable, "-m", "fsm_orchestrator"),
    "script": (str(SCRIPT),),
    "isolated": COMMAND,
}
OURS: Final = {
    "ORCHESTRATOR_RUN_ID",
    "ORCHESTRATOR_STAGE",
    "ORCHESTRATOR_ATTEMPT",
    "ORCHESTRATOR_OUTPUT_DIR",
    "ORCHESTRATOR_IDEMPOTENCY_KEY",
    "ORCHESTRATOR_ATTEMPT_TOKEN",
}
POISON: Final = "raise SystemExit('this module is not for the orchestrator')\n"
SHADOWED: Final = ("click", "pydantic", "structlog", "transitions", "msgspec", "tomllib")


def operators(home: Path, **more: str) -> dict[str, str]:
    """Return a small environment, as a service manager gives one."""
    return {"PATH": os.environ["PATH"], "XDG_STATE_HOME": str(home / "state"), **more}


def run(
    way: Sequence[str], *arguments: str, home: Path, env: Mapping[str, str]
) -> subprocess.CompletedProcess[bytes]:
    """Run the command to its end in exactly this environment."""
    return subprocess.run(
        [*way, "out", *arguments],
        cwd=home,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def seen_by(output: Path, stage: str) -> dict[str, str]:
    """Return the environment of a stage that ran `env -0`."""
    pairs = os.fsdecode((output / f"logs/{stage}.1.stdout.log").read_bytes()).split("\0")
    return dict(pair.split("=", maxsplit=1) for pair in pairs if pair)


ENV: Final = (
    *(*PASSING, "--manager-bin", "env", "--manager-arg", "-0", "--manager-env", "GIVEN=1"),
    *("--executor-bin", "env", "--executor-arg", "-0", "--executor-cwd", "place"),
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "around",
    [
        {},
        {"LANG": "C"},
        {"LC_ALL": "POSIX"},
        {"LC_CTYPE": "C.UTF-8"},
        {"LANG": "C.UTF-8", "PYTHONPATH": "/nowhere", "PYTHONWARNINGS": "error"},
        {"PYTHONOPTIMIZE": "2", "PYTHONUNBUFFERED": "1", "PYTHON_VERSION": "3.11"},
        {"PWD": "/", "OLDPWD": "/tmp"},
    ],
    ids=lambda around: "+".join(around) or "bare",
)
def test_stage_has_the_operators_environment_and_nothing_else(
    tmp_path: Path, way: str, around: dict[str, str]
) -> None:
    """Compared name by name: the operator's, the given pairs, ours, and PWD."""
    (tmp_path / "place").mkdir()
    given = operators(tmp_path, **around)
    done = run(WAYS[way], *ENV, home=tmp_path, env=given)
    assert done.returncode == 0, done.stderr
    for stage, directory, pairs in (
        ("manager", tmp_path, {"GIVEN": "1"}),
        ("executor", tmp_path / "place", {}),
    ):
        seen = seen_by(tmp_path / "out", stage)
        assert set(seen) >= OURS
        rest = {key: value for key, value in seen.items() if key not in OURS}
        assert rest == {**given, **pairs, "PWD": str(directory)}


def test_names_of_ours_are_documented() -> None:
    """Each variable that a stage gets from us is in the operators' documentation."""
    text = "".join(path.read_text() for path in (ROOT / "README.md", *ROOT.glob("docs/*.md")))
    assert sorted(name for name in (*OURS, "PWD") if f"`{name}`" not in text) == []


def test_operators_own_name_of_the_directory_is_kept(tmp_path: Path) -> None:
    """PWD through a link names the same directory, so it stays as the operator has it."""
    (tmp_path / "home" / "place").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to("home")
    given = operators(tmp_path, PWD=str(link))
    assert run(WAYS["isolated"], *ENV, home=link, env=given).returncode == 0
    assert seen_by(link / "out", "manager")["PWD"] == str(link)
    assert seen_by(link / "out", "executor")["PWD"] == str(tmp_path / "home" / "place")


def poisoned(folder: Path) -> Path:
    """Return a folder of modules by the names of those that the program loads."""
    folder.mkdir(exist_ok=True)
    for name in SHADOWED:
        (folder / f"{name}.py").write_text(POISON)
    return folder


@pytest.mark.parametrize("way", ["module", "script"])
def test_modules_on_the_operators_path_are_not_loaded(tmp_path: Path, way: str) -> None:
    """PYTHONPATH is for the stages."""
    modules = poisoned(tmp_path / "modules")
    (modules / "sitecustomize.py").write_text(
        "import os, sys\nos.replace = None\nsys.dont_write_bytecode = True\n"
    )
    look = 'test "$PYTHONPATH" = ' + str(modules)
    options = (*PASSING, "--manager-bin", "/bin/sh", "--manager-arg=-c", "--manager-arg", look)
    given = operators(tmp_path, PYTHONPATH=str(modules))
    done = run(WAYS[way], *options, home=tmp_path, env=given)
    assert done.returncode == 0, done.stderr


def test_modules_beside_the_command_are_not_loaded(tmp_path: Path) -> None:
    """`python -m` looks in the current directory first, and we do not."""
    poisoned(tmp_path)
    options = (*PASSING, "--manager-bin", "true")
    done = run(WAYS["module"], *options, home=tmp_path, env=operators(tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONVERBOSE": "1"},
        {"PYTHONPROFILEIMPORTTIME": "1"},
        {"PYTHONINSPECT": "1"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONUTF8": "0", "LC_ALL": "C"},
    ],
    ids="+".join,
)
def test_variables_of_the_interpreter_do_not_change_what_is_printed(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    """The summary is the same, bytes that are not ASCII included."""
    (tmp_path / "é").mkdir()
    options = (*PASSING, "--executor-bin", "true", "--executor-arg", "☃", "--run-id", "one")
    fixed = (*options, "--fixed-clock", "2026-01-02T03:04:05Z")
    printed = []
    for number, more in enumerate(({}, variables)):
        home = tmp_path / "é" / str(number)
        home.mkdir()
        done = run(WAYS["module"], *fixed, home=home, env=operators(home, **more))
        assert done.returncode == 0, done.stderr
        printed.append(re.sub(rb"/\d/out", b"/N/out", done.stdout))
        assert report_of(home / "out")["stage_executions"][-1]["args"] == ["☃"]
    assert printed[0] == printed[1]


def test_arguments_mean_the_same_in_every_locale(tmp_path: Path) -> None:
    """Under ISO 8859-1 the bytes of an argument are those that a resume under UTF-8 has."""
    if shutil.which("localedef") is None:
        pytest.skip("no locale can be made here")
    name = "de_DE.ISO-8859-1"
    words = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(tmp_path / name)]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("no locale can be made here")
    latin = operators(tmp_path, LOCPATH=str(tmp_path), LC_ALL=name)
    script = 'printf %s "$1"; test "$ORCHESTRATOR_ATTEMPT" = 2'
    stage = ("--manager-bin", "/bin/sh", "--manager-arg=-c", f"--manager-arg={script}")
    options = (*PASSING, *stage, "--manager-arg=sh", "--manager-arg=é☃")
    assert run(WAYS["module"], *options, home=tmp_path, env=latin).returncode == 1
    assert report_of(tmp_path / "out")["stage_executions"][0]["args"][-1] == "é☃"
    utf8 = operators(tmp_path, LC_ALL="C.UTF-8")
    assert run(WAYS["module"], "--resume", home=tmp_path, env=utf8).returncode == 0
    logs = tmp_path / "out" / "logs"
    printed = [(logs / f"manager.{number}.stdout.log").read_bytes() for number in (1, 2)]
    assert printed == ["é☃".encode()] * 2
