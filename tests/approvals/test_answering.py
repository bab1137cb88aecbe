"""`approve`, `deny` and `withdraw` as people type them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fsm_orchestrator.vocabulary import SchemaName
from tests.approvals.approval_cases import (
    ASKED,
    approve,
    begin,
    evidence,
    go_on,
    judged,
    look,
    project,
    request_sha256,
    requests,
    tool,
)
from tests.support.command import orchestrate, start, tree_of
from tests.support.patience import PATIENCE_SECONDS
from tests.support.schema_checks import assert_valid
from tests.support.screen import Terminal

pytestmark = pytest.mark.one_in(2)

Keys = dict[str, Path]


def test_without_a_terminal_the_digest_is_named(waiting: Path, keys: Keys) -> None:
    """An approval without a terminal has to name the request's digest, which the request shows."""
    key = ("--key", keys["bob"])
    refused = orchestrate("approve", "./out", *key, cwd=waiting)
    assert refused.code == 2
    assert f"--digest {request_sha256(waiting)}" in refused.stderr
    assert "| the plan" in refused.stdout
    assert "$ sh apply.sh" in refused.stdout
    wrong = orchestrate("approve", "./out", *key, "--digest", "0" * 64, cwd=waiting)
    assert wrong.code == 2
    assert "has another digest" in wrong.stderr
    assert judged(waiting)[0] == "not_found"
    assert approve(waiting, keys["bob"], "--expires", "4h").code == 0
    assert judged(waiting)[0] is None
    (bundle,) = (waiting / "out" / "approvals").glob("review.1.approve.*.json")
    statement = json.loads(json.loads(bundle.read_text())["statement"])
    assert_valid(SchemaName.APPROVAL_DECISION, statement, str(bundle))


@pytest.mark.parametrize(("answer", "code", "lines"), [("y", 0, 60), ("n", 1, 60), ("y", 0, 12)])
def test_terminal_asks(waiting: Path, keys: Keys, answer: str, code: int, lines: int) -> None:
    """The request is shown before the question, in the pager if long; a no leaves no file."""
    words = ("approve", "./out", "--key", str(keys["bob"]))
    with Terminal(*words, cwd=waiting, lines=lines, env={"PAGER": "cat"}) as screen:
        screen.until_shown("[y/N]")
        assert any("| the plan" in one for one in screen.all_lines)
        screen.type(f"{answer}\n")
        assert screen.end() == code
    assert (judged(waiting)[0] is None) is (code == 0)


def test_denial_and_withdrawal(waiting: Path, keys: Keys) -> None:
    """A denial wins, and holds until the same person withdraws it."""
    digest = ("--digest", request_sha256(waiting))
    approve(waiting, keys["cat"])
    by_bob = ("--key", keys["bob"], *digest)
    unexplained = orchestrate("deny", "./out", *by_bob, cwd=waiting)
    assert unexplained.code == 2
    denied = orchestrate("deny", "./out", *by_bob, "--reason", "no backup", cwd=waiting)
    assert denied.code == 0, denied.stderr
    assert judged(waiting)[0] == "denied"
    again = approve(waiting, keys["bob"])
    assert again.code == 2
    assert "holds until it is withdrawn" in again.stderr
    beside = approve(waiting, keys["cat"], "--reason", "still")
    assert (beside.code, "denied by bob@example.org ('no backup')" in beside.stdout) == (0, True)
    other = orchestrate("withdraw", "./out", "--key", keys["ann"], *digest, cwd=waiting)
    assert (other.code, "nothing to this request" in other.stderr) == (2, True)
    assert orchestrate("withdraw", "./out", *by_bob, cwd=waiting).code == 0
    assert judged(waiting) == (None, "approved by cat@example.org")
    assert approve(waiting, keys["bob"]).code == 0


@pytest.mark.parametrize(
    ("name", "said"), [("ann", "(self_approval)"), ("eve", "(unknown_signer)")]
)
def test_what_would_not_count_is_not_kept(waiting: Path, keys: Keys, name: str, said: str) -> None:
    """The person who typed it gets an error at once."""
    before = sorted((waiting / "out" / "approvals").iterdir())
    refused = approve(waiting, keys[name])
    assert refused.code == 2
    assert said in refused.stderr
    assert sorted((waiting / "out" / "approvals").iterdir()) == before


