"""The command's surroundings affect no run, and all of them reach the stages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest

import fsm_orchestrator
from fsm_orchestrator.cli import isolation
from tests.support.command import COMMAND, ORCHESTRATOR_PID, PASSING, report_of, shell
from tests.support.other_python import other_python

pytestmark = pytest.mark.one_in(2)

BARE: Final = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
PRINTER: Final = ("--manager-bin", "env", "--manager-arg", "-0")
STRAY: Final = "raise SystemExit('a stray module was loaded')"
RESTARTED: Final = ("-I", "-X", "utf8")
HOW: Final = shell("manager", f"tr '\\0' '\\n' </proc/{ORCHESTRATOR_PID}/cmdline")
SCRIPT: Final = Path(sys.executable).parent / "fsm-orchestrator"


def run(
    cwd: Path, *options: str, env: Mapping[str, str], command: tuple[str, ...] = COMMAND
) -> bytes:
    """Run the command in exactly this environment to done; return the environment that it read.

    That is the output of its first stage.
    """
    done = subprocess.run(
        [*command, "out", *options],
        cwd=cwd,
        env={**env, "XDG_STATE_HOME": str(cwd / "state")},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"stray" in done.stderr) == (0, False), done.stderr.decode()
    return max((cwd / "out/logs").glob("manager.*.stdout.log")).read_bytes()


def started_with(printed: bytes) -> tuple[str, ...]:
    """Return the options of the interpreter that a stage found as its orchestrator."""
    words = printed.decode().split("\n")[1:]
    return tuple(words[: len(RESTARTED)]) if words[0] == "-I" else ()


OPERATORS: Final[Mapping[str, Mapping[str, str]]] = {
    "no locale": {},
    "C": {"LANG": "C"},
    "C by LC_CTYPE": {"LC_CTYPE": "POSIX"},
    "empty": {"LC_CTYPE": "", "LC_ALL": ""},
    "unknown": {"LC_CTYPE": "xx_XX.nonsense"},
    "UTF-8": {"LANG": "C.UTF-8"},
    "UTF-8 by LC_CTYPE": {"LC_CTYPE": "C.UTF-8"},
    "C for all": {"LC_ALL": "C"},
    "C, unadorned": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "Python's": {
        "PYTHONPATH": "lib:",
        "PYTHONWARNINGS": "error",
        "PYTHONHASHSEED": "1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONINSPECT": "1",
        "PYTHONIOENCODING": "utf-16",
        "PYTHONPROFILEIMPORTTIME": "1",
    },
    "odd": {"PWD": "/nowhere", "OLDPWD": "/", "NOT_TEXT": "caf\udce9", "A B": "\n", "": "no name"},
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", OPERATORS)
def test_environment_of_a_stage_is_the_operators(name: str, tmp_path: Path) -> None:
    """A stage gets only the operator's variables, given pairs, documented names and PWD.

    A variable without a name is the exception: no Python can pass it on.
    """
    operators = {**BARE, **OPERATORS[name]}
    printed = run(tmp_path, *PASSING, *PRINTER, "--manager-env", "GIVEN=é", env=operators)
    pairs = os.fsdecode(printed).removesuffix("\0").split("\0")
    seen = dict(pair.split("=", maxsplit=1) for pair in pairs)
    assert len(seen) == len(pairs)
    report = report_of(tmp_path / "out")
    token = seen.pop("ORCHESTRATOR_ATTEMPT_TOKEN")
    assert re.fullmatch(r"[0-9a-f]{32}", token)
    assert seen == {
        **{key: value for key, value in operators.items() if key},
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "GIVEN": "é",
        "PWD": str(tmp_path),
        "ORCHESTRATOR_RUN_ID": report["run_id"],
        "ORCHESTRATOR_STAGE": "manager",
        "ORCHESTRATOR_ATTEMPT": "1",
        "ORCHESTRATOR_OUTPUT_DIR": str(tmp_path / "out"),
        "ORCHESTRATOR_IDEMPOTENCY_KEY": report["stage_executions"][0]["idempotency_key"],
    }


@pytest.mark.parametrize("directory", ["place", "place/../place", "link", "link/../place/."])
def test_pwd_is_the_directory_of_the_stage(directory: str, tmp_path: Path) -> None:
    """PWD is the directory in which the stage starts, as a shell has it: without `..`."""
    (tmp_path / "place").mkdir()
    (tmp_path / "elsewhere/place").mkdir(parents=True)
    (tmp_path / "link").symlink_to("elsewhere/place")
    script = 'test "$PWD" -ef . && printf %s "$(/usr/bin/env pwd -L)"'
    options = (*shell("manager", script), "--manager-cwd", directory, "--manager-env", "PWD=/")
    printed = run(tmp_path, *PASSING, *options, env={**BARE, "PWD": "/nowhere"})
    expected = "link" if directory == "link" else "place"
    if directory.startswith("link/"):
        expected = "elsewhere/place"
    assert os.fsdecode(printed) == str(tmp_path / expected)


@pytest.mark.parametrize(
    ("order", "is_kept"), [(("A", "LC_CTYPE"), False), (("LC_CTYPE", "A"), True)]
)
def test_locale_that_python_has_set_is_known_without_proc(
    order: tuple[str, str], is_kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the first environment is unreadable, the variable added last was added by Python."""
    monkeypatch.setattr(isolation, "INITIAL_ENVIRONMENT", str(tmp_path / "nothing"))
    monkeypatch.delenv("LC_ALL", raising=False)
    for name in order:
        monkeypatch.delenv(name, raising=False)
    for name in order:
        monkeypatch.setenv(name, "C.UTF-8")
    isolation._undo_coercion()
    assert ("LC_CTYPE" in os.environ) == is_kept


