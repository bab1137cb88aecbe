"""Runs are submitted, signaled and listed with a real server and a real worker."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.approvals.approval_cases import line, make_key
from tests.support.command import PASSING, shell
from tests.support.patience import wait_until
from tests.support.temporal_server import connected
from tests.support.temporal_workers import at_work
from tests.temporal.held import ALL_BUT_REVIEW, TRUE, Site, site

pytestmark = pytest.mark.one_in(2)

SECRET: Final = "s3cr3t-of-the-worker/+é"  # noqa: S105 - a pretended one
SETTING: Final = "a-setting-that-stays-here"


@pytest.fixture(scope="module")
def place(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield one worker for the tests of this module."""
    folder = tmp_path_factory.mktemp("site")
    with site(folder, temporal_address, "--jobs", "4", APP_TOKEN=SECRET) as made:
        yield made


def asking(place: Site, name: str) -> tuple[str, ...]:
    """Return the arguments for a run of that name that needs an approval of its review."""
    key = make_key(place.folder, f"{name}-key")
    (place.folder / f"{name}.signers").write_text(line(key, "bob@example.org"))
    approval = f'{{ allowed_signers = "{name}.signers", not = [] }}'
    (place.folder / f"{name}.toml").write_text(f"[gate.review]\napproval = {approval}\n")
    return (name, *TRUE, "--config", f"{name}.toml", *ALL_BUT_REVIEW)


def test_submitted_run_is_done(place: Site) -> None:
    """A submitted run leaves what `run` leaves, and only its owner can read the request."""
    done = place.submitted("done", *TRUE, *PASSING)
    assert done.code == 0
    assert done.stdout.splitlines()[-1] == "✓ done"
    request = place.folder / "done" / "orchestrator_request.toml"
    assert stat.S_IMODE(request.stat().st_mode) == 0o600
    assert (place.folder / "done/epochs/000001.000001/orchestrator_run_report.json").exists()
    stands = place.stand(place.run_id("done"))
    assert (stands["standing"], stands["course"]) == ("done", "ended")
    assert stands["result"]["closure_ready"]


def test_blocked_run_goes_on_once_people_have_spoken(place: Site) -> None:
    """A wrong gate or value is refused at once and changes nothing; the right one continues."""
    place.submit("blocked", *TRUE, *ALL_BUT_REVIEW)
    run_id = place.run_id("blocked")
    wait_until(lambda: place.stand(run_id)["course"] == "waiting")
    for words, said in (
        (("review", "aproved"), "review cannot be 'aproved'; did you mean 'approved'?"),
        (("revew", "approved"), "there is no gate 'revew'; did you mean 'review'?"),
    ):
        refused = place.typed("signal", "blocked", "--gate", *words)
        assert (refused.code, said in refused.stderr) == (2, True), refused
    listed = place.typed("list", "--state", "waiting").stdout
    assert re.search(rf"{run_id} .*waiting .*review ", listed)
    told = place.typed("signal", "blocked", "--gate", "review", "approved")
    assert (told.code, "invocation 2 follows" in told.stdout) == (0, True), told
    wait_until(lambda: place.stand(run_id)["standing"] == "done")
    assert place.stand(run_id)["result"]["epoch"] == "000002.000001"


def test_signal_cannot_pass_what_people_approve(place: Site) -> None:
    """A signal for an approval gate is refused in favor of `approve`, at submission and later."""
    words = asking(place, "asks")
    refused = place.submit(*words, "--review-status", "approved")
    assert (refused.code, "approvals alone" in refused.stderr) == (2, True), refused
    assert not (place.folder / "asks").exists()
    waits = place.submit(*words, "--wait", "5s")
    assert (waits.code, "next     fsm-orchestrator approve asks" in waits.stdout) == (124, True)
    refused = place.typed("signal", "asks", "--gate", "review", "approved")
    assert (refused.code, "fsm-orchestrator approve asks" in refused.stderr) == (2, True), refused
    assert place.stand(place.run_id("asks"))["number"] == 1


def test_signal_that_refuses_is_taken_back(place: Site) -> None:
    """A refusing signal is replaced at resubmission, and the gate asks for approvals again."""
    words = asking(place, "denied")
    place.submit(*words, "--review-status", "changes_requested", "--wait", "5s")
    place.typed("signal", "denied", "--stop")
    again = ("denied", "--resume", "--review-status", "approved")
    ended = place.submit(*again, "--wait", "5s")
    assert (ended.code, "next     fsm-orchestrator approve denied" in ended.stdout) == (124, True)


def test_search_attributes_say_where_a_run_stands(place: Site, temporal_address: str) -> None:
    """The server finds a run by each gate that it waits for, and not by earlier states."""
    begun = place.folder / "begun-searched"
    script = f"touch {begun}; sleep 600"
    place.submit("searched", *shell("manager", script), "--policy-status", "allow")
    run_id = place.run_id("searched")

    async def found(query: str) -> bool:
        client = await connected(temporal_address)
        own = f'{query} AND WorkflowId = "{run_id}"'
        return bool([one async for one in client.list_workflows(own)])

    for gate in ("ci", "review"):
        query = f'FsmWaitingGates = "{gate}" AND FsmOutcome = "blocked" AND FsmState = "blocked"'
        wait_until(lambda: asyncio.run(found(query)))  # noqa: B023 - called at once
    given = ("--gate", "ci", "success", "--gate", "review", "approved")
    assert place.typed("signal", "searched", *given).code == 0
    wait_until(begun.exists)
    wait_until(lambda: asyncio.run(found("FsmState IS NULL AND FsmWaitingGates IS NULL")))
    assert place.typed("signal", "searched", "--stop").code == 0


