"""The proof of a bundle: of every outcome, on another machine's paths, to whom, as of when."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.bundle.known import Requirement, Wanted
from fsm_orchestrator.bundle.opened import OpenedBundle
from fsm_orchestrator.bundle.verified import Check, CheckState, Link, Proof, Verdict, Verification
from fsm_orchestrator.bundle.verifying import verification_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.record import moving_out
from fsm_orchestrator.text.instants import instant
from tests.approvals.approval_cases import line, make_key
from tests.bundle.bundle_cases import bundle, members
from tests.bundle.conftest import Runs
from tests.bundle.proof_cases import (
    APPROVER,
    MAKER,
    Whole,
    archive_of,
    listing_anew,
    made,
    verified,
)
from tests.gates.evidence_cases import tool
from tests.support.command import (
    CHECKPOINT,
    EVENTS,
    PASSING,
    REPORT,
    accepting,
    after_a_power_cut,
    environment,
    orchestrate,
    read_json,
    report_of,
    stages,
)
from tests.support.long_history import failed_often
from tests.support.outcome_runs import OUTCOMES

pytestmark = pytest.mark.one_in(2)

ALWAYS: Final = {
    *(Link.ARCHIVE, Link.STATEMENT, Link.MEMBERS, Link.CHECKPOINT, Link.LIFECYCLE, Link.HISTORY),
    *(Link.CHAIN, Link.RECORD, Link.REPORT, Link.DERIVED),
}


def check_of(found: Verification, link: Link) -> Check:
    """Return one link."""
    return next(one for one in found.checks if one.link is link)


def passed(found: Verification) -> set[Link]:
    """Return the links that hold."""
    return {one.link for one in found.checks if one.state is CheckState.PASSED}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("case", OUTCOMES)
def test_bundle_of_every_outcome_is_consistent(runs: Runs, tmp_path: Path, case: str) -> None:
    """Every link holds with rework, retries, groups, an unconditional stage, kills and resumes."""
    run, folder = OUTCOMES[case], runs(case)
    found = verified(made(folder, tmp_path / "b"))
    assert found.verdict is Verdict.CONSISTENT, found.broken
    assert passed(found) >= ALWAYS
    assert (found.terminal_state, found.closure_ready) == (run.terminal_state, run.closure_ready)
    assert (found.by, found.first_broken) == ((), None)
    head = Wanted(expected_head=found.head)
    known = verified((tmp_path / "b").read_bytes(), head)
    assert (known.verdict, known.by) == (Verdict.VERIFIED, (Proof.EXPECTED_HEAD,))


def test_nothing_of_the_machine_is_needed(whole: Whole, tmp_path: Path) -> None:
    """Without the run's directory and state there are still a page and a verdict."""
    there = tmp_path / "elsewhere"
    there.mkdir()
    for name in ("whole.fsmbundle", "signers"):
        shutil.copy(whole.folder / name, there / name)
    hidden = whole.folder.with_name("hidden")
    whole.folder.rename(hidden)
    try:
        words = ("whole.fsmbundle", "--allowed-signers", "signers", "--html", "page.html")
        ended = orchestrate("verify-bundle", *words, cwd=there, env={"PATH": os.environ["PATH"]})
    finally:
        hidden.rename(whole.folder)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.startswith("✓ whole.fsmbundle: verified, by a signature\n")
    page = (there / "page.html").read_text()
    assert "Made from a bundle, not from the run" in page
    assert re.search(r"<strong>Verified</strong>", page)
    assert "policy: passed by what a person typed, which nothing proves" in page
    assert str(there / "whole.fsmbundle") in page
    assert "fsm-orchestrator-" not in page


WATCHED: Final = """\
import sys
from fsm_orchestrator.cli.main import run_command_line

def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and str(arguments[0]).startswith(sys.argv[1]):
        print("looked at", arguments[0], file=sys.stderr)

sys.addaudithook(watch)
sys.exit(run_command_line(sys.argv[2:]))
"""


def test_no_path_of_a_bundle_is_followed(whole: Whole, tmp_path: Path) -> None:
    """The recorded paths still exist on this very machine, and are not even looked at."""
    shutil.copy(whole.path, tmp_path / "b")
    words = (str(whole.folder), "verify-bundle", "b", "--html", "page.html")
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *words],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "page.html").exists()


