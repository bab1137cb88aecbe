"""A plan, a request, an approval, and the approved plan's application, with real keys."""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, run
from fsm_orchestrator.clock import SystemClock
from fsm_orchestrator.explanation.evidence_remedies import REMEDIES
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.vocabulary import SchemaName
from tests.approvals.approval_cases import (
    APPLY,
    SIGNED,
    approve,
    begin,
    evidence,
    go_on,
    project,
    request_sha256,
    requests,
    sign_plainly,
)
from tests.support.command import EVENTS, orchestrate, report_of
from tests.support.schema_checks import assert_valid

pytestmark = pytest.mark.one_in(2)

Keys = dict[str, Path]


@pytest.fixture
def folder(tmp_path: Path, signers: str) -> Path:
    """Return a project that asks, and has not asked yet."""
    (tmp_path / "signers").write_text(signers)
    return project(tmp_path)


def test_whole_play(folder: Path, keys: Keys) -> None:
    """Plan, request, approval, tampered plan, stale, second approval, applied, done."""
    assert begin(folder).code == 3
    (request,) = requests(folder)
    assert stat.S_IMODE(request.stat().st_mode) == 0o600
    document = json.loads(request.read_text())
    assert_valid(SchemaName.APPROVAL_REQUEST, document, str(request))
    report = report_of(folder / "out")
    waits = {
        "gate": "review",
        "state": "approving",
        "request": "approvals/review.1.request.json",
        "approvers": ["bob@example.org", "cat@example.org"],
        "given": 0,
        "needed": 1,
        "expires_at": document["predicate"]["expiresAt"],
    }
    assert report["waiting_for"] == [waits]
    last = json.loads((folder / "out" / EVENTS).read_text().splitlines()[-1])
    assert (last["event"], last["waiting_for"]) == ("run.ended", [waits])
    assert not (folder / "applied.md").exists()

    approved = approve(folder, keys["bob"], "--reason", "read it")
    assert (approved.code, "1 of 1 approval" in approved.stdout) == (0, True), approved.stderr
    (folder / "plan.md").write_text("another plan\n")
    refused = approve(folder, keys["cat"])
    assert refused.code == 2
    assert "is stale: the artifact" in refused.stderr
    assert go_on(folder).code == 2  # a completed stage has changed
    assert go_on(folder, "--on-changed-stage", "keep").code == 3
    stale = evidence(folder)
    assert stale["problem"] == "stale"
    assert "plan.md was" in stale["detail"]
    assert [one.name for one in requests(folder)] == [
        "review.1.request.json",
        "review.2.request.json",
    ]

    seen = approve(folder, keys["bob"])
    assert "changed since bob@example.org approved the last request" in seen.stdout
    assert "| -the plan" in seen.stdout
    assert "| +another plan" in seen.stdout
    # Kept on purpose: the run is done and still must not be closed.
    assert go_on(folder, "--on-changed-stage", "keep").code == 1
    explained = orchestrate("explain", "./out", cwd=folder).stdout
    assert "fsm-orchestrator ./out --config run.toml\n" in explained  # a source needs no signal
    assert (folder / "applied.md").read_text() == "another plan\n"
    done = evidence(folder)
    assert (done["problem"], done["signer"]) == (None, "bob@example.org")
    assert approve(folder, keys["bob"]).code == 2


def test_approved_plan_is_applied_and_closed(folder: Path, keys: Keys) -> None:
    """A resume keeps approvals given in between, and a plain signature is an approval."""
    begin(folder)
    assert go_on(folder).code == 3
    assert len(requests(folder)) == 1
    sign_plainly(folder, keys["bob"])
    assert go_on(folder).code == 0
    report = report_of(folder / "out")
    assert report["closure_ready"]
    assert report["waiting_for"] == []
    (answer,) = evidence(folder)["approval"]["answers"]
    assert (answer["principal"], answer["is_signed"], answer["user"]) == (
        "bob@example.org",
        True,
        None,
    )