def test_run_that_failed_is_resumed_by_itself(place: Site) -> None:
    """A failed run is resumed as often as requested, and its complete stage does not run again."""
    script = f"test -e {place.folder}/second || {{ touch {place.folder}/second; exit 1; }}"
    words = (*shell("manager", "true"), *shell("executor", script), *PASSING)
    done = place.submitted("retried", *words, "--retries", "1", "--retry-delay", "10")
    assert done.code == 0, done
    assert place.stand(place.run_id("retried"))["number"] == 2


def test_stopped_run_can_be_gone_on_with(place: Site) -> None:
    """Stopping a run ends its stage as SIGTERM does; a new workflow resumes it."""
    begun, may_end = place.folder / "begun", place.folder / "may-end"
    script = f"touch {begun}; while ! test -e {may_end}; do sleep 0.05; done"
    place.submit(
        "stopped", *shell("manager", script), *ALL_BUT_REVIEW, "--review-status", "approved"
    )
    wait_until(begun.exists)
    told = place.typed("signal", "stopped", "--stop")
    assert "is asked to end" in told.stdout, told
    run_id = place.run_id("stopped")
    wait_until(lambda: place.stand(run_id)["course"] == "ended")
    assert place.stand(run_id)["result"]["stop_reason"] == "cancelled"
    gone = place.typed("signal", "stopped", "--resume")
    assert (gone.code, "submit stopped --resume" in gone.stderr) == (2, True), gone
    may_end.touch()
    more = ("--executor-bin", "true", "--rerun", "manager", "--wait", "3m")
    again = place.typed("submit", "stopped", "--resume", *more)
    assert (again.code, again.stdout.splitlines()[-1]) == (0, "✓ done"), again


def test_cancelled_workflow_ends_its_stage(place: Site) -> None:
    """A canceled workflow ends its stage at the next heartbeat."""
    begun = place.folder / "begun-too"
    place.submit("cancelled", *shell("manager", f"touch {begun}; sleep 600"), *PASSING)
    wait_until(begun.exists)
    assert place.typed("signal", "cancelled", "--stop", "--cancel").code == 0
    run_id = place.run_id("cancelled")
    wait_until(lambda: place.stand(run_id)["course"] == "cancelled")
    assert place.stand(run_id)["result"]["stop_reason"] == "cancelled"


def test_no_value_of_a_variable_is_in_a_history(place: Site, temporal_address: str) -> None:
    """A variable's value is not in the history in any encoding, even if a stage printed it."""
    script = 'echo "$APP_TOKEN $APP_MODE" >&2; exit 1'
    words = (*shell("manager", script), "--manager-secret", "APP_TOKEN")
    place.submitted("secret", *words, "--manager-env", f"APP_MODE={SETTING}", *PASSING)

    async def history() -> bytes:
        client = await connected(temporal_address)
        handle = client.get_workflow_handle(place.run_id("secret"))
        fetched = await handle.fetch_history()
        described = await handle.describe()
        events = b"".join(one.SerializeToString() for one in fetched.events)
        return events + fetched.to_json().encode() + described.raw_info.SerializeToString()

    kept = asyncio.run(history())
    assert b"executor" in kept or b"manager" in kept
    for value in (SECRET, SETTING):
        for form in _forms(value):
            assert form not in kept, form
    request = (place.folder / "secret" / "orchestrator_request.toml").read_text()
    assert (SECRET in request, SETTING in request) == (False, True)


def _forms(value: str) -> Iterator[bytes]:
    raw = value.encode()
    yield raw
    yield raw.hex().encode()
    yield urllib.parse.quote(value, safe="").encode()
    yield json.dumps(value)[1:-1].encode()
    for shift in range(3):  # wherever it begins in the encoded text
        coded = base64.b64encode(b"x" * shift + raw)
        yield coded[4 if shift else 0 : -4]


def test_worker_that_is_asked_to_end_hands_its_runs_on(
    temporal_address: str, tmp_path: Path
) -> None:
    """The worker exits with 0 without its health file, and another worker continues at once."""
    health = tmp_path / "health.json"
    with site(tmp_path, temporal_address, "--health-file", str(health)) as place:
        begun, may_end = tmp_path / "begun", tmp_path / "may-end"
        script = f"echo x >> {begun}; while ! test -e {may_end}; do sleep 0.05; done"
        place.submit("out", *shell("manager", script), *PASSING, "--allow-empty")
        wait_until(begun.exists)
        wait_until(health.exists)
        told: dict[str, Any] = {}

        def has_run() -> bool:
            told.update(json.loads(health.read_bytes()))
            return bool(told["runs"])

        wait_until(has_run)
        assert stat.S_IMODE(health.stat().st_mode) == 0o600
        assert told["is_connected"]
        [run] = told["runs"]
        assert (run["run_id"], run["epoch"]) == (place.run_id("out"), "000001.000001")
        second = place.worker("second")
        with at_work(second):
            assert place.first is not None
            assert place.first.terminate() == 0
            wait_until(lambda: begun.read_text() == "x\nx\n")
            may_end.touch()
            wait_until(lambda: place.stand(place.run_id("out"))["standing"] == "done")
        assert not health.exists()
        assert place.stand(place.run_id("out"))["result"]["epoch"] == "000002.000001"
