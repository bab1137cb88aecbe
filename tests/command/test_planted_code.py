"""A stage that writes where the interpreter finds its modules: the orchestrator runs none of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Final

import psutil
import pytest

import fsm_orchestrator
from fsm_orchestrator.disk import unchanged
from tests.gates.evidence_cases import config_with
from tests.gates.policy_cases import REGO, without_opa
from tests.support.command import PASSING, environment, report_of, shell
from tests.support.soak import SOAK

pytestmark = pytest.mark.one_in(2)

ON_LINUX: Final = pytest.mark.skipif(sys.platform != "linux", reason="the stamps are Linux's")
EVIL: Final = 'open("$HERE/ran", "a").write("planted code ran\\n")'
"""The planted code, as a shell quotes it."""
PLANTED: Final[Mapping[str, str]] = {
    # The stage writes beside a copy of psutil, which is loaded when the stage's time is up.
    "changed": f"echo '{EVIL}' | sed \"s:.HERE:$HERE:\" >> $LIB/psutil/__init__.py",
    "changed below": f"echo '{EVIL}' | sed \"s:.HERE:$HERE:\" >> $LIB/psutil/_common.py",
    "with its time put back": (
        f"echo '{EVIL}' | sed \"s:.HERE:$HERE:\" > x; cat x >> $LIB/psutil/_common.py;"
        " touch -d 2001-01-01 $LIB/psutil/_common.py"
    ),
    "replaced": "mv $HERE/old/psutil/_common.py $LIB/psutil/_common.py",
    "linked over": "ln -f $HERE/old/psutil/_common.py $LIB/psutil/_common.py",
    "linked over softly": "ln -sf $HERE/old/psutil/_common.py $LIB/psutil/_common.py",
    "folder replaced": "mv $LIB/psutil $LIB/gone; mv $HERE/old/psutil $LIB/psutil",
    "folder linked over": "mv $LIB/psutil $LIB/gone; ln -s $HERE/old/psutil $LIB/psutil",
    "all replaced": "mv $LIB $LIB.gone; mv $HERE/old $LIB",
    "all linked over": "mv $LIB $LIB.gone; ln -s $HERE/old $LIB",
    "bytecode": "rm $LIB/psutil/_common.py; cp $HERE/old/psutil/_common.pyc $LIB/psutil/",
    "put before it": (
        "for one in base64 glob hmac resource zoneinfo; do"
        " cp $HERE/old/psutil/_common.py $LIB/$one.py; done"
    ),
}


@pytest.fixture(name="lib")
def environment_of_packages(tmp_path: Path) -> Path:
    """Make a folder with psutil that comes first, and an old one in which it is another's."""
    lib, package = tmp_path / "lib", Path(psutil.__file__).parent
    for folder in (lib, tmp_path / "old"):
        leave_out = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(package, folder / "psutil", ignore=leave_out)
    evil = tmp_path / "old/psutil/_common.py"
    with evil.open("a") as file:
        file.write(EVIL.replace("$HERE", str(tmp_path)) + "\n")
    code = f"import py_compile as p; p.compile({str(evil)!r}, cfile={str(evil) + 'c'!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    return lib


