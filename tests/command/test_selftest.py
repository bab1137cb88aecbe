"""`selftest`: its verdicts on a good place, and on a bad one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.command import Ended, orchestrate
from tests.support.other_python import other_python

CHECKS = (
    *("lock", "atomic replacement", "fsync", "fresh artifacts", "containment"),
    "kill and resume",
)
SABOTAGE = {
    "lock": "import fcntl; fcntl.flock = lambda *_: None",
    "atomic replacement": """\
import os, time
def replace(source, dest, replace=os.replace, **within):
    if str(dest).endswith("content"):
        data = open(source, "rb").read()
        with open(dest, "wb") as file:
            file.write(data[:1000]); file.flush(); time.sleep(0.01); file.write(data[1000:])
        os.unlink(source)
    else:
        replace(source, dest, **within)
os.replace = replace
""",
    "fsync": """\
import errno, os
def fsync(descriptor):
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
os.fsync = fsync
""",
    "fresh artifacts": """\
import os, pathlib
def chmod(self, mode, chmod=pathlib.Path.chmod):
    chmod(self, mode)
    os.utime(self)
pathlib.Path.chmod = chmod
""",
    # The last run is killed when a stage is complete, however fast or slow the machine is.
    "kill and resume": """\
import sys
if "--resume" in sys.orig_argv:
    (output,) = (word for word in sys.orig_argv if "/killed-" in word)
    with open(output + ".notes", "a") as notes:
        notes.write("manager ended\\nexecutor ended\\n")
""",
}


def selftest(tmp_path: Path, *options: str, sabotage: str = "") -> Ended:
    """Run the command in a Python in which something does not do what it should."""
    python = other_python(tmp_path / "sabotage", sitecustomize=sabotage)
    return orchestrate("selftest", *options, cwd=tmp_path, python=python)


def test_promises_hold_here_and_nothing_is_left(tmp_path: Path) -> None:
    """Each check is printed with its verdict, exit code 0, and the scratch directory is gone."""
    ended = selftest(tmp_path, "./out", "--kills", "2")
    assert ended.code == 0, ended.stdout
    lines = ended.stdout.splitlines()
    checks = [line for line in lines[:-2] if not line.startswith("   ")]
    assert [line.split(maxsplit=1)[1][:18].strip() for line in checks] == list(CHECKS)
    assert {line[:2].strip() for line in checks} <= {"✓", "ok", "!"}
    assert "broken" not in ended.stdout
    assert "of 2 runs killed at work and resumed" in checks[5]
    assert re.match("(✓|ok|!) the promises hold here", lines[-1])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", SABOTAGE)
def test_broken_promise_is_seen(name: str, tmp_path: Path) -> None:
    """The failed promise is called broken, the exit code is 1, and the named evidence stays."""
    ended = selftest(tmp_path, "./out", "--kills", "1", "--json", sabotage=SABOTAGE[name])
    document = json.loads(ended.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert tuple(checks) == CHECKS
    assert checks[name]["verdict"] == "broken", document
    assert (ended.code, document["holds"]) == (1, False)
    left = checks[name]["detail"].rpartition("(left in ")[2].rstrip(")")
    assert Path(left).is_dir()


def test_screen_says_which_promise_is_broken(tmp_path: Path) -> None:
    """The broken promise has its own mark and word, and the last line says what not to do."""
    ended = selftest(tmp_path, "./out", "--kills", "1", sabotage=SABOTAGE["lock"])
    assert re.search("^[✗x] +lock +broken: two processes had the lock", ended.stdout, re.MULTILINE)
    assert re.search("^[✗x] do not keep runs here: lock failed$", ended.stdout, re.MULTILINE)
    assert len(re.findall("^(?:✓|ok) +", ended.stdout, re.MULTILINE)) >= 3


def test_run_in_the_directory_is_not_touched(tmp_path: Path) -> None:
    """A directory with a run in it can be checked, and its files stay unchanged."""
    assert orchestrate("./out", cwd=tmp_path).code == 3
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert selftest(tmp_path, "./out", "--kills", "1").code == 0
    after = {path: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert after == before


def test_directory_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    """The directory is named with the reason, and no promise is reported to hold."""
    (tmp_path / "out").touch()
    ended = selftest(tmp_path, "./out")
    assert (ended.code, ended.stdout) == (2, "")
    assert "cannot write in" in ended.stderr
