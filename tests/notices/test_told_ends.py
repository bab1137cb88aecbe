"""Notices of the ends of a run: by commands and webhooks, once, never at the run's cost."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator import Interrupts, Report, RunConfig, StageGiven, UsageError, resume, run
from fsm_orchestrator.constants import NOTICES_FILE
from fsm_orchestrator.engine.enter_stage import EnterStage
from fsm_orchestrator.errors import InternalError
from fsm_orchestrator.notices.body import TEXT_CHARACTERS_MAX
from fsm_orchestrator.notices.told import SIZE_BYTES_MAX, told_of, untold_of
from fsm_orchestrator.vocabulary import SchemaName, StopReason
from tests.support.patience import wait_until
from tests.support.receiver import Receiver, receiving
from tests.support.schema_checks import assert_valid

WAITING = {"policy": "allow", "ci": "success"}
PASSED = {**WAITING, "review": "approved"}
KEEP_BODY = "cat > told.$ORCHESTRATOR_NOTICE_EVENT.json"


@pytest.fixture(name="desk", autouse=True)
def own_desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory to work in, with its own private state, and no proxy to the loopback."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(name="receiver", scope="module")
def one_receiver() -> Iterator[Receiver]:
    """Yield one server for all tests; each test has its own paths."""
    with receiving() as receiver:
        yield receiver


def shell(script: str) -> StageGiven:
    """Return a stage that runs a shell script."""
    return StageGiven(bin="/bin/sh", args=("-c", script))


def told_by(script: str, *on: str, **more: Any) -> dict[str, Any]:
    """Return a notice through a shell."""
    return {"on": on, "command": ("/bin/sh", "-c", script), **more}


def refused(*notify: dict[str, Any], gates: dict[str, str] | None = None, **given: Any) -> Report:
    """Make a run that starts no stage, because a gate refuses that somebody can still give."""
    config = {"output_directory": "out", "gates": gates or WAITING, "notify": notify, **given}
    return run(RunConfig.model_validate(config))


def told(path: str) -> Any:
    """Return the notice that a command got."""
    return json.loads(Path(path).read_text())


def posts_to(receiver: Receiver, path: str) -> list[Any]:
    """Return the bodies that were posted to a path."""
    return [one for one in receiver.posts if one.path == path]


def test_command_gets_the_notice_and_knows_the_run(desk: Path) -> None:
    """The command gets the JSON on stdin, by its schema, and a few variables of its own run."""
    os.environ["ORCHESTRATOR_STAGE"] = "outer"
    try:
        script = f"env > told.env; {KEEP_BODY}; echo chatter"
        report = refused(told_by(script, "waiting", "done"))
    finally:
        del os.environ["ORCHESTRATOR_STAGE"]
    notice = told("told.waiting.json")
    assert_valid(SchemaName.NOTICE, notice, "stdin")
    assert notice["event"] == "waiting"
    assert notice["run_id"] == report.run_id
    assert notice["output_directory"] == str(desk / "out")
    assert notice["blocked_reason_codes"] == ["GATE_REVIEW_NOT_APPROVED"]
    assert [one["gate"] for one in notice["waiting_for"]] == ["review"]
    assert notice["look"] == ["fsm-orchestrator", "explain", str(desk / "out")]
    ours = {one for one in (desk / "told.env").read_text().splitlines() if "ORCHESTRATOR_" in one}
    assert ours == {
        f"ORCHESTRATOR_RUN_ID={report.run_id}",
        f"ORCHESTRATOR_OUTPUT_DIR={desk / 'out'}",
        "ORCHESTRATOR_NOTICE_EVENT=waiting",
        f"ORCHESTRATOR_NOTICE_ID={notice['id']}",
    }
    assert (desk / "out" / NOTICES_FILE).stat().st_mode & 0o777 == 0o600
    assert report.warnings == ()


def test_only_the_ends_that_were_asked_for_are_told() -> None:
    """Each end has one word: a waiting run is not notified as blocked."""
    refused(told_by(KEEP_BODY, "blocked", "failed", "done", "timeout"))
    assert not list(Path().glob("told.*"))
    refused(told_by(KEEP_BODY, "blocked"), gates={"policy": "deny"})
    assert told("told.blocked.json")["event"] == "blocked"


@pytest.mark.parametrize(
    ("executor", "event", "code"),
    [
        ({"args": ("-c", "exit 4")}, "failed", 1),
        ({"args": ("-c", "sleep 60"), "timeout_ms": 50}, "timeout", 124),
        ({"args": ("-c", "exit 0")}, "done", 0),
    ],
)
def test_ends_of_stages_are_told(executor: dict[str, Any], event: str, code: int) -> None:
    """The notice has the results of the stages, and none of their arguments."""
    stages = {"manager": shell("exit 0"), "executor": StageGiven(bin="/bin/sh", **executor)}
    notice = told_by(KEEP_BODY, "done", "failed", "timeout", "interrupted")
    report = run(
        RunConfig.model_validate(
            {"output_directory": "out", "gates": PASSED, "notify": [notice], "stages": stages}
        )
    )
    assert report.exit_code == code
    document = told(f"told.{event}.json")
    assert [one["stage"] for one in document["stages"]] == ["manager", "executor"]
    assert document["exit_code"] == code
    assert executor["args"][1] not in json.dumps(document)


def test_run_that_goes_on_elsewhere_is_not_told() -> None:
    """A run whose worker shuts down has not ended, and sends no notice."""
    interrupts = Interrupts()
    stages = {"manager": shell("sleep 60"), "executor": shell("exit 0")}
    notices = [told_by(KEEP_BODY, "interrupted")]
    asked = {"output_directory": "out", "gates": PASSED, "notify": notices, "stages": stages}

    def ask(event: Mapping[str, Any]) -> None:
        if event["event"] == "stage.started":
            interrupts.deliver(signal.SIGTERM, StopReason.SHUTDOWN)

    report = run(RunConfig.model_validate(asked), interrupts=interrupts, listener=ask)
    assert (report.exit_code, report.stop_reason) == (143, StopReason.SHUTDOWN)
    assert not Path("told.interrupted.json").exists()


def test_interruption_is_told_and_a_second_request_ends_the_telling() -> None:
    """A run ended by a signal is interrupted, not failed; the next signal ends the notices."""
    interrupts = Interrupts()
    stages = {"manager": shell("touch began; sleep 60"), "executor": shell("exit 0")}
    notices = [
        told_by(f"{KEEP_BODY}; touch heard; sleep 60", "interrupted", timeout=50_000),
        told_by(KEEP_BODY.replace("told", "failed"), "failed"),
    ]
    asked = {"output_directory": "out", "gates": PASSED, "notify": notices, "stages": stages}

    def ask() -> None:
        for sign in ("began", "heard"):
            wait_until(Path(sign).exists)
            interrupts.deliver(signal.SIGTERM)

    thread = threading.Thread(target=ask)
    thread.start()
    report = run(RunConfig.model_validate(asked), interrupts=interrupts)
    thread.join()
    assert report.exit_code == 143
    assert told("told.interrupted.json")["exit_code"] == 143
    assert not Path("failed.interrupted.json").exists()
    (line,) = untold_of(Path("out"), report.run_id)
    assert line.problem is not None
    assert "asked to end" in line.problem


def test_same_standing_is_told_once_and_another_again(receiver: Receiver) -> None:
    """An unchanged run sends nothing again, except for notices that failed before."""
    url = receiver.answer("/once", 404)
    report = refused(
        told_by("echo x >> told.count", "waiting"),
        {"on": ["waiting"], "webhook": url},
    )
    kept = RunConfig(output_directory="out", resume=True)
    assert len(untold_of(Path("out"), report.run_id)) == 1
    receiver.answer("/once", 200)
    for _ in range(2):
        run(kept)
    assert Path("told.count").read_text() == "x\n"
    assert untold_of(Path("out"), report.run_id) == ()
    assert len(posts_to(receiver, "/once")) == 2
    run(RunConfig(output_directory="out", resume=True, gates={"ci": "pending"}))
    assert Path("told.count").read_text() == "x\n" * 2


def test_failing_again_is_another_end() -> None:
    """A failure after another run of the stage is a new end."""
    stages = {"manager": shell("exit 3"), "executor": shell("exit 0")}
    notice = told_by("echo x >> told.count", "failed")
    asked = {"output_directory": "out", "gates": PASSED, "notify": [notice], "stages": stages}
    run(RunConfig.model_validate(asked))
    resume(RunConfig(output_directory="out"))
    assert Path("told.count").read_text() == "x\n" * 2
    resume(RunConfig.model_validate({"output_directory": "out", "notify": []}))
    assert Path("told.count").read_text() == "x\n" * 2


def test_webhook_is_signed_and_carries_the_notice(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver can verify time and body by the secret, and retries have the same id."""
    monkeypatch.setenv("HOOK_SECRET", "s3cret-of-the-hook")
    url = receiver.answer("/signed", 500, 200)
    refused({"on": ["waiting"], "webhook": url, "secret_env": "HOOK_SECRET"})
    first, second = posts_to(receiver, "/signed")
    assert_valid(SchemaName.NOTICE, second.document, "post")
    assert first.body == second.body
    delivery = "x-fsm-orchestrator-delivery"
    assert first.headers[delivery] == second.headers[delivery] == second.document["id"]
    at = second.headers["x-fsm-orchestrator-timestamp"]
    assert abs(int(at) - time.time()) < 600
    signed = hmac.new(b"s3cret-of-the-hook", f"{at}.".encode() + second.body, hashlib.sha256)
    assert second.headers["x-fsm-orchestrator-signature"] == f"sha256={signed.hexdigest()}"
    record = b"".join(one.read_bytes() for one in Path("out").glob("*.json*"))
    assert b"s3cret" not in record
    assert second.headers["content-type"] == "application/json"