def test_python_that_cannot_be_started_again_is_said() -> None:
    """No run continues in an interpreter that its surroundings have changed."""
    code = (
        "import os, sys; from fsm_orchestrator.cli import isolation;"
        "sys.executable = '/nowhere/python'; isolation.isolate(sys.argv[1]); print('went on')"
    )
    main_file = str(Path(fsm_orchestrator.__file__).with_name("__main__.py"))
    done = subprocess.run(
        [sys.executable, "-c", code, main_file],
        env={**BARE, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "isolated" in done.stderr
    assert "Traceback" not in done.stderr


def test_operators_own_name_of_the_directory_stays(tmp_path: Path) -> None:
    """A directory that the operator entered through a link keeps that name."""
    (tmp_path / "home/place").mkdir(parents=True)
    link = tmp_path / "link"
    link.symlink_to("home")
    options = (*PRINTER, "--executor-bin", "env", "--executor-arg", "-0", "--executor-cwd", "place")
    run(link, *PASSING, *options, env={**BARE, "PWD": str(link)})
    logs = link / "out/logs"
    assert f"\0PWD={link}\0".encode() in (logs / "manager.1.stdout.log").read_bytes()
    place = tmp_path / "home/place"
    assert f"\0PWD={place}\0".encode() in (logs / "executor.1.stdout.log").read_bytes()


@pytest.mark.one_in(3)
@pytest.mark.parametrize("command", [COMMAND, (sys.executable, SCRIPT)], ids=["module", "script"])
@pytest.mark.parametrize(
    "name", ["click.py", "typing.py", "json.py", "pydantic/__init__.py", "keeper.py", "_struct.py"]
)
def test_modules_that_lie_around_are_not_loaded(
    name: str, command: tuple[str, ...], tmp_path: Path
) -> None:
    """No file in the current directory, beside the stages or on PYTHONPATH is loaded."""
    if not SCRIPT.exists():
        pytest.skip("the command is not installed here")
    for folder in (tmp_path, tmp_path / "lib"):
        stray = folder / name
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_text(STRAY)
    words = tuple(map(str, command))
    assert started_with(run(tmp_path, *PASSING, *HOW, env=BARE, command=words)) == ()
    env = {**BARE, "PYTHONPATH": str(tmp_path / "lib")}
    if (
        name == "typing.py"
    ):  # an editable installation needs it before any module of this program is loaded
        return
    again = run(tmp_path, *PASSING, *HOW, env=env, command=words)
    assert started_with(again) == RESTARTED


def test_package_on_the_python_path_is_the_one_that_runs(tmp_path: Path) -> None:
    """A copy on PYTHONPATH or in the current directory runs instead of an installed one."""
    package = Path(fsm_orchestrator.__file__).parent
    shutil.copytree(package, tmp_path / "lib/fsm_orchestrator")
    constants = tmp_path / "lib/fsm_orchestrator/constants.py"
    constants.write_text(f'{constants.read_text()}\n__version__ = "9.9.9"\n')
    for name in ("click.py", "transitions.py"):
        (tmp_path / "lib" / name).write_text(STRAY)
    for cwd, path in ((tmp_path, "lib"), (tmp_path / "lib", "")):
        run(cwd, *PASSING, *PRINTER, env={**BARE, "PYTHONPATH": path})
        assert report_of(cwd / "out")["version"] == "9.9.9"


@pytest.mark.parametrize(
    ("missing", "options"),
    [
        ("click", ()),
        ("pydantic", ("--fixed-clock", "2026-01-02T03:04:05Z")),  # what it has to judge
    ],
)
def test_library_that_is_not_installed_is_a_designed_error(
    missing: str, options: Sequence[str], tmp_path: Path
) -> None:
    """A library that cannot be loaded is named, without a traceback or a bug message."""
    python = other_python(tmp_path / "other", **{missing: "import not_there_either"})
    done = subprocess.run(
        [python, "-m", "fsm_orchestrator", "out", *PASSING, *PRINTER, *options],
        cwd=tmp_path,
        env=BARE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "No module named 'not_there_either'" in done.stderr
    assert "install it again" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("variables", "is_restarted"),
    [
        ({}, False),
        ({"LANG": "C", "PYTHONUNBUFFERED": "1", "PYTHON_VERSION": "3.11"}, False),
        ({"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": ""}, False),
        ({"PYTHONPATH": "lib"}, True),
        ({"PYTHONWARNINGS": "error"}, True),
        ({"LC_ALL": "C", "PYTHONUTF8": "0"}, True),
    ],
)
def test_python_is_started_again_only_where_it_has_to_be(
    variables: Mapping[str, str], is_restarted: bool, tmp_path: Path
) -> None:
    """An environment that changes nothing in Python does not cost a second start."""
    printed = run(tmp_path, *PASSING, *HOW, env={**BARE, **variables})
    assert started_with(printed) == (RESTARTED if is_restarted else ())


@pytest.fixture(name="latin", scope="module")
def latin_locale(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Make a locale whose text is ISO 8859-1."""
    folder = tmp_path_factory.mktemp("locales")
    maker = shutil.which("localedef")
    made = maker and subprocess.run(
        [maker, "-i", "en_US", "-f", "ISO-8859-1", str(folder / "en_US.ISO-8859-1")],
        capture_output=True,
        check=False,
    )
    if not (folder / "en_US.ISO-8859-1").exists():
        pytest.skip(f"no other locale can be made here: {made}")
    return {"LOCPATH": str(folder), "LC_ALL": "en_US.ISO-8859-1"}


def test_locale_changes_no_argument(latin: Mapping[str, str], tmp_path: Path) -> None:
    """Arguments, paths and values given under one locale are the same when resumed in another."""
    probe = "import sys; sys.exit(sys.getfilesystemencoding() != 'iso8859-1')"
    env = {**BARE, **latin}
    assert subprocess.run([sys.executable, "-c", probe], env=env, check=False).returncode == 0
    home = tmp_path / "naïve ☃"
    home.mkdir()
    script = 'printf "%s|" "$@" "$GIVEN" "$PWD"; test "$ORCHESTRATOR_ATTEMPT" -gt 2'
    words = ("--manager-arg", "sh", "--manager-arg", "é☃", "--manager-env", "GIVEN=ü€")
    expected = f"é☃|ü€|{home}|".encode()
    first = (*PASSING, *shell("manager", script), *words)
    for number, (options, locale) in enumerate(
        [(first, latin), (("--resume",), {"LANG": "C.UTF-8"}), (("--resume",), latin)], start=1
    ):
        subprocess.run(
            [*COMMAND, "out", *options],
            cwd=home,
            env={**BARE, **locale, "XDG_STATE_HOME": str(tmp_path / "state")},
            capture_output=True,
            check=False,
        )
        assert (home / f"out/logs/manager.{number}.stdout.log").read_bytes() == expected
    report = report_of(home / "out")
    assert report["terminal_state"] == "done"
    assert report["stage_executions"][0]["args"][-1] == "é☃"
