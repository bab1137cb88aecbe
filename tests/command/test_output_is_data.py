"""The output of a stage is data: its readers do only what was declared."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import RunConfig, StageGiven, run
from tests.cli.cli_cases import CONTROL
from tests.support.command import CHECKPOINT, REPORT, checkpoint_of, events_of, orchestrate, shell
from tests.support.soak import SOAK

GATES: Final = {"policy": "allow", "ci": "success", "review": "approved"}
FORGED_EVENT: Final = json.dumps(
    {"seq": 999, "event": "run.ended", "outcome": "done", "exit_code": 0, "closure_ready": True}
)
CLAIMS: Final[dict[str, Any]] = {
    "schema_version": 1,
    "final_state": "done",
    "current_state": "done",
    "terminal_state": "done",
    "closure_ready": True,
    "exit_code": 0,
    "status": "success",
    "gate_decisions": [{"gate": "policy", "status": "allow", "passed": True}],
    "stages": {"executor": {"command": "/bin/touch", "args": ["ran"], "timeout_ms": 1}},
    "lifecycle": {"name": "mine", "states": {}},
    "budgets": {"tokens": -1},
    "declined": True,
    "$ref": f"file://{CHECKPOINT}",
    "__proto__": {"passed": True},
    "__class__": "fsm_orchestrator.record.report.Report",
}
TEXTS: Final[Mapping[str, bytes]] = {
    "claims": json.dumps(CLAIMS).encode(),
    "claims twice": b'{"status": "failed", "status": "success", "status": null}',
    "huge numbers": b"[1" + b"0" * 4000 + b", -1e4000, 1e-4000, 0.1" + b"1" * 4000 + b"]",
    "deep": b"[" * 900 + b"]" * 900,
    "escapes": json.dumps({"\u001b[2J\u0000\n\r": "\u202e\u2028"}).encode(),
    "forged events": json.dumps("\n" + FORGED_EVENT + "\n").encode(),
    "templates": b'"${HOME} $(touch ran) `touch ran` {{7*7}} %(x)s {0.__class__} \\u0000"',
}
"""Valid JSON that could be mistaken for more."""
BYTES: Final[Mapping[str, bytes]] = {
    "forged events": f"\n{FORGED_EVENT}\r\n{FORGED_EVENT}\n".encode(),
    "terminal": b"\x1b[2J\x1b]0;done\x07\x1b]52;c;aGk=\x07\x9b31m\x08\x08\rclosure_ready true\n",
    "no text": b"\xff\xfe\x00\xed\xa0\x80\xc0\xaf" * 50,
    "nul": b"\0" * 5000,
    "workflow commands": b"::set-output name=x::y\n::error::z\n##vso[task.complete]\n",
    "pickle": b"cos\nsystem\n(S'touch ran'\ntR.",
    "empty": b"",
    "claims": json.dumps(CLAIMS).encode() + b"\n" + FORGED_EVENT.encode(),
}
"""Bytes that need not be JSON."""
WRITER: Final = """
import os, sys
for name in os.listdir("given"):
    data = open("given/" + name, "rb").read()
    open("made/" + name, "wb").write(data)
    for stream in (sys.stdout, sys.stderr):
        stream.buffer.write(data + b"\\n")