def test_rework_asks_again(folder: Path, keys: Keys) -> None:
    """The same plan in another cycle is another entry, and the earlier approval is used up."""
    project(folder, apply=f"{APPLY}; test -e again || {{ touch again; exit 7; }}")
    begin(folder)
    approve(folder, keys["bob"])
    ended = go_on(folder)
    assert ended.code == 3
    found = evidence(folder)
    assert found["problem"] == "used"
    assert found["approval"]["cycle"] == 2
    (mine,) = found["approval"]["answers"]
    assert (mine["principal"], mine["problem"]) == ("bob@example.org", "used")
    assert "it was used for cycle 1, and cycle 2 is asked for" in found["detail"]
    explained = " ".join(orchestrate("explain", "./out", "--all", cwd=folder).stdout.split())
    assert "problem used" in explained
    assert REMEDIES[EvidenceProblem.USED] in explained
    seen = orchestrate("approve", "./out", "--key", keys["bob"], cwd=folder).stdout
    assert "asks for approval, cycle 2" in seen
    assert [json.loads(one.read_text())["predicate"]["cycle"] for one in requests(folder)] == [1, 2]
    # Answers to the first request do not count now, not even under another file name.
    first = next((folder / "out" / "approvals").glob("review.1.approve.*.json"))
    shutil.copy(first, first.with_name(first.name.replace("review.1.", "review.2.")))
    assert go_on(folder).code == 3
    assert evidence(folder)["problem"] == "used"
    assert approve(folder, keys["bob"]).code == 0
    assert go_on(folder).code == 0


def test_retry_and_resume_belong_to_the_same_entry(folder: Path, keys: Keys) -> None:
    """A failed apply that is resumed with the same digests needs no second approval."""
    project(folder, apply="test -e again || { touch again; exit 5; }; cp plan.md applied.md")
    begin(folder)
    approve(folder, keys["bob"])
    assert go_on(folder).code == 1
    assert go_on(folder).code == 0
    assert len(requests(folder)) == 1


def test_revocation_in_mid_run_counts_when_it_would_close(folder: Path, keys: Keys) -> None:
    """If the key is revoked during the application, the work is done and the run not closed."""
    public = keys["bob"].with_suffix(".pub")
    (folder / "revoked").write_text("")
    terms = f'{SIGNED}\nrevoked_keys = "revoked"'
    project(folder, terms, apply=f"cp {public} revoked; {APPLY}")
    begin(folder)
    approve(folder, keys["bob"])
    assert go_on(folder).code == 3
    assert evidence(folder)["problem"] == "revoked"
    changed = f"{folder / 'revoked'} was changed or replaced while stages were at work"
    assert any(changed in one for one in report_of(folder / "out")["warnings"])
    assert report_of(folder / "out")["waiting_for"][0]["gate"] == "review"