def test_another_machine(waiting: Path, keys: Keys, tmp_path: Path) -> None:
    """A request is sent, signed there, and its answer sent back; a plain signature counts too."""
    sent = tmp_path / "review.1.request.json"
    shutil.copy(requests(waiting)[-1], sent)
    words = ("approve", "--request", sent.name, "--out", "bob.approval", "--key", keys["bob"])
    unnamed = orchestrate(*words, cwd=tmp_path)
    assert (unnamed.code, "--digest" in unnamed.stderr) == (2, True)
    signed = orchestrate(*words, "--digest", request_sha256(waiting), cwd=tmp_path)
    assert signed.code == 0, signed.stderr
    answer = tmp_path / "bob.approval"
    kept = orchestrate("approve", "./out", "--from", answer, cwd=waiting)
    assert kept.code == 0, kept.stderr
    assert "as bob@example.org" in kept.stdout
    assert orchestrate("deny", "./out", "--from", answer, cwd=waiting).code == 2
    tool(
        *("ssh-keygen", "-Y", "sign", "-q", "-f", keys["cat"], "-n", "fsm-orchestrator.approve"),
        sent,
        cwd=tmp_path,
    )
    plain = orchestrate("approve", "./out", "--from", tmp_path / f"{sent.name}.sig", cwd=waiting)
    assert plain.code == 0, plain.stderr
    assert judged(waiting, quorum=2)[0] is None
    plain_denial = ("deny", "./out", "--from", tmp_path / f"{sent.name}.sig", "--reason", "no")
    refused = orchestrate(*plain_denial, cwd=waiting)
    assert (refused.code, "the file says approve, and not deny" in refused.stderr) == (2, True)
    assert "fsm-orchestrator approve ./out --from" in refused.stderr
    nothing = tmp_path / "nothing"
    nothing.write_text("{}")
    assert (
        "is no approval" in orchestrate("approve", "./out", "--from", nothing, cwd=waiting).stderr
    )


def test_two_at_once_both_count(waiting: Path, keys: Keys) -> None:
    """Each answer has its own file, which appears whole."""
    digest = ("--digest", request_sha256(waiting))
    both = [
        start("approve", "./out", "--key", keys[one], *digest, cwd=waiting)
        for one in ("bob", "cat")
    ]
    for one in both:
        one.communicate(timeout=PATIENCE_SECONDS)
        assert one.returncode == 0
    assert judged(waiting, quorum=2)[0] is None