def test_signed_bundle_says_by_whom_and_who_approved(whole: Whole) -> None:
    """Every link except the head holds; keys were judged as of the end of the run."""
    found = verified(whole.path.read_bytes(), whole.wanted)
    assert (found.verdict, found.by) == (Verdict.VERIFIED, (Proof.SIGNATURE,))
    assert passed(found) == {*Link} - {Link.HEAD}
    (signature,) = found.signatures
    assert signature.signer == MAKER
    assert f"review: approved by {APPROVER}" in check_of(found, Link.APPROVALS).notes
    assert found.judged_at == report_of(whole.folder / "out")["transitions"][-1]["at"]


def test_a_later_look_does_not_move_the_end(runs: Runs, tmp_path: Path) -> None:
    """The approvals of a done run that is visited again are judged as of when it was done."""
    folder = runs("done, then resumed")
    found = verified(made(folder, tmp_path / "b"))
    report = report_of(folder / "out")
    ends = [one["at"] for visit in report["earlier_invocations"] for one in visit["transitions"]]
    assert report["transitions"] == []
    assert found.judged_at == ends[-1] < report["finished_at"]


def test_without_keys_nobody_is_named(whole: Whole) -> None:
    """Links that need no key hold; signers and approvers are shown as not verified."""
    found = verified(whole.path.read_bytes())
    assert found.verdict is Verdict.CONSISTENT
    for link in (Link.SIGNATURES, Link.APPROVALS):
        assert check_of(found, link).state is CheckState.NOT_APPLICABLE
    assert [one.signer for one in found.signatures] == [None]
    assert any(one.startswith("review: who has approved") for one in found.not_verified)


@pytest.fixture
def other_key(tmp_path: Path) -> Path:
    """Return the key of an unrelated person."""
    return make_key(tmp_path, "eve")


def keys_of(whole: Whole, *lines: str) -> Wanted:
    """Verify by a file of keys with other lines."""
    path = whole.folder / "other_signers"
    path.write_text("".join(lines))
    return Wanted(allowed_signers=str(path))


def signer_lines(whole: Whole, options: str = "") -> Iterator[str]:
    """Return the lines of the verifier's file, with an option."""
    for name, principal in (("bob", APPROVER), ("maker", MAKER)):
        yield line(whole.folder / name, principal, options)


def test_unknown_signer_is_no_signer(whole: Whole, other_key: Path) -> None:
    """A signature by a key that the verifier does not know breaks the link, with this reason."""
    bob, _ = signer_lines(whole)
    wanted = keys_of(whole, bob, line(other_key, "eve@example.org"))
    found = verified(whole.path.read_bytes(), wanted)
    assert found.broken is not None
    assert found.broken.link is Link.SIGNATURES
    assert found.broken.problem is EvidenceProblem.UNKNOWN_SIGNER


def test_unknown_approver_is_no_approver(whole: Whole) -> None:
    """The bundle is signed, and nothing shows that anybody approved."""
    _, maker = signer_lines(whole)
    found = verified(whole.path.read_bytes(), keys_of(whole, maker))
    assert found.broken is not None
    assert found.broken.link is Link.APPROVALS
    assert found.verdict is Verdict.BROKEN


def test_keys_are_judged_as_of_the_end_of_the_run(whole: Whole) -> None:
    """A key that has expired since counts; one that expired before, or came later, does not."""
    data = whole.path.read_bytes()
    ended = instant(report_of(whole.folder / "out")["finished_at"])
    soon, before = (ended + timedelta(seconds=each) for each in (2, -2))
    while datetime.now(UTC) <= soon + timedelta(seconds=1):  # ssh-keygen counts seconds
        time.sleep(0.1)
    for option, at, is_good in (
        ("valid-before", soon, True),
        ("valid-before", before, False),
        ("valid-after", before, True),
        ("valid-after", soon, False),
    ):
        options = f'{option}="{at.astimezone():%Y%m%d%H%M%S}"'
        found = verified(data, keys_of(whole, *signer_lines(whole, options)))
        assert (found.verdict is Verdict.VERIFIED) is is_good, options


