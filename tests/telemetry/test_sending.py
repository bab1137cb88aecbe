"""Sending: after the run, by a separate process, without delaying anything."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from fsm_orchestrator import RunConfig, resume
from fsm_orchestrator.preparation.tracing import NOT_INSTALLED
from fsm_orchestrator.telemetry import delivery, handing, orders, sender
from tests.support.collector import Collector, values
from tests.support.command import EVENTS, PASSING, orchestrate, start
from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.telemetry.telemetry_cases import PARENT, facts, made, sent, told, tree

pytestmark = pytest.mark.one_in(2)

TRUE = ("--manager-bin", "true", "--executor-bin", "true")


def notes_of(out: Path) -> list[dict[str, Any]]:
    """Return the recorded results of sending."""
    path = out / "logs" / "telemetry.jsonl"
    return [json.loads(one) for one in path.read_text().splitlines()] if path.exists() else []


def wait_for_note(out: Path) -> dict[str, Any]:
    """Wait until the result of sending a run is recorded, and return it."""
    wait_until(lambda: notes_of(out) != [])
    (note,) = notes_of(out)
    return note


@contextmanager
def silent() -> Iterator[tuple[str, list[socket.socket]]]:
    """Yield a collector that lists the connections it takes, and never answers."""
    taken: list[socket.socket] = []

    def take(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(server.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=take, args=(server,), daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", taken
        server.shutdown(socket.SHUT_RDWR)
    for one in taken:
        one.close()


def test_command_has_its_run_sent(tmp_path: Path, collector: Collector) -> None:
    """All three signals come from a process that outlives the command, and that is recorded."""
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "nightly"}
    more = {"OTEL_RESOURCE_ATTRIBUTES": "team=ops", "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k1"}
    run = orchestrate("./out", *PASSING, *TRUE, "--telemetry", cwd=tmp_path, env={**env, **more})
    assert run.code == 0
    note = wait_for_note(tmp_path / "out")
    assert (note["problem"], note["spans"]) == (None, len(collector.spans))
    assert {path for path, _, _ in collector.requests} == {"/v1/traces", "/v1/metrics", "/v1/logs"}
    for path, request, headers in collector.requests:
        (of_resource,) = getattr(request, f"resource_{path[4:].replace('traces', 'spans')}")
        said = values(of_resource.resource.attributes)
        assert (said["service.name"], said["team"]) == ("nightly", "ops")
        assert headers["api-key"] == "k1"
    mode = (tmp_path / "out" / "logs" / "telemetry.jsonl").stat().st_mode
    assert oct(mode)[-3:] == "600"


def test_program_has_its_runs_sent_by_one_process(tmp_path: Path, collector: Collector) -> None:
    """One process sends all runs of a program, and ends on its own once no more come."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        assert made(tmp_path / name, telemetry=True).exit_code == 0
    process = handing._SENDING._process
    assert process is not None
    for name in ("one", "two"):
        assert wait_for_note(tmp_path / name / "out")["problem"] is None
    roots = tree(collector)["RUN governed_run"]
    assert len({facts(one)["cicd.pipeline.run.id"] for one in roots}) == 2
    assert process.wait(PATIENCE_SECONDS) == 0
    wait_until(lambda: handing._SENDING._line is None)
    (tmp_path / "three").mkdir()
    made(tmp_path / "three", telemetry=True)
    assert wait_for_note(tmp_path / "three" / "out")["problem"] is None


def test_fleet_has_each_run_sent(tmp_path: Path, collector: Collector) -> None:
    """The workers of a fleet hand over each run, as a single run does."""
    gates = 'gates = { policy = "allow", ci = "success", review = "approved" }'
    stages = '[defaults.stage.manager]\nbin = "true"\n[defaults.stage.executor]\nbin = "true"\n'
    names = [f"run{number}" for number in range(3)]
    runs = "".join(f'[[run]]\nname = "{name}"\n' for name in names)
    text = f"[defaults]\ntelemetry = true\n{gates}\n{stages}{runs}"
    (tmp_path / "runs.toml").write_text(text)
    assert orchestrate("fleet", "runs.toml", "--jobs", "2", cwd=tmp_path).code == 0
    for name in names:
        assert wait_for_note(tmp_path / "fleet" / name)["problem"] is None
    assert len(tree(collector)["RUN governed_run"]) == len(names)


def test_collector_that_is_silent_delays_nothing(tmp_path: Path) -> None:
    """The command ends before any attempt gives up; status and explain show the result later."""
    with silent() as (url, taken):
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        run = orchestrate("./out", *PASSING, *TRUE, "--telemetry", cwd=tmp_path, env=env)
        assert (run.code, notes_of(tmp_path / "out")) == (0, [])
        wait_until(lambda: taken)
        taken[0].close()
        note = wait_for_note(tmp_path / "out")
    assert note["problem"] == "traces: there is no connection to the collector"
    for command in ("status", "explain"):
        said = " ".join(orchestrate(command, "./out", cwd=tmp_path).stdout.split())
        assert "invocation 1 was not taken: traces: there is no connection to the coll" in said
        assert "fsm-orchestrator telemetry export ./out" in said
    assert json.loads(orchestrate("explain", "./out", "--json", cwd=tmp_path).stdout)["warnings"]


