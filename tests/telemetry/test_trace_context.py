"""TRACEPARENT in and out: what is accepted, what stages get, and what nothing compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import Report, RunConfig, resume
from fsm_orchestrator.model.trace import (
    own_trace,
    parent_in,
    span_of_attempt,
    span_of_invocation,
    state_in,
)
from tests.support.command import checkpoint_of, orchestrate
from tests.telemetry.telemetry_cases import CALLER, PARENT, TRACE, made, told

BROKEN: Final = {
    "no version": PARENT[3:],
    "version ff": f"ff{PARENT[2:]}",
    "no trace": f"00-{'0' * 32}-{CALLER}-01",
    "no span": f"00-{TRACE}-{'0' * 16}-01",
    "short trace": f"00-{TRACE[1:]}-{CALLER}-01",
    "upper case": PARENT.upper(),
    "no flags": PARENT[:-3],
    "more than version 00 has": f"{PARENT}-more",
    "a line break": f"{PARENT}\n",
    "a space": f" {PARENT}",
    "not hexadecimal": PARENT.replace("a", "g"),
    "anything": "yes",
}
STATES: Final = {
    "a=b": True,
    "a=b,c=d": True,
    "a=b , c=d": True,
    "tenant@system=1": True,
    "a=b,,c=d": True,
    "": False,
    "a": False,
    "A=b": False,
    "a=b,a=c": False,
    "a=b=c": False,
    "a=\x01": False,
    f"a={'x' * 300}": False,
    ",".join(f"k{number}=v" for number in range(33)): False,
    ",".join(f"key{number}={'v' * 40}" for number in range(20)): False,
}


def test_what_names_a_trace() -> None:
    """The rules of W3C decide; additions of a later version and unknown flags are left out."""
    assert [name for name, text in BROKEN.items() if parent_in({"TRACEPARENT": text})] == []
    for text, flags in {
        PARENT: "01",
        f"00-{TRACE}-{CALLER}-00": "00",
        f"00-{TRACE}-{CALLER}-03": "03",
        f"00-{TRACE}-{CALLER}-fc": "00",
        f"cc-{TRACE}-{CALLER}-01": "01",
        f"cc-{TRACE}-{CALLER}-01-what-comes": "01",
    }.items():
        trace = parent_in({"TRACEPARENT": text})
        assert trace is not None, text
        assert (trace.trace_id, trace.parent_id, trace.flags) == (TRACE, CALLER, flags), text
        assert trace.parent_of(CALLER) == f"00-{TRACE}-{CALLER}-{flags}"


def test_what_is_a_state() -> None:
    """A state is a list of members, each key once, of a length that everybody passes on."""
    found = {text: state_in({"TRACESTATE": text}) is not None for text in STATES}
    assert found == STATES


def test_ids_are_those_of_every_version() -> None:
    """Ids of a run never change between releases, because its traces meet through them."""
    assert own_trace("run").parent_of(span_of_attempt("run", 1, "manager", 1)) == (
        "00-5556da64c52446c88f0afcff6dc5c04e-976e9985cdd9b3bf-01"
    )


def started_with(folder: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> Report:
    """Make a run whose manager records its environment."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    asked = {"telemetry": bool(variables.pop("IS_SHOWN", ""))}
    inherit = variables.get("INHERIT", "all")
    settings: dict[str, Any] = {"manager": {"env_inherit": inherit}}
    if inherit == "confined":
        confine = {"write": (str(folder / "made"),), "require": False}
        settings = {"manager": {"env_inherit": "minimal", "confine": confine}}
    (folder / "made").mkdir()
    stages = {"manager": "env > made/env", "executor": "true"}
    return made(folder, stages, settings=settings, **asked)


def variables_in(folder: Path) -> dict[str, str]:
    """Return the trace variables that the manager of a run got."""
    pairs = (line.split("=", 1) for line in (folder / "made" / "env").read_text().splitlines())
    names = {"TRACEPARENT", "TRACESTATE", "BAGGAGE"}
    return {name: value for name, value in (one for one in pairs if len(one) == 2) if name in names}


def test_plain_run_tells_its_stages_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither stages nor record of a plain run have a trace; unrelated variables are passed on."""
    report = started_with(tmp_path, monkeypatch, TRACESTATE="a=b", BAGGAGE="k=v")
    assert variables_in(tmp_path) == {"TRACESTATE": "a=b", "BAGGAGE": "k=v"}
    assert '"trace"' not in (tmp_path / "out" / "orchestrator_checkpoint.json").read_text()
    assert report.warnings == ()


@pytest.mark.parametrize("inherit", ["all", "minimal", "confined"])
def test_caller_s_trace_reaches_the_stages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inherit: str
) -> None:
    """Stages get the caller's state and baggage unchanged, and their own span."""
    report = started_with(
        tmp_path,
        monkeypatch,
        TRACEPARENT=PARENT,
        TRACESTATE="a=b",
        BAGGAGE="k=v",
        INHERIT=inherit,
    )
    span = span_of_attempt(report.run_id, 1, "manager", 1)
    assert variables_in(tmp_path) == {
        "TRACEPARENT": f"00-{TRACE}-{span}-01",
        "TRACESTATE": "a=b",
        "BAGGAGE": "k=v",
    }
    assert report.origin is not None
    assert report.origin.trace is not None
    assert report.origin.trace.parent_id == CALLER