def test_revocation_is_by_the_files_of_the_verifier(whole: Whole) -> None:
    """A key that is revoked now was never good."""
    revoked = whole.folder / "revoked"
    revoked.write_text((whole.folder / "maker.pub").read_text())
    wanted = whole.wanted._replace(revoked_keys=str(revoked))
    found = verified(whole.path.read_bytes(), wanted)
    assert found.broken is not None
    assert (found.broken.link, found.broken.problem) == (Link.SIGNATURES, EvidenceProblem.REVOKED)
    revoked.write_text("no key\n")
    with pytest.raises(UsageError, match="revoked is malformed"):
        verified(whole.path.read_bytes(), wanted)


def test_what_is_required_must_be_there(whole: Whole, runs: Runs, tmp_path: Path) -> None:
    """A requirement that the verifier's own keys and the bundle do not meet breaks its link."""
    data = whole.path.read_bytes()
    every = frozenset(Requirement) - {Requirement.EVIDENCE}  # policy was typed
    assert verified(data, whole.wanted._replace(requires=every)).verdict is Verdict.VERIFIED
    plain = made(runs("done"), tmp_path / "b")
    for data_of, link, requirement in (
        (data, Link.EVIDENCE, Requirement.EVIDENCE),
        (data, Link.SIGNATURES, Requirement.SIGNATURE),
        (data, Link.APPROVALS, Requirement.APPROVALS),
        (plain, Link.SIGNATURES, Requirement.SIGNATURE),
        (plain, Link.APPROVALS, Requirement.APPROVALS),
    ):
        found = verified(data_of, Wanted(requires=frozenset({requirement})))
        assert found.first_broken is link, requirement


def test_another_head_is_another_run(runs: Runs, tmp_path: Path) -> None:
    """The message has the expected head and the actual one."""
    found = verified(made(runs("done"), tmp_path / "b"), Wanted(expected_head="0" * 64))
    assert found.first_broken is Link.HEAD
    assert found.broken is not None
    assert "0" * 64 in found.broken.detail
    assert str(found.head) in found.broken.detail


# -- histories ------------------------------------------------------------------------------------


def test_moved_and_copied_runs_are_consistent(tmp_path: Path) -> None:
    """A run that continued elsewhere and a copy that became another run are consistent."""
    assert orchestrate("./out", *PASSING, *stages("exit 0", "exit 3"), cwd=tmp_path).code == 1
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    again = ("--executor-bin", "true")
    words = ("./copy", "--resume", "--as-copy", "--run-id", "a-copy", *again)
    assert orchestrate(*words, cwd=tmp_path).code == 0
    (tmp_path / "out").rename(tmp_path / "moved")
    assert orchestrate("./moved", "--resume", *again, cwd=tmp_path).code == 0
    for name in ("copy", "moved"):
        ended = orchestrate("bundle", name, f"{name}.fsmbundle", cwd=tmp_path)
        assert ended.code == 0, ended.stderr
        found = verified((tmp_path / f"{name}.fsmbundle").read_bytes())
        assert found.verdict is Verdict.CONSISTENT, found.broken
        assert found.closure_ready


def test_gap_is_told_and_the_rest_holds(tmp_path: Path) -> None:
    """A torn line, and lines whose loss was accepted, are reported, and nothing else."""
    orchestrate("./out", *PASSING, *stages("exit 0", "exit 3"), cwd=tmp_path)
    with (tmp_path / "out" / EVENTS).open("ab") as log:
        log.write(b'{"schema_version": 1, "se')
    after_a_power_cut(tmp_path)
    orchestrate("./out", "--resume", cwd=tmp_path)
    found = verified(made(tmp_path, tmp_path / "torn"))
    assert found.verdict is Verdict.CONSISTENT, found.broken
    (said,) = (one for one in check_of(found, Link.CHAIN).notes if "torn line" in one)
    assert "25 bytes" in said

    lines = (tmp_path / "out" / EVENTS).read_bytes().splitlines(keepends=True)
    (tmp_path / "out" / EVENTS).write_bytes(b"".join(lines[:4]))
    out = tmp_path / "out"
    assert orchestrate("./out", *accepting(out), cwd=tmp_path).code == 1
    found = verified(made(tmp_path, tmp_path / "accepted"))
    assert found.verdict is Verdict.CONSISTENT, found.broken
    assert any("is a gap (" in one for one in found.not_verified)