def test_slack_takes_the_message(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL is only in a variable, and Slack's markup characters are escaped."""
    monkeypatch.setenv("SLACK", f"{receiver.url}/services/T0/B0/xyz")
    notice = {"on": ["waiting"], "webhook_env": "SLACK", "format": "slack"}
    report = refused(notice, output_directory="a<b>&c")
    (post,) = posts_to(receiver, "/services/T0/B0/xyz")
    text = post.document["text"]
    assert text.startswith(f"*waiting*: run {report.run_id} in ")
    assert "a&lt;b&gt;&amp;c" in text
    assert "waiting for review: 0 of 1 given" in text
    assert untold_of(Path("a<b>&c"), report.run_id) == ()
    record = b"".join(one.read_bytes() for one in Path("a<b>&c").glob("*.json*"))
    assert b"xyz" not in record
    plain = {"on": ["waiting"], "webhook_env": "SLACK"}
    report = refused(plain)
    (line,) = untold_of(Path("out"), report.run_id)
    assert line.problem == "HTTP 400: invalid_payload"


def test_no_name_breaks_the_message_of_slack(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code with backticks in a path is fenced by more of them, so that it can be copied whole."""
    monkeypatch.setenv("SLACK", f"{receiver.url}/services/T0/B1/tick")
    notice = {"on": ["waiting"], "webhook_env": "SLACK", "format": "slack"}
    refused(notice, output_directory="a`b`c")
    (post,) = posts_to(receiver, "/services/T0/B1/tick")
    text = post.document["text"]
    assert re.search(r" in ```/\S*/a`b`c``` on ", text), text
    assert re.search(r"\n```fsm-orchestrator explain '/\S*/a`b`c'```$", text), text
    refused(notice, output_directory="a`b`")
    text = posts_to(receiver, "/services/T0/B1/tick")[-1].document["text"]
    assert re.search(r" in ```/\S*/a`b\u02cb``` on ", text), text


def test_long_name_leaves_no_code_of_slack_open(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long name is cut within its fence, and the message is not too long."""
    monkeypatch.setenv("SLACK", f"{receiver.url}/services/T0/B2/long")
    notice = {"on": ["waiting"], "webhook_env": "SLACK", "format": "slack"}
    refused(notice, output_directory="/".join(("&" * 150, "`" + "<" * 150, "a" * 150)))
    (post,) = posts_to(receiver, "/services/T0/B2/long")
    text = post.document["text"]
    assert len(text) <= TEXT_CHARACTERS_MAX
    assert re.search(r" in ```/\S*(&amp;|&lt;)\.\.\.``` on ", text), text
    assert "waiting for review" in text
    assert text.endswith("...```")


@pytest.mark.parametrize(
    ("case", "problem", "posts"),
    [
        ("refuses", "HTTP 404: said", 1),
        ("redirects", "HTTP 302: redirects are not followed", 1),
        ("asks for a pause", "HTTP 429: said", 1),
        ("fails", "HTTP 500: said", 2),
        ("is slow", "no answer in time", 1),
        ("is not there", "Connection refused", 0),
        ("hidden url", "the variable NO_URL with the URL is not set", 0),
        ("hidden secret", "can be used by others: chmod 600", 0),
        ("no url", "what is in", 0),
    ],
)
def test_what_cannot_be_delivered_is_a_warning(
    receiver: Receiver, case: str, problem: str, posts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failed notice is bounded and recorded, and changes neither outcome nor exit code."""
    path = f"/{case.replace(' ', '-')}"
    elsewhere = receiver.answer("/elsewhere", 200)
    given: dict[str, Any] = {"on": ["waiting"], "timeout": 700}
    monkeypatch.setenv("BAD_URL", "gopher://x")
    Path("open").write_text("secret")
    Path("open").chmod(0o644)
    match case:
        case "refuses":
            given["webhook"] = receiver.answer(path, 404)
        case "redirects":
            given["webhook"] = receiver.answer(path, 302, headers={"Location": elsewhere})
        case "asks for a pause":
            given["webhook"] = receiver.answer(path, 429, headers={"Retry-After": "5"})
        case "fails":
            given["webhook"] = receiver.answer(path, 500)
        case "is slow":
            given["webhook"] = receiver.answer(path, 200, wait=1.5)
        case "is not there":
            given["webhook"] = "http://127.0.0.1:1/x"
        case "hidden url":
            given["webhook_env"] = "NO_URL"
        case "hidden secret":
            given |= {"webhook": receiver.answer(path, 200), "secret_file": "open"}
        case _:
            given["webhook_env"] = "BAD_URL"
    report = refused(given)
    assert (report.terminal_state, report.exit_code, report.warnings) == ("blocked", 3, ())
    (line,) = untold_of(Path("out"), report.run_id)
    assert line.problem is not None
    assert problem in line.problem
    assert len(posts_to(receiver, path)) == posts
    assert not posts_to(receiver, "/elsewhere")


def test_what_a_receiver_repeats_shows_neither_url_nor_secret(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receiver's answer is cut, drives no terminal, and has URL and secret masked."""
    monkeypatch.setenv("KEY", "k3y-of-the-hook")
    path = "/services/T0/B0/a-token-like-that"
    said = f"no {path} with k3y-of-the-hook \x1b[31m {'x' * 500}"
    monkeypatch.setenv("URL", receiver.answer(path, 404, said=said))
    notice = {"on": ["waiting"], "webhook_env": "URL", "secret_env": "KEY"}
    (line,) = untold_of(Path("out"), refused(notice).run_id)
    assert line.problem is not None
    assert line.problem.startswith("HTTP 404: no *** with *** ")
    assert "\x1b" not in line.problem
    assert len(line.problem) < 100


def test_internal_error_is_told_as_the_failure_that_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is raised all the same, after the notice."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(EnterStage, "_begin", broken)
    stages = {"manager": shell("exit 0"), "executor": shell("exit 0")}
    notify = [told_by(KEEP_BODY, "failed")]
    asked = {"output_directory": "out", "gates": PASSED, "notify": notify, "stages": stages}
    with pytest.raises(InternalError):
        run(RunConfig.model_validate(asked))
    assert told("told.failed.json")["exit_code"] == 70


def test_command_is_ended_with_all_that_it_started() -> None:
    """At its time limit the command's whole process tree ends, and its output is bounded."""
    script = "setsid sh -c 'echo $$ > pid; exec sleep 60' & yes"
    report = refused(
        told_by("sleep 0.1; cat missing", "waiting"),
        told_by("cat >/dev/null; exit 7", "waiting"),
        {"on": ["waiting"], "command": ["./not-there"]},
        told_by("setsid sh -c 'echo $$ > pid; exec sleep 60' & sleep 60", "waiting", timeout=500),
        told_by(script.replace("pid", "pid2"), "waiting", timeout=30_000),
    )
    failed, exited, missing, slow, loud = untold_of(Path("out"), report.run_id)
    assert failed.problem == exited.problem.replace("7", "1")  # type: ignore[union-attr]
    assert "not-there does not exist" in (missing.problem or "")
    assert "timed out" in (slow.problem or "")
    assert "output" in (loud.problem or "")
    for name in ("pid", "pid2"):
        pid = Path(name).read_text().strip()
        assert (
            not Path(f"/proc/{pid}/cmdline").exists()
            or not Path(f"/proc/{pid}/cmdline").read_bytes()
        )


def test_file_of_what_was_told_is_bounded_and_not_believed(desk: Path) -> None:
    """Torn and foreign lines are skipped, and a link in the file's place is not followed."""
    report = refused(told_by("exit 1", "waiting"))
    path = desk / "out" / NOTICES_FILE
    with path.open("ab") as file:
        file.write(b'[1]\n{"schema_version": 1}\n\xff\n' + b"x" * SIZE_BYTES_MAX)
    run(RunConfig(output_directory="out", resume=True))
    assert path.stat().st_size < SIZE_BYTES_MAX
    (line,) = told_of(desk / "out", report.run_id)
    assert (line.invocation, line.problem) == (2, "exited with code 1")
    path.unlink()
    path.symlink_to(desk / "elsewhere")
    run(RunConfig(output_directory="out", resume=True))
    assert not (desk / "elsewhere").exists()


@pytest.mark.parametrize(
    ("notice", "said"),
    [
        ({"on": ["failled"], "command": ["x"]}, "did you mean 'failed'?"),
        ({"on": [], "command": ["x"]}, "at least 1"),
        ({"on": ["done"]}, "needs one of command, webhook"),
        ({"on": ["done"], "command": ["x"], "webhook": "http://h"}, "needs one of command"),
        ({"on": ["done"], "webhook": "file:///etc/passwd"}, "an http or https URL"),
        ({"on": ["done"], "webhook": "http://me:pw@h/"}, "no user name and no password"),
        ({"on": ["done"], "webhook": "https://hooks.slack.com/x"}, "webhook_env or webhook_file"),
        ({"on": ["done"], "command": ["x"], "format": "slack"}, "a key for webhooks besides"),
        ({"on": ["done"], "webhook": "http://h", "timeout": 60_001}, "60000"),
        (
            {"on": ["done"], "webhook": "http://h", "secret_env": "A", "secret_file": "b"},
            "not both",
        ),
    ],
)
def test_wrong_notice_is_refused(notice: dict[str, Any], said: str) -> None:
    """A wrong notice is refused before anything starts, and no URL is shown."""
    with pytest.raises(UsageError) as refusal:
        RunConfig.model_validate({"output_directory": "out", "notify": [notice]})
    assert said in str(refusal.value)
    assert "hooks.slack.com/x" not in str(refusal.value)