def test_process_that_sends_gives_up_for_a_while(tmp_path: Path) -> None:
    """A silent collector is tried once, and not for each run."""
    names = ("one", "two", "three")
    for name in names:
        (tmp_path / name).mkdir()
        made(tmp_path / name)
    ours, its = socket.socketpair()
    with silent() as (url, tried), ours, its:
        env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_EXPORTER_OTLP_TIMEOUT": "1"}
        words = (sys.executable, "-P", "-m", sender.__name__)
        with subprocess.Popen(
            words, stdin=its.fileno(), env=env, start_new_session=True
        ) as process:
            its.close()
            for name in names:
                ours.sendall(orders.line_of(orders.Order(str(tmp_path / name / "out"), None)))
            ours.sendall(b"no order\n")
            ours.close()
            assert process.wait(PATIENCE_SECONDS) == 0
    notes = [wait_for_note(tmp_path / name / "out") for name in names]
    assert {one["problem"] for one in notes} == {"traces: the collector did not answer in time"}
    assert len(tried) == 1


def test_what_is_not_taken_is_said_and_sent_again_by_hand(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what a collector acknowledges counts as taken; the rest is sent again by hand."""
    made(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    refused = ExportTraceServiceResponse()
    refused.partial_success.rejected_spans = 2
    for status, answer, said in (
        (401, b"", "the collector answered HTTP 401 Unauthorized"),
        (404, b"", "the collector answered HTTP 404 Not Found"),
        (503, b"", "the collector answered HTTP 503 Service Unavailable"),
        (302, b"", "the collector answered HTTP 302 Found"),
        (200, b"<html>hello</html>", "what answered is no collector: its answer is not OTLP"),
        (200, refused.SerializeToString(), "the collector refused 2 of them"),
    ):
        collector.status, collector.answer = status, answer
        made_of_it = sent(tmp_path)
        assert made_of_it.problem == f"traces: {said}"
        assert made_of_it.notes[0].spans == 0
    assert {path for path, _, _ in collector.requests} == {"/v1/traces"}  # no more was tried
    collector.status, collector.answer = 200, None
    collector.requests.clear()
    by_hand = orchestrate(
        *("telemetry", "export", "./out"),
        cwd=tmp_path,
        env={"OTEL_EXPORTER_OTLP_ENDPOINT": f"{collector.url}/"},
    )
    assert by_hand.code == 0
    assert f"invocation 1: {len(collector.spans)} spans, " in by_hand.stdout
    assert [one["problem"] is None for one in notes_of(tmp_path / "out")] == [*[False] * 6, True]
    assert sent(tmp_path).taken_before == (1,)


def test_part_that_was_taken_is_not_sent_again(tmp_path: Path, collector: Collector) -> None:
    """Only missing parts are sent the next time, because sums would count twice."""
    made(tmp_path)
    collector.refused_paths.add("/v1/logs")
    for _ in range(2):
        (note,) = sent(tmp_path).notes
        assert note.problem == "logs: the collector answered HTTP 400 Bad Request"
        assert (note.spans, note.metrics, note.logs) == (6, 4, 0)
    collector.refused_paths.clear()
    (note,) = sent(tmp_path).notes
    assert (note.problem, note.spans, note.metrics, note.logs) == (None, 6, 4, 13)
    paths = [path for path, _, _ in collector.requests]
    assert paths == ["/v1/traces", "/v1/metrics", *["/v1/logs"] * 3]


def test_words_that_a_stage_has_planted_drive_no_terminal(tmp_path: Path) -> None:
    """Recorded results that a stage has forged are shown without driving the terminal."""
    made(tmp_path)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        sent(tmp_path)
    path = tmp_path / "out" / "logs" / "telemetry.jsonl"
    text = path.read_text().replace("there is no", "\\u001b[31m\\nred" + "x" * 5000)
    path.write_text(f"no json\n[]\n{text}")
    for words in (("status", "./out"), ("explain", "./out", "--all")):
        said = orchestrate(*words, cwd=tmp_path).stdout
        assert "red" in said
        assert "\x1b[31m" not in said
        assert len(said) < 5000


def test_nobody_waits_longer_than_there_is_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's settings cannot make anybody wait longer than the limit."""
    made(tmp_path)
    monkeypatch.setattr(delivery, "SECONDS_MAX", 0.2)
    with silent() as (url, _):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "10000")
        assert (sent(tmp_path).problem or "").startswith("the collector had not taken it after")