def test_agent_has_the_key(waiting: Path, keys: Keys, tmp_path: Path) -> None:
    """The allowed key is found in the agent; the named file may be its public part."""
    socket = tmp_path / "agent"
    agent = shutil.which("ssh-agent")
    assert agent is not None
    process = subprocess.Popen([agent, "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    try:
        env = {"SSH_AUTH_SOCK": str(socket), "HOME": str(tmp_path)}
        while not socket.exists():
            assert process.poll() is None
        add = shutil.which("ssh-add")
        assert add is not None
        subprocess.run([add, "-q", str(keys["cat"])], env={**os.environ, **env}, check=True)
        digest = ("--digest", request_sha256(waiting))
        found = orchestrate("approve", "./out", *digest, cwd=waiting, env=env)
        assert (found.code, "as cat@example.org" in found.stdout) == (0, True), found.stderr
        none = orchestrate(
            "approve",
            "./out",
            *digest,
            cwd=waiting,
            env={"HOME": str(tmp_path), "SSH_AUTH_SOCK": ""},
        )
        assert (none.code, "--key" in none.stderr) == (2, True)
    finally:
        process.terminate()
        process.wait()


@pytest.mark.parametrize("detached", [False, True], ids=["token", "keeper above"])
def test_stage_cannot_approve(tmp_path: Path, keys: Keys, signers: str, detached: bool) -> None:
    """It is refused even without its variable and in a session of its own."""
    (tmp_path / "signers").write_text(signers)
    bare = "env -u ORCHESTRATOR_ATTEMPT_TOKEN setsid" if detached else ""
    typed = (
        f"{bare} {sys.executable} -m fsm_orchestrator approve ./out --key {keys['bob']}"
        " --digest $(sha256sum < out/approvals/review.1.request.json | cut -d' ' -f1)"
    )
    apply = f"{typed} 2> said; echo $? >> said; cp plan.md applied.md"
    project(tmp_path, apply=apply)
    begin(tmp_path)
    approve(tmp_path, keys["cat"])
    assert go_on(tmp_path).code == 0
    said = (tmp_path / "said").read_text()
    assert "a stage cannot answer for a person" in said
    assert said.endswith("2\n")


def test_run_that_works_or_has_ended_says_so(tmp_path: Path, keys: Keys, signers: str) -> None:
    """An answer during the run is kept; once the run is done there is nothing to approve."""
    (tmp_path / "signers").write_text(signers)
    project(
        tmp_path,
        apply="touch begun; while test ! -e go; do sleep 0.05; done; cp plan.md applied.md",
    )
    begin(tmp_path)
    approve(tmp_path, keys["bob"])
    process = start("run", "./out", "--resume", cwd=tmp_path)
    while not (tmp_path / "begun").exists():
        assert process.poll() is None
    working = approve(tmp_path, keys["cat"])
    (tmp_path / "go").touch()
    process.communicate(timeout=PATIENCE_SECONDS)
    assert (working.code, "the run is at work" in working.stdout) == (0, True), working.stderr
    assert process.returncode == 0
    assert judged(tmp_path, quorum=2)[0] is None
    ended = approve(tmp_path, keys["bob"])
    assert (ended.code, "has ended, and is done" in ended.stderr) == (2, True)


def test_run_that_failed_asks_for_nothing_that_it_has(
    tmp_path: Path, keys: Keys, signers: str
) -> None:
    """An extra approval counts until the run continues; after that only a denial is accepted."""
    (tmp_path / "signers").write_text(signers)
    begin(project(tmp_path, apply="exit 1"))
    assert "review of run" in approve(tmp_path, keys["bob"]).stdout
    more = approve(tmp_path, keys["cat"])
    assert (more.code, "is approved already" in more.stdout) == (0, True), more
    assert go_on(tmp_path).code == 1
    kept = tree_of(tmp_path / "out" / "approvals")
    none = approve(tmp_path, keys["bob"])
    assert (none.code, none.stdout, "nothing is asked now" in none.stderr) == (2, "", True), none
    assert "fsm-orchestrator explain ./out" in none.stderr
    assert tree_of(tmp_path / "out" / "approvals") == kept
    named = ("--digest", request_sha256(tmp_path), "--reason", "no")
    denied = orchestrate("deny", "./out", "--key", keys["cat"], *named, cwd=tmp_path)
    assert "is approved already" in denied.stdout, denied


def test_unsigned_approval(tmp_path: Path) -> None:
    """It is kept with user and machine, never the requester's own, and shown as unsigned."""
    project(tmp_path, "unsigned = true")
    begin(tmp_path)
    digest = ("--digest", request_sha256(tmp_path))
    own = orchestrate("approve", "./out", *digest, cwd=tmp_path)
    assert (own.code, "(self_approval)" in own.stderr) == (2, True)
    # The requester is read from the record, whatever the request says.
    request = requests(tmp_path)[-1]
    request.write_text(request.read_text().replace(f'"uid": {os.getuid()}', '"uid": 4711'))
    forged = ("--digest", request_sha256(tmp_path))
    again = orchestrate("approve", "./out", *forged, cwd=tmp_path)
    assert (again.code, "(self_approval)" in again.stderr) == (2, True)
    project(tmp_path, "unsigned = true\nnot = []")
    begin(tmp_path)
    digest = ("--digest", request_sha256(tmp_path))
    assert orchestrate("approve", "./out", *digest, cwd=tmp_path).code == 0
    ended = go_on(tmp_path)
    assert ended.code == 0
    found = evidence(tmp_path)
    (answer,) = found["approval"]["answers"]
    assert (answer["uid"], answer["is_signed"], answer["key"]) == (os.getuid(), False, None)
    assert found["signer"] is None
    shown = " ".join(orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout.split())
    assert "(unsigned) (1 answer unsigned)" in shown


def test_nothing_to_answer(tmp_path: Path, waiting: Path, keys: Keys) -> None:
    """A run whose gates are plain signals names the option to use instead."""
    key = ("--key", keys["bob"])
    orchestrate("run", "./plain", "--manager-bin", "true", cwd=tmp_path)
    plain = orchestrate("approve", "./plain", *key, cwd=tmp_path)
    assert (plain.code, "--review-status approved" in plain.stderr) == (2, True)
    other = orchestrate("approve", "./out", *key, "--gate", "ci", cwd=waiting)
    assert (other.code, "the gate ci does not ask" in other.stderr) == (2, True)
    assert "name one that does: review" in other.stderr
    assert look(waiting).look.judged.problem is not None
    alone = orchestrate("approve", "./out", "--request", "x", cwd=waiting)
    assert (alone.code, "--request and --out go together" in alone.stderr) == (2, True)


def test_signal_cannot_pass_what_people_approve(waiting: Path, tmp_path: Path) -> None:
    """The refusal says what to do instead, and a signal that refuses the gate can be withdrawn."""
    before = tree_of(waiting / "out")
    new = ("run", "./new", "--config", "run.toml")
    for words in (("run", "./out", "--resume"), ("plan", "./out", "--resume"), new):
        refused = orchestrate(*words, f"--{ASKED}-status", "approved", cwd=waiting)
        assert refused.code == 2, refused
        assert "review is passed by approvals alone: 'approved' as a signal" in refused.stderr
        assert f"fsm-orchestrator approve {words[1]}" in refused.stderr
    assert tree_of(waiting / "out") == before
    assert not (waiting / "new").exists()
    shutil.copy(waiting / "signers", tmp_path)
    begin(project(tmp_path))
    for status, code in (("changes_requested", 3), ("approved", 3), ("approved", 2)):
        assert go_on(tmp_path, f"--{ASKED}-status", status).code == code


def test_signal_that_only_waits_is_taken_back_as_one_that_refuses(
    tmp_path: Path, keys: Keys, signers: str
) -> None:
    """It holds back an approved gate until a passing signal lifts it."""
    (project(tmp_path) / "signers").write_text(signers)
    assert begin(tmp_path).code == 3
    assert go_on(tmp_path, f"--{ASKED}-status", "missing").code == 3
    assert approve(tmp_path, keys["bob"]).code == 0
    assert go_on(tmp_path).code == 3
    assert go_on(tmp_path, f"--{ASKED}-status", "approved").code == 0