def run(lib: Path, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command with the packages of a folder before all others."""
    code = f"import sys; sys.path.insert(0, {str(lib)!r});"
    code += "from fsm_orchestrator.__main__ import start; start()"
    return subprocess.run(
        [sys.executable, "-I", "-c", code, "out", *options],
        cwd=lib.parent,
        env=environment(LIB=str(lib), HERE=str(lib.parent), **env),
        capture_output=True,
        text=True,
        check=False,
    )


def overrun(lib: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run a stage that takes too long once it has done its harm."""
    limit = ("--manager-timeout-ms", "700", "--manager-kill-grace-ms", "100")
    return run(lib, *PASSING, *shell("manager", f"{script}\nsleep 600"), *limit)


@ON_LINUX
@pytest.mark.parametrize("plant", PLANTED if SOAK else [*PLANTED][1::3])
def test_planted_module_is_not_loaded(plant: str, lib: Path, tmp_path: Path) -> None:
    """A timeout does not become a success: the run fails and names the file."""
    ended = overrun(lib, PLANTED[plant])
    assert not (tmp_path / "ran").exists()
    assert (ended.returncode, "Traceback" in ended.stderr) == (1, False), ended.stderr
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    failure = report["stage_executions"][-1]
    assert (failure["command"], failure["ending"]) == ("control.verify", "control_tampered")
    assert f"{tmp_path}/" in failure["error"]
    assert "was changed or put there while the run was at work" in failure["error"]


@ON_LINUX
@pytest.mark.parametrize(
    "harmless",
    [
        "true",
        "mkdir -p $LIB/another $LIB/psutil.dist; touch $LIB/another.py",
        # Installers do so when many environments share one copy.
        "cp -al $LIB/psutil elsewhere",
        "python3 -m compileall -q $LIB/psutil; chmod -R go-w $LIB/psutil",
    ],
)
def test_what_is_as_it_was_installed_is_loaded(harmless: str, lib: Path, tmp_path: Path) -> None:
    """More files, names and bytecode beside a module do not count as changes of it."""
    record = distribution("psutil").locate_file(f"psutil-{psutil.__version__}.dist-info/RECORD")
    (lib / "psutil-1.dist-info").mkdir()
    shutil.copy(str(record), lib / "psutil-1.dist-info/RECORD")
    ended = overrun(lib, harmless)
    assert ended.returncode == 124, ended.stderr
    assert report_of(tmp_path / "out")["terminal_state"] == "timeout"


@ON_LINUX
def test_list_of_what_was_installed_is_not_the_stage_s(lib: Path, tmp_path: Path) -> None:
    """A list that names the digest of planted code is itself newer than the run."""
    (lib / "psutil-1.dist-info").mkdir()
    (lib / "psutil-1.dist-info/RECORD").write_text("")
    script = (
        "cp $HERE/old/psutil/_common.py $LIB/psutil/; python3 -c 'import base64, hashlib, os;"
        ' lib = os.environ["LIB"]; data = open(lib + "/psutil/_common.py", "rb").read();'
        " digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode();"
        ' open(lib + "/psutil-1.dist-info/RECORD", "w").write('
        '"psutil/_common.py,sha256=" + digest.rstrip("=") + ",1\\n")\''
    )
    assert overrun(lib, script).returncode == 1
    assert "_common.py,sha256=" in (lib / "psutil-1.dist-info/RECORD").read_text()
    assert not (tmp_path / "ran").exists()


ANOTHER_KEEPER: Final = """
import os, sys
sys.path.insert(0, sys.argv[1])
from fsm_orchestrator.processes.held_code import COMMAND
from fsm_orchestrator.gates.sources.helper import run_helper
from fsm_orchestrator.processes.interrupts import Interrupts
from fsm_orchestrator.processes.runner import ProcessRunner
runner = ProcessRunner(Interrupts(), code=COMMAND)
script = "cd $LIB/fsm_orchestrator/processes; " + sys.argv[2] + "; kill -KILL $PPID; sleep 9"
for words in (["sh", "-c", script], ["true"]):
    end = run_helper(runner, words, dict(os.environ), timeout_ms=9000, output_bytes=99).end
    print(type(end).__name__, flush=True)
"""


@ON_LINUX
@pytest.mark.parametrize(
    "change", ["echo >> freezing.py", "mv keeper.py x; cp x keeper.py", "true"]
)
def test_next_keeper_is_what_the_first_was(change: str, lib: Path) -> None:
    """A program that kills its keeper and rewrites the code gets no second keeper."""
    shutil.copytree(Path(fsm_orchestrator.__file__).parent, lib / "fsm_orchestrator")
    done = subprocess.run(
        [sys.executable, "-I", "-c", ANOTHER_KEEPER, str(lib), change],
        env=environment(LIB=str(lib)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["Lost", *(["Exited"] if change == "true" else [])], done.stderr
    assert ("ChangedCodeError" in done.stderr) == (change != "true")


def test_what_was_there_is_read_wherever_it_lies(tmp_path: Path) -> None:
    """Planted code outside the directories of modules is not loaded either."""
    (tmp_path / "code.py").write_text("x = 1\n")
    since = unchanged.Since(2**63 - 1, {str(tmp_path): (os.stat(tmp_path).st_dev, 0)})
    with pytest.raises(ImportError, match="was changed or put there"):
        unchanged._read(str(tmp_path / "code.py"), since, ImportError)
    inode = os.stat(tmp_path).st_ino
    since = since._replace(ns=2**63, places={str(tmp_path): (os.stat(tmp_path).st_dev, inode)})
    assert unchanged._read(str(tmp_path / "code.py"), since, ImportError) == b"x = 1\n"
    with pytest.raises(ImportError, match="No such file"):
        unchanged._read(str(tmp_path / "gone.py"), since, ImportError)
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(ImportError, match="was changed or put there"):
        unchanged._read(str(tmp_path / "pipe.py"), since, ImportError)


ENGINE: Final = """
class Engine:
    def add_policy(self, name, text): pass
    def set_input_json(self, text): self.text = text
    def eval_query(self, query):
        return {"result": [{"expressions": [{"value": "gates" in self.text}]}]}
"""


@ON_LINUX
@pytest.mark.parametrize(
    ("planted", "code"),
    [("true", 0), ("fsm_orchestrator/gates/sources/judge_child.py", 0), ("regorus.py", 3)],
)
def test_policy_is_judged_by_what_was_there(
    planted: str, code: int, lib: Path, tmp_path: Path
) -> None:
    """The process that judges a gate again runs no code that a stage wrote."""
    shutil.copytree(Path(fsm_orchestrator.__file__).parent, lib / "fsm_orchestrator")
    states = Path(fsm_orchestrator.__file__).parents[1] / "states"
    if not (lib / "fsm_orchestrator/states").exists():
        shutil.copytree(states, lib / "fsm_orchestrator/states")
    (lib / "regorus.py").write_text(ENGINE)
    (tmp_path / "release.rego").write_text("package release\n")
    config_with(tmp_path, REGO, gate="policy")
    script = f"echo '{EVIL}' | sed \"s:.HERE:$HERE:\" > x; cat x >> $LIB/{planted}"
    words = ("--config", "run.toml", *shell("executor", script if code or "/" in planted else ":"))
    ended = run(lib, *words, PATH=without_opa(tmp_path)["PATH"])
    assert not (tmp_path / "ran").exists()
    assert ended.returncode == code, ended.stderr
    decision = report_of(tmp_path / "out")["gate_decisions"][0]
    assert decision["evidence"]["problem"] == ("engine_error" if code else None), decision


@ON_LINUX
def test_command_of_a_gate_plants_nothing_either(lib: Path, tmp_path: Path) -> None:
    """The code is secured before the first program of any kind starts."""
    plant = "cp $HERE/old/psutil/_common.py $LIB/psutil/"
    config_with(tmp_path, f'command = ["sh", "-c", "{plant}"]')
    limit = ("--manager-timeout-ms", "700", "--manager-kill-grace-ms", "100")
    ended = run(lib, "--config", "run.toml", *shell("manager", "sleep 600"), *limit)
    assert not (tmp_path / "ran").exists()
    assert ended.returncode == 1, ended.stderr
    failure = report_of(tmp_path / "out")["stage_executions"][-1]
    assert failure["ending"] == "control_tampered"
    assert "psutil/_common.py was changed" in failure["error"]


@ON_LINUX
def test_stage_plants_nothing_for_those_beside_it(lib: Path, tmp_path: Path) -> None:
    """The code is secured for all members before the first of a group starts."""
    plant = shell("unit-tests", "cp $HERE/old/psutil/_common.py $LIB/psutil/; sleep 600")
    limits = ("--timeout", "1500ms", "--kill-grace", "100ms", "--lifecycle", "checked_run")
    ended = run(lib, *PASSING, *limits, *plant)
    assert not (tmp_path / "ran").exists()
    assert ended.returncode == 1, ended.stderr
    endings = [one["ending"] for one in report_of(tmp_path / "out")["stage_executions"]]
    assert endings[-1] == "control_tampered", endings