def test_command_of_a_gate_is_told_the_span_of_the_invocation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gate's command gets the invocation's span if the run has a trace or is sent."""
    command = ("/bin/sh", "-c", 'echo "$TRACEPARENT|$TRACESTATE" >> told')
    source = {"command": command, "directory": str(tmp_path)}
    asked: dict[str, Any] = {
        "gates": {"policy": "allow", "ci": "success"},
        "sources": {"review": source},
    }
    for name, parent, state in (
        ("plain", "", ""),
        ("called", PARENT, "a=b"),
        ("broken", "none", "c=d"),
    ):
        monkeypatch.setenv("TRACEPARENT", parent)
        monkeypatch.setenv("TRACESTATE", state)
        made(tmp_path, run_id=name, **asked)
    own = own_trace("broken").parent_of(span_of_invocation("broken", 1))
    called = f"00-{TRACE}-{span_of_invocation('called', 1)}-01"
    assert (tmp_path / "told").read_text().splitlines() == ["|", f"{called}|a=b", f"{own}|"]


def test_broken_trace_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run warns without showing the value, and its stages get a valid trace."""
    report = started_with(tmp_path, monkeypatch, TRACEPARENT="s3cret", TRACESTATE="a=b")
    (warning,) = report.warnings
    assert "TRACEPARENT" in warning
    assert "s3cret" not in warning
    own = own_trace(report.run_id).parent_of(span_of_attempt(report.run_id, 1, "manager", 1))
    assert variables_in(tmp_path) == {"TRACEPARENT": own}


def test_broken_state_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An invalid state is left out, and the trace itself counts."""
    report = started_with(tmp_path, monkeypatch, TRACEPARENT=PARENT, TRACESTATE="nothing")
    assert ["TRACESTATE" in one for one in report.warnings] == [True]
    assert variables_in(tmp_path).keys() == {"TRACEPARENT"}


def test_secret_state_is_not_kept(tmp_path: Path) -> None:
    """A state that has a declared secret stays out of the record."""
    run = ("./out", "--manager-bin", "true", "--manager-secret", "KEY", "--run-id", "r1")
    env = {"TRACEPARENT": PARENT, "TRACESTATE": "a=s3cret-of-mine", "KEY": "s3cret-of-mine"}
    gates = ("--policy-status", "allow", "--ci-status", "success", "--review-status", "approved")
    orchestrate(*run, *gates, "--allow-empty", cwd=tmp_path, env=env)
    kept = checkpoint_of(tmp_path / "out")["invocations"][0]["origin"]["trace"]
    assert kept == {"trace_id": TRACE, "parent_id": CALLER, "flags": "01"}


def test_another_trace_is_no_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another trace is no change of a completed stage's environment or settings."""
    one, other = PARENT, PARENT.replace("1", "2")
    monkeypatch.setenv("TRACEPARENT", one)
    pairs = {"TRACEPARENT": one, "TRACESTATE": "a=b", "PLAIN": "x"}
    given = {"manager": {"env": pairs}, "executor": {"env": pairs}}
    assert made(tmp_path, {"manager": "true", "executor": "exit 1"}, settings=given).exit_code == 1
    monkeypatch.setenv("TRACEPARENT", other)
    stages = {
        "manager": {"env": {"TRACEPARENT": other}},
        "executor": {"env": {"TRACEPARENT": other}, "args": ("-c", "true", "executor")},
    }
    report = resume(RunConfig(output_directory=tmp_path / "out", stages=stages))
    assert [(one.stage, one.status.value) for one in report.stage_executions] == [
        ("manager", "skipped"),
        ("executor", "success"),
    ]
    assert [one for one in report.warnings if "environment" in one] == []
    assert len(told(tmp_path, "manager")) == 1


def test_invocations_that_differ_by_their_trace_alone_are_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeated invocations that differ only in their trace are one entry of the record."""
    made(tmp_path, gates={"policy": "allow", "ci": "success"})
    for number in range(2, 5):
        monkeypatch.setenv("TRACEPARENT", f"00-{TRACE}-{number:016x}-01")
        assert resume(RunConfig(output_directory=tmp_path / "out")).exit_code == 3
    _, folded, last = checkpoint_of(tmp_path / "out")["invocations"]
    assert (folded["number"], folded["repeats"]["count"], last["number"]) == (2, 1, 4)
    assert last["origin"]["trace"]["parent_id"] == f"{4:016x}"


def test_stopped_clock_knows_of_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stopped clock equal runs have equal reports, and stages inherit the variables."""
    monkeypatch.setenv("TRACEPARENT", PARENT)
    report = made(tmp_path, fixed_clock="2026-01-02T03:04:05Z", telemetry=True)
    assert told(tmp_path, "manager") == [PARENT]
    assert report.origin is None
    assert ["--fixed-clock" in one for one in report.warnings] == [True]


def test_disabled_sdk_is_as_if_nothing_was_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a disabled SDK no stage gets a trace."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    made(tmp_path, telemetry=True)
    assert told(tmp_path, "manager") == [""]
    assert not (tmp_path / "out" / "logs" / "telemetry.jsonl").exists()