def test_old_invocations_are_held_against_their_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of a long history is in the bundle, and none of its lines can be changed."""
    failed_often(tmp_path / "out")
    data = made(tmp_path, tmp_path / "b")
    monkeypatch.setattr(moving_out, "KEPT_MAX", 4)  # as when it was made
    monkeypatch.setattr(moving_out, "KEPT_MIN", 2)
    found = verified(data)
    assert found.verdict is Verdict.CONSISTENT, found.broken
    kept = members(tmp_path / "b")
    name = "orchestrator_invocations.jsonl"
    *lines, last = kept[name].splitlines(keepends=True)
    forged = {
        "changed": kept[name].replace(b'"exit_code":1', b'"exit_code":2', 1),
        "shorter": last,
        "longer": kept[name] + last,
        "in another order": b"".join([*lines[::-1], last]),
    }
    assert len(lines) > 1
    for how, new in forged.items():
        broken = verified(archive_of(listing_anew({**kept, name: new}))).broken
        assert broken is not None, how
        assert (broken.link, broken.member) == (Link.RECORD, name), how


# -- the file -------------------------------------------------------------------------------------


LARGE_BYTES: Final = 100 * 1000**2
HELD_BYTES_MAX: Final = 24 * 1024**2


def test_large_artifacts_stream_in_flat_memory(tmp_path: Path) -> None:
    """A run with an artifact of 100 MB is verified with only a few pieces in memory."""
    large = ("--manager-expected-artifact", "large.bin")
    make = f"truncate -s {LARGE_BYTES} large.bin"
    assert orchestrate("./out", *PASSING, *stages(make), *large, cwd=tmp_path).code == 0
    path = tmp_path / "b"
    assert bundle(tmp_path, path, "--with-artifacts").code == 0
    tracemalloc.start()
    try:
        with path.open("rb") as stream:
            found, _ = verification_of(OpenedBundle(stream, str(path)), Wanted())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > LARGE_BYTES
    assert found.verdict is Verdict.CONSISTENT, found.broken
    assert check_of(found, Link.ARTIFACTS).state is CheckState.PASSED
    assert peak_bytes < HELD_BYTES_MAX


def test_dsse_signature_is_verified_by_a_public_key(runs: Runs, tmp_path: Path) -> None:
    """An ed25519 key in PEM verifies it; another key does not."""
    pytest.importorskip("cryptography")
    for name in ("key", "other"):
        run = ("openssl", "genpkey", "-algorithm", "ed25519", "-out", name)
        public = ("openssl", "pkey", "-in", name, "-pubout", "-out", f"{name}.pub")
        for words in (run, public):
            tool(tmp_path, *words)
    data = made(runs("done"), tmp_path / "b", "--key", str(tmp_path / "key"))
    good = Wanted(public_keys=(str(tmp_path / "key.pub"),))
    assert verified(data, good).by == (Proof.SIGNATURE,)
    other = Wanted(public_keys=(str(tmp_path / "other.pub"),))
    assert verified(data, other).first_broken is Link.SIGNATURES
    assert verified(data).verdict is Verdict.CONSISTENT
    found = members(tmp_path / "b")
    for name in [one for one in found if one.endswith(".dsse.json")]:
        document = json.loads(found[name])
        signature = document["signatures"][0]["sig"]
        document["signatures"][0]["sig"] = f"{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
        forged = archive_of({**found, name: (json.dumps(document) + "\n").encode()})
        assert verified(forged, good).broken is not None


def test_checkpoint_of_the_bundle_is_the_one_of_the_run(whole: Whole) -> None:
    """The verified checkpoint is the one that the run left, byte for byte."""
    found = members(whole.path)
    out = whole.folder / "out"
    assert json.loads(found[CHECKPOINT]) == read_json(out / CHECKPOINT)
    assert found[REPORT] == (out / REPORT).read_bytes()
