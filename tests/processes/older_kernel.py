"""Run as root on an older kernel: prints what is promised there, and what of it can be broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fsm_orchestrator.model.promises import Promise
from fsm_orchestrator.processes import cage, landlock
from tests.processes.test_cage import OPEN, OTHERS, READS, SIGNALS, SOCKETS, WRITES, Ground

USER = 1000
TRUNCATES = ("truncate outside", "truncate outside by reading")
TRIED: dict[Promise, tuple[str, ...]] = {
    Promise.WRITE: tuple(one for one in WRITES if one not in TRUNCATES),
    Promise.TRUNCATE: TRUNCATES,
    Promise.READ: tuple(READS),
    Promise.CONNECT: (*SOCKETS, "connect to another port"),
    Promise.BIND: ("bind a port",),
    Promise.SIGNALS: tuple(SIGNALS),
    Promise.ABSTRACT_SOCKETS: ("reach an abstract socket",),
    Promise.INSPECTION: tuple(one for one in OTHERS if one not in SIGNALS),
    Promise.NAMESPACES: ("make a user namespace", "mount", "change the root"),
}
HOGS = "x = bytearray(200 << 20)\nfor at in range(0, len(x), 4096): x[at] = 1\nimport time\n"


def become(uid: int) -> None:
    """Become another user permanently."""
    if uid:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)


def as_user(uid: int, work: Callable[[], Any]) -> Any:
    """Return the result of `work` as a user, in a separate process."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            become(uid)
            os.write(writer, json.dumps(work()).encode())
        except BaseException as error:  # noqa: BLE001 - told to who waits
            os.write(writer, json.dumps({"error": repr(error)}).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        text = said.read()
    os.waitpid(child, 0)
    return json.loads(text)


def confined(place: Path) -> dict[str, Any]:
    """Try everything from a cage that is asked for all; return what held, and what was broken."""
    place.mkdir()
    ground = Ground(place)
    try:
        order = OPEN._replace(
            write=(str(ground.inside), "/dev/null"),
            read=("/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys", "/guest", sys.prefix),
            connect=(),
            bind=(),
            is_scoped=True,
        )
        held = [
            one.decode() for one in cage.held_by(cage.Order(list(map(os.fsencode, order.fields))))
        ]
        found = ground.probe(order)
    finally:
        ground.close()
    return {
        "held": held,
        "broken": [
            name
            for promise, names in TRIED.items()
            if promise.value in held
            for name in names
            if found[name] == "ok"
        ],
        "open": [name for names in TRIED.values() for name in names if found[name] == "ok"],
    }


def command(place: Path, *options: str, scope: str = "") -> dict[str, Any]:
    """Run a stage by the command; return its exit code and the record of the stage.

    With a `scope` the user runs it, alone in a cgroup that was delegated to that user.
    """
    place.mkdir(exist_ok=True)
    if scope:
        os.chown(place, USER, USER)
    cgroup = delegated(scope) if scope else None

    def enter() -> None:
        if cgroup is not None:
            (cgroup / "cgroup.procs").write_text(str(os.getpid()))
            become(USER)

    gates = ("--policy-status", "allow", "--ci-status", "success", "--review-status", "approved")
    program = "import sys; sys.path.insert(0, '/guest'); import runpy;"
    program += "runpy.run_module('fsm_orchestrator', run_name='__main__', alter_sys=True)"
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, "out", *gates, *options],
        cwd=place,
        env={**os.environ, "XDG_STATE_HOME": str(place / "state")},
        capture_output=True,
        text=True,
        preexec_fn=enter,
        check=False,
    )
    left = [] if cgroup is None else [one.name for one in cgroup.glob("fsm-stage-*")]
    try:
        report = json.loads((place / "out/orchestrator_run_report.json").read_text())
    except OSError:
        return {"code": done.returncode, "said": done.stderr[-2000:]}
    return {"code": done.returncode, "stage": report["stage_executions"][0], "left": left}


def python(code: str) -> tuple[str, ...]:
    """Return the options of a stage that runs Python code."""
    own = ("--manager-arg=-IS", "--manager-arg=-c", f"--manager-arg={code}")
    return ("--manager-bin", sys.executable, *own)


def delegated(name: str) -> Path:
    """Make a cgroup in which the user may make others."""
    top = Path("/sys/fs/cgroup")
    (top / "cgroup.subtree_control").write_text("+memory +pids")
    place = top / name
    place.mkdir()
    for one in (place, place / "cgroup.procs", place / "cgroup.subtree_control"):
        os.chown(one, USER, USER)
    return place


FORKS = "import os, time\nfor _ in range(40): os.fork() or time.sleep(60)"
ESCAPES = "import os, time; os.fork() or os.setsid(); os.kill(os.getppid(), 9); time.sleep(60)"
COUNTED = {
    "memory": (*python(HOGS), "--manager-memory-max", "60MiB"),
    "processes": (*python(FORKS), "--manager-processes-max", "5"),
    "killed": (*python(ESCAPES), "--manager-memory-max", "60MiB"),
    "good": (*python("print(1)"), "--manager-memory-max", "60MiB"),
}
"""The stages to run in a delegated cgroup, and their limits."""


def main() -> None:
    """Print everything as one line of JSON."""
    os.environ["TMPDIR"] = "/tmp"
    found = {
        "release": os.uname().release,
        "abi": landlock.version(),
        "root": as_user(0, lambda: confined(Path("/tmp/root"))),
        "user": as_user(USER, lambda: confined(Path("/tmp/user"))),
        "required": as_user(
            USER, lambda: command(Path("/tmp/required"), *python("1"), "--manager-signals", "own")
        ),
        **{
            name: command(Path("/tmp", name), *options, scope=name)
            for name, options in COUNTED.items()
        },
    }
    sys.stdout.write("\nfound " + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