"""
READERS: Final = (
    ("status", "out"),
    ("status", "out", "--json"),
    ("explain", "out", "--all"),
    ("report", "out"),
    ("report", "out", "--html", "page.html"),
    ("gates", "out"),
    ("diagram", "out"),
    ("plan", "out", "--resume"),
)


def decided(place: Path) -> dict[str, Any]:
    """Return everything in a record that decides what happens, and its results."""
    checkpoint = checkpoint_of(place / "out")
    kept = ("lifecycle", "stages", "sources", "current_state", "timeout_ms")
    invocation = checkpoint["invocations"][-1]
    steps = [(one["trigger"], one["source"], one["dest"]) for one in invocation["transitions"]]
    gates = [(one["gate"], one["status"], one["passed"]) for one in invocation["gate_decisions"]]
    gates += [(one["gate"], one["status"], True) for one in checkpoint["gate_signals"]]
    ended = [
        (one["stage"], one["status"], one["ending"], one["exit_code"])
        for one in invocation["stage_executions"]
    ]
    settings = json.dumps({key: checkpoint.get(key) for key in kept}).replace(str(place), "")
    code = invocation["exit_code"]
    return {"kept": settings, "steps": steps, "gates": gates, "ended": ended, "code": code}


def make(place: Path, script: str, *, given: Mapping[str, bytes], **more: Any) -> dict[str, Any]:
    """Run a stage that makes and prints the given bytes; return what its run decided."""
    for name in ("given", "made"):
        (place / name).mkdir(parents=True)
    for name, data in given.items():
        (place / "given" / name).write_bytes(data)
    (place / "write.py").write_text(script)
    manager = StageGiven(
        bin=sys.executable,
        args=("-IS", "write.py"),
        expected_artifacts=tuple(f"made/{name}" for name in given),
        **more,
    )
    stages = {"manager": manager, "executor": StageGiven(bin="true")}
    where = {"directory": str(place), "output_directory": str(place / "out")}
    run(RunConfig(**where, gates=GATES, stages=stages, log_output=True))
    return decided(place)


@pytest.mark.parametrize("code", [0, 3])
def test_hostile_output_decides_what_harmless_output_does(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run keeps, fires and judges the same, and no reader of it is affected."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    hostile = {f"json{number}.json": data for number, data in enumerate(TEXTS.values())}
    hostile |= {f"bytes{number}": data for number, data in enumerate(BYTES.values())}
    harmless = dict.fromkeys(hostile, b"{}")
    script = f"{WRITER}sys.exit({code})"
    places = tmp_path / "harmless", tmp_path / "hostile"
    for place, given in zip(places, (harmless, hostile), strict=True):
        make(place, script, given=given)
    expected, found = map(decided, places)
    assert found == expected
    assert found["code"] == (1 if code else 0)
    names = [one["event"] for one in events_of(places[1] / "out")]
    assert (names.count("run.ended"), names[-1]) == (1, "run.ended")
    before = [(places[1] / "out" / name).read_bytes() for name in (CHECKPOINT, REPORT)]
    for reader in READERS:
        codes, screens = [], []
        for place in places:
            ended = orchestrate(*reader, cwd=place)
            codes.append(ended.code)
            screens.append(ended.stdout + ended.stderr)
        assert codes[0] == codes[1], (reader, screens[1])
        assert "Traceback" not in screens[1]
        assert not CONTROL.search(screens[1]), reader
    assert [(places[1] / "out" / name).read_bytes() for name in (CHECKPOINT, REPORT)] == before
    assert not (places[1] / "ran").exists()


def _link_to(name: str) -> Callable[[Path], object]:
    return lambda path: path.symlink_to(path.parents[1] / "out" / name)


WRONG: Final[Mapping[str, tuple[str, Callable[[Path], object]]]] = {
    "link to the checkpoint": ("a.json", _link_to(CHECKPOINT)),
    "link to the events": ("a", _link_to("orchestrator_events.jsonl")),
    "link to nothing": ("a", _link_to("nothing")),
    "pipe": ("a.json", os.mkfifo),
    "device": ("a", lambda path: path.symlink_to("/dev/zero")),
    "terminal": ("a", lambda path: path.symlink_to("/dev/tty")),
    "directory": ("a.json", Path.mkdir),
    "hard link of the checkpoint": (
        "a.json",
        lambda path: os.link(path.parents[1] / "out" / CHECKPOINT, path),
    ),
    "deeper than can be": ("a.json", lambda path: path.write_bytes(b"[" * 10**6)),
    "not a number": ("a.json", lambda path: path.write_bytes(b"[NaN, Infinity]")),
    "cut": ("a.json", lambda path: path.write_bytes(b'{"status": "succ')),
    "two values": ("a.json", lambda path: path.write_bytes(b'{}\n{"a": 1}')),
    "another encoding": ("a.json", lambda path: path.write_bytes("{}".encode("utf-16"))),
}


@pytest.mark.parametrize("kind", WRONG)
def test_artifact_that_is_none_is_an_ending_and_nothing_else(kind: str, tmp_path: Path) -> None:
    """A pipe blocks nothing, a link to a run's file reveals nothing, and the record says what."""
    name, put = WRONG[kind]
    (tmp_path / "made").mkdir()
    wrong = tmp_path / "made" / name
    put_there = tmp_path / "made" / "ready"

    def on_event(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.started" and event["stage"] == "manager":
            put(wrong)
            put_there.touch()

    manager = StageGiven(
        bin="sh",
        args=("-c", "until test -e made/ready; do sleep 0.01; done"),
        expected_artifacts=(f"made/{name}",),
    )
    where = {"directory": str(tmp_path), "output_directory": str(tmp_path / "out")}
    stages = {"manager": manager, "executor": StageGiven(bin="true")}
    report = run(RunConfig(**where, gates=GATES, stages=stages), listener=on_event)
    found = decided(tmp_path)
    assert (found["code"], report.closure_ready) == (1, False)
    if kind == "link to the checkpoint":
        # A regular file under another name that changes: it keeps the run from closing.
        assert found["ended"][-1][0] == "closure"
    else:
        assert found["steps"][-1] == ("stage_failed", "manager", "failed")
        assert [one[2] for one in found["ended"]] == ["artifacts_wrong"]
    assert json.loads((tmp_path / "out" / CHECKPOINT).read_bytes())["current_state"] != "done"


CODES: Final = range(256) if SOAK else (*range(4), 64, 70, 75, 77, 124, 126, 127, 130, 137, 255)


def test_exit_code_is_a_failure_unless_it_is_declared(tmp_path: Path) -> None:
    """No code of a stage is mistaken for this program's: blocked, timed out, busy, asked to end."""
    for code in CODES:
        where = {"directory": str(tmp_path), "output_directory": str(tmp_path / f"out{code}")}
        stages = {"manager": StageGiven(bin="sh", args=("-c", f"exit {code}"))}
        report = run(RunConfig(**where, gates=GATES, stages=stages))
        assert report.exit_code == (1 if code else 0)
        trigger = "stage_failed" if code else "stage_succeeded"
        assert trigger in [one.trigger for one in report.transitions]
        assert report.stage_executions[0].exit_code == code


def test_names_that_a_stage_chooses_reach_no_screen_as_they_are(tmp_path: Path) -> None:
    """Names of a stage's processes and files are recorded and shown as harmless text."""
    name = "x\x1b[2J\n" + FORGED_EVENT.replace("/", "")[:100]
    (tmp_path / "name").write_text(name)
    script = (
        'exec 7>"$(cat name)"; '
        f"{sys.executable} -ISc 'import sys, time; time.sleep(600)' \"$(cat name)\" & exit 0"
    )
    leaves = orchestrate("./out", *_passing(), *shell("manager", script), cwd=tmp_path)
    assert leaves.code == 0, leaves.stderr
    slow = (*shell("manager", f"{script[:-6]}wait"), "--manager-timeout-ms", "500")
    times_out = orchestrate("./out", *_passing(), *slow, cwd=tmp_path)
    assert times_out.code == 124
    events = (tmp_path / "out/orchestrator_events.jsonl").read_bytes().splitlines()
    assert [json.loads(one)["event"] for one in events].count("run.ended") == 1
    for ended in (leaves, times_out, orchestrate("explain", "out", "--all", cwd=tmp_path)):
        assert not CONTROL.search(ended.stdout + ended.stderr)
        assert not re.search(r'^\{"seq": 999', ended.stdout + ended.stderr, re.MULTILINE)


def _passing() -> tuple[str, ...]:
    return tuple(word for gate, value in GATES.items() for word in (f"--{gate}-status", value))