def test_expiry_in_mid_run_counts_when_it_would_close(
    folder: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The four hours of the approval pass during the application."""
    project(folder, apply=f"touch late; {APPLY}")
    begin(folder)
    assert approve(folder, keys["bob"], "--expires", "4h").code == 0

    def now(_clock: SystemClock) -> datetime:
        late = timedelta(hours=5) if (folder / "late").exists() else timedelta()
        return datetime.now(UTC) + late

    monkeypatch.setattr(SystemClock, "now", now)
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    report = run(RunConfig(output_directory=folder / "out", resume=True))
    assert report.exit_code == 3
    assert (folder / "applied.md").exists()
    found = evidence(folder)
    assert (found["problem"], "expired 1h" in found["detail"]) == ("expired", True)
    assert len(requests(folder)) == 1  # the request is still valid: it can be approved again


def test_request_names_no_secret(tmp_path: Path, signers: str) -> None:
    """Variables appear by name alone, and a secret in an argument is masked, with a flag."""
    (tmp_path / "signers").write_text(signers)
    project(tmp_path)
    config = tmp_path / "run.toml"
    text = config.read_text().replace(
        'args = ["apply.sh"]', 'args = ["apply.sh", "--key=pass3word"]'
    )
    config.write_text(f'{text}secrets = ["MY_KEY"]\nenv = {{ COLOR = "mauve" }}\n')
    ended = begin(tmp_path, env={"MY_KEY": "pass3word"})
    assert ended.code == 3, ended.stderr
    raw = requests(tmp_path)[-1].read_text()
    (command,) = json.loads(raw)["predicate"]["commands"]
    assert command["environment"] == ["COLOR", "MY_KEY"]
    assert command["masked"]
    assert "pass3word" not in raw
    assert "mauve" not in raw


def test_program_and_arguments_that_are_files_are_named(folder: Path, keys: Keys) -> None:
    """A changed script is a changed command, though its name is the same."""
    begin(folder)
    approve(folder, keys["bob"])
    (folder / "apply.sh").write_text("echo harm > applied.md\n")
    assert go_on(folder).code == 3
    assert evidence(folder)["problem"] == "stale"
    assert "the command of executor has changed" in evidence(folder)["detail"]
    assert "apply.sh" in approve(folder, keys["bob"]).stdout


def test_new_run_archives_what_was_asked(folder: Path) -> None:
    """Requests belong to their run and are archived with it."""
    begin(folder)
    sha256 = request_sha256(folder)
    assert begin(folder).code == 3
    archived = list((folder / "out" / "archive").glob("*/approvals/review.1.request.json"))
    assert len(archived) == 1
    assert request_sha256(folder) != sha256


def test_request_that_was_planted_stops_nothing(folder: Path, keys: Keys) -> None:
    """A planted request of another cycle with the highest possible number has no effect."""
    begin(folder)
    asked = requests(folder)[-1]
    planted = asked.with_name("review.999999999.request.json")
    planted.write_text(asked.read_text().replace('"cycle": 1', '"cycle": 2'))
    named = ("--digest", hashlib.sha256(asked.read_bytes()).hexdigest())
    typed = ("approve", "./out", "--key", keys["bob"], *named)
    approved = orchestrate(*typed, cwd=folder)
    assert approved.code == 0, approved.stderr
    assert go_on(folder).code == 0


def test_changed_subject_is_not_approved(folder: Path, keys: Keys) -> None:
    """It is not approved, and earlier approvals do not count, for the run has another subject."""
    (folder / "spec.txt").write_text("spec")
    project(folder, more='[subject]\nfiles = ["spec.txt"]')
    begin(folder)
    assert approve(folder, keys["bob"]).code == 0
    (folder / "spec.txt").write_text("another")
    refused = approve(folder, keys["cat"])
    assert (refused.code, "is stale: the subject" in refused.stderr) == (2, True)
    assert go_on(folder).code == 3
    assert not (folder / "applied.md").exists()
    (folder / "spec.txt").write_text("spec")
    assert go_on(folder).code == 0


def test_who_asks_must_be_said(folder: Path) -> None:
    """A missing requester is refused at the start, unless the terms exclude nobody."""
    project(folder, 'allowed_signers = "signers"')
    refused = begin(folder)
    assert refused.code == 2
    assert "--requester PRINCIPAL" in refused.stderr
    assert not (folder / "out").exists()
    words = ("run", "./out", "--config", "run.toml", "--requester", "ann@example.org")
    assert orchestrate(*words, cwd=folder).code == 3
    document = json.loads(requests(folder)[-1].read_text())
    assert document["predicate"]["requester"]["principal"] == "ann@example.org"
    project(folder, 'allowed_signers = "signers"\nnot = []')
    assert begin(folder).code == 3
    project(folder, "quorum = 1")
    assert "needs allowed_signers, or unsigned = true" in begin(folder).stderr