def test_export_says_why_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the operator has its remedy and no traceback."""
    made(tmp_path)
    for env, code, words in (
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, 2, "name the collector's port for HTTP (4318)"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, 1, "there is no connection"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "nonsense"},
            1,
            "the collector's address cannot be used (MissingSchema)",
        ),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://u:pass@127.0.0.1:1/x"}, 1, "http://127.0.0.1:1"),
    ):
        made_of_it = orchestrate("telemetry", "export", "./out", cwd=tmp_path, env=env)
        said = " ".join((made_of_it.stdout + made_of_it.stderr).split())
        assert (made_of_it.code, words in said) == (code, True), said
        assert "pass" not in said
        assert "Traceback" not in said
    (tmp_path / "out" / EVENTS).unlink()
    gone = orchestrate("telemetry", "export", "./out", cwd=tmp_path)
    assert (gone.code, "cannot be read" in gone.stderr) == (1, True)
    assert orchestrate("telemetry", "export", "./none", cwd=tmp_path).code == 2
    monkeypatch.setattr(delivery, "is_installed", lambda: False)
    assert delivery.cannot_send() == NOT_INSTALLED


def test_run_at_work_and_stopped_clocks_are_not_sent(tmp_path: Path, collector: Collector) -> None:
    """A run at work may still change, and a stopped clock has no times: neither is sent."""
    made(tmp_path, fixed_clock="2026-01-02T03:04:05Z")
    said = orchestrate("telemetry", "export", "./out", cwd=tmp_path)
    assert (said.code, "has no times" in said.stdout) == (0, True)
    asks = f"{sys.executable} -m fsm_orchestrator telemetry export ../work/out > said"
    (tmp_path / "work").mkdir()
    made(tmp_path / "work", {"manager": asks, "executor": "true"})
    assert "at work: " in (tmp_path / "work" / "said").read_text()
    assert collector.requests == []


def test_signals_that_are_not_wanted_are_left_out(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's variables leave out signals, and a trace that its caller does not sample."""
    monkeypatch.setenv("TRACEPARENT", f"{PARENT[:-1]}0")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    made(tmp_path)
    assert told(tmp_path, "manager")[0].endswith("-00")
    assert sent(tmp_path).problem is None
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    monkeypatch.setenv("TRACEPARENT", PARENT)
    (tmp_path / "off").mkdir()
    made(tmp_path / "off")
    assert [one.spans for one in sent(tmp_path / "off").notes] == [0]
    monkeypatch.delenv("OTEL_TRACES_SAMPLER")
    monkeypatch.delenv("TRACEPARENT")
    assert resume(RunConfig(output_directory=tmp_path / "out")).exit_code == 0
    assert [one.spans for one in sent(tmp_path).notes] == [0]  # the resume continues in that trace
    assert {path for path, _, _ in collector.requests} == {"/v1/metrics"}


def test_first_process_of_a_container_waits_a_moment(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process of a container waits a moment, because the others end with it."""
    monkeypatch.setattr(handing, "_LAST_PROCESS_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr(os, "getpid", lambda: 1)
    handing.hand_over(RunConfig(output_directory=tmp_path / "out", telemetry=True), None)
    process = handing._SENDING._process
    assert process is not None
    assert process.poll() == 0
    assert collector.requests == []


def test_run_is_what_it_is_where_nothing_can_be_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sender that cannot be started is recorded and does not affect the run."""

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(handing, "_SENDING", handing._Sender())
    monkeypatch.setattr(handing._Sender, "_start", fail)
    assert made(tmp_path, telemetry=True).exit_code == 0
    (note,) = notes_of(tmp_path / "out")
    assert note["problem"].startswith("no process could be started")


def test_new_run_takes_the_place_of_one_that_was_sent(tmp_path: Path, collector: Collector) -> None:
    """A sent run's results go to the archive with it, even if nothing else of it does."""
    first = made(tmp_path, gates={})
    sent(tmp_path)
    bundled = orchestrate("bundle", "./out", "./run.fsmbundle", cwd=tmp_path)
    assert (bundled.code, "telemetry" in bundled.stdout) == (0, False)
    made(tmp_path)
    assert notes_of(tmp_path / "out") == []
    archived = tmp_path / "out" / "archive" / first.run_id
    assert [one["run_id"] for one in notes_of(archived)] == [first.run_id]
    words = ("telemetry", "export", "./out", "--run-id", first.run_id, "--again", "--json")
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    again = orchestrate(*words, cwd=tmp_path, env=env)
    document = json.loads(again.stdout)
    assert (document["endpoint"], document["invocations"][0]["problem"]) == (collector.url, None)


def test_two_that_send_the_same_run_send_it_once(tmp_path: Path, collector: Collector) -> None:
    """Of two senders of one run the second waits for the first, so that nothing counts twice."""
    made(tmp_path)
    collector.delay_seconds = 0.2
    with start("telemetry", "export", "./out", cwd=tmp_path) as first:
        wait_until(lambda: collector.requests)
        second = orchestrate("telemetry", "export", "./out", cwd=tmp_path)
        assert first.wait(PATIENCE_SECONDS) == 0
    assert "taken before: invocation 1" in second.stdout
    assert len(collector.requests) == 3
