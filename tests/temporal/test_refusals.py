"""`temporal` refusals name the obstacle and the remedy, and leave nothing behind."""

from __future__ import annotations

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.errors import LeaseError
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.temporal.failures import application_error
from fsm_orchestrator.temporal.shapes import Failure
from tests.support.command import PASSING, orchestrate
from tests.temporal.held import TRUE, Site

NOWHERE = ("--address", "127.0.0.1:1")


@pytest.fixture
def place(temporal_address: str, tmp_path: Path) -> Site:
    """Return a queue that no worker serves."""
    return Site(tmp_path, temporal_address, "queue-of-nobody")


@pytest.mark.usefixtures("temporal_address")
def test_server_that_cannot_be_reached(tmp_path: Path) -> None:
    """Address and reason are reported, and nothing is made."""
    for words in (("submit", "out", *TRUE), ("list",)):
        done = orchestrate("temporal", *words, *NOWHERE, cwd=tmp_path)
        assert (done.code, done.stdout) == (1, "")
        assert done.stderr == (
            "fsm-orchestrator: the Temporal server at '127.0.0.1:1' cannot be reached: connection"
            " refused\n  start it, or name another one with --address or TEMPORAL_ADDRESS; nothing"
            " was changed\n"
        )
    assert not (tmp_path / "out").exists()


def test_directory_that_holds_a_run(place: Site) -> None:
    """A submission to a directory with a run is refused, be it an engine's or a plain one."""
    assert place.submit("out", *TRUE).code == 0
    orchestrate("run", "plain", *TRUE, *PASSING, cwd=place.folder)
    for name in ("out", "plain"):
        done = place.submit(name, *TRUE)
        assert (done.code, "holds a run already" in done.stderr) == (2, True), done


def test_two_that_are_submitted_at_once(place: Site) -> None:
    """Of two concurrent submissions one is accepted, and the other leaves its request alone."""
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: place.submit("out", *TRUE, "--json"), range(4)))
    [started] = [one for one in done if one.code == 0]
    assert {one.code for one in done} == {0, 2}
    assert json.loads(started.stdout)["run_id"] == place.run_id("out")
    assert [one.name for one in (place.folder / "out").iterdir()] == ["orchestrator_request.toml"]


def test_id_that_another_run_has(place: Site) -> None:
    """The engine refuses the id of another run, and the directory made for it is removed."""
    run_id = f"twice-{os.urandom(4).hex()}"
    assert place.submit("one", *TRUE, "--run-id", run_id).code == 0
    done = place.submit("two", *TRUE, "--run-id", run_id)
    assert (done.code, f"a run {run_id} was submitted before" in done.stderr) == (2, True), done
    assert not (place.folder / "two").exists()


def test_run_that_is_at_work_already(place: Site) -> None:
    """The request of a run at work stays unchanged, because its workers read it again."""
    assert place.submit("busy", *TRUE).code == 0
    request = place.folder / "busy" / "orchestrator_request.toml"
    before = request.read_bytes()
    done = place.typed("submit", "busy", "--resume", "--executor-timeout", "5s")
    assert (done.code, "was submitted before" in done.stderr) == (2, True), done
    assert request.read_bytes() == before


def test_gate_that_there_is_not(place: Site) -> None:
    """An unknown gate is refused when a run is submitted, and when it is submitted again."""
    folder = place.folder
    approval = '{ allowed_signers = "signers", not = [] }'
    (folder / "more.toml").write_text(f"[gate.nosuch]\napproval = {approval}\n")
    assert place.submit("asked", *TRUE).code == 0
    for words in (("asked", "--resume"), ("new", *TRUE)):
        done = place.submit(*words, "--config", "more.toml")
        assert (done.code, "has no gate 'nosuch'" in done.stderr) == (2, True), done


def test_value_of_a_secret(place: Site) -> None:
    """A secret's value is refused, since it would have to be written, and is not shown."""
    for given in (
        ("--manager-secret", "TOKEN=hush-hush"),
        ("--manager-env", "API_TOKEN=hush-hush"),
    ):
        done = place.submit("out", *TRUE, *given)
        assert (done.code, "hush" in done.stderr) == (2, False), done
        assert "set it in the environment of the workers" in done.stderr
    assert not (place.folder / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no instruction is given"),
        (("--resume", "--stop"), "two instructions are given"),
        (("--cancel",), "--cancel goes with --stop"),
        (("--gate", "ci", "success", "--gate", "ci", "missing"), "a gate is given twice"),
    ],
)
def test_signal_that_says_nothing_clear(place: Site, words: tuple[str, ...], said: str) -> None:
    """A signal that does not say exactly one thing is refused."""
    done = place.typed("signal", "out", *words)
    assert (done.code, said in done.stderr) == (2, True), done


def test_gate_without_its_value(place: Site) -> None:
    """The refusal names the help of this command."""
    done = place.typed("signal", "out", "--gate")
    assert (done.code, "see fsm-orchestrator temporal signal --help" in done.stderr) == (2, True)


def test_worker_for_a_namespace_that_is_not_there(place: Site) -> None:
    """The error names the missing namespace, without the bytes of the server's answer."""
    done = place.typed("worker", "--namespace", "nobodys")
    assert (done.code, "Namespace nobodys" in done.stderr) == (1, True), done
    assert "Status {" not in done.stderr


def test_worker_whose_health_file_cannot_be_written(place: Site) -> None:
    """A worker that cannot write its health file is refused before it takes any run."""
    refused = place.typed("worker", "--health-file", "not-there/health.json")
    assert refused.code == 2, refused
    path = place.folder / "not-there" / "health.json"
    assert refused.stderr.startswith(f"fsm-orchestrator: cannot write the health file {path}: no")


def test_signal_where_no_run_was_submitted(place: Site) -> None:
    """A signal for a directory without a submitted run is refused with the directory."""
    done = place.typed("signal", "out", "--resume")
    assert (done.code, f"no run was submitted in {place.folder / 'out'}" in done.stderr) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    "words", [("list",), ("worker",), ("submit", "out", *TRUE), ("signal", "out", "--stop")]
)
def test_extra_that_is_not_installed(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The error names the extra to install."""
    monkeypatch.setitem(sys.modules, "temporalio.client", None)
    assert run_command_line(["temporal", *words]) == 2
    assert capfd.readouterr().err == (
        "fsm-orchestrator: runs across machines need temporalio, which is not installed\n"
        "  pip install 'fsm-orchestrator[temporal]'\n"
    )


def test_worker_without_a_lease_leaves_the_run_to_another() -> None:
    """A worker that gets no lease leaves the run to another, and nobody has to resume it."""
    refused = application_error(LeaseError("no timer is available for a lease"), Masker())
    assert (refused.type, refused.non_retryable) == (Failure.OPERATION, False)
