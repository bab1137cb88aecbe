"""The approvals that count: real keys, real signatures, and every way in which one fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.approvals.request import ApprovalPredicate, request_bytes
from fsm_orchestrator.approvals.said import spoken
from fsm_orchestrator.model.approval import Said
from tests.approvals.approval_cases import (
    begin,
    judged,
    line,
    look,
    project,
    requests,
    say,
    sign_plainly,
    tool,
)
from tests.support.command import orchestrate

Keys = dict[str, Path]


def test_signature_by_another_key_is_an_approval(waiting: Path, keys: Keys) -> None:
    """A signature counts for a statement or for the request itself, until the request expires."""
    assert judged(waiting) == ("not_found", "0 of 1 approval: nobody has answered")
    say(waiting, keys["bob"])
    assert judged(waiting) == (None, "approved by bob@example.org")
    sign_plainly(waiting, keys["cat"])
    found = look(waiting).look
    assert found.judged.detail == "approved by bob@example.org and cat@example.org"
    assert found.current is not None
    assert found.judged.expires_at == found.current.predicate.expiresAt
    later = datetime.now(UTC) + timedelta(days=8)
    assert judged(waiting, later)[0] == "expired"


def by(name: str, **changes: Any) -> Callable[[Path, Keys], None]:
    """Return an action that gives one person's answer."""
    return lambda folder, keys: (say(folder, keys[name], **changes), None)[1]


def edited(folder: Path, keys: Keys) -> None:
    """Change a statement after it was signed."""
    path = say(folder, keys["bob"])
    bundle = json.loads(path.read_text())
    bundle["statement"] = bundle["statement"].replace('"reason": ""', '"reason": "more"')
    path.write_text(json.dumps(bundle))


def with_signers(text: str) -> Callable[[Path, Keys], None]:
    """Return an action that gives bob's answer, with this entry for him in the file of signers."""

    def act(folder: Path, keys: Keys) -> None:
        ann = line(keys["ann"], "ann@example.org")
        (folder / "signers").write_text(ann + line(keys["bob"], "bob@example.org", text))
        say(folder, keys["bob"])

    return act


def revoked(folder: Path, keys: Keys) -> None:
    """Revoke the key after it has signed."""
    say(folder, keys["bob"])
    (folder / "revoked").write_text(keys["bob"].with_suffix(".pub").read_text())


def pattern(folder: Path, keys: Keys) -> None:
    """Name a plain key by a pattern."""
    (folder / "signers").write_text(line(keys["bob"], "b*@example.org"))
    say(folder, keys["bob"])


def denied(folder: Path, keys: Keys) -> None:
    """Let one person deny what another has approved."""
    say(folder, keys["bob"])
    say(folder, keys["cat"], Said.DENY, reason="drops a table")


def two_names(folder: Path, keys: Keys) -> None:
    """Give one key two names, and sign as each."""
    names = ("bob@example.org", "rob@example.org")
    text = "".join(line(keys["bob"], one) for one in names)
    (folder / "signers").write_text(line(keys["ann"], "ann@example.org") + text)
    say(folder, keys["bob"])
    say(folder, keys["bob"], reason="again")


def forged(folder: Path, keys: Keys) -> None:
    """Have a request with another command signed."""
    path = requests(folder)[-1]
    text = path.read_text()
    document = json.loads(text)
    document["predicate"]["commands"][0]["argv"] = ["sh", "harmless.sh"]
    predicate = ApprovalPredicate.model_validate_json(json.dumps(document["predicate"]))
    path.write_bytes(request_bytes(predicate))
    say(folder, keys["bob"])


SIGNED: dict[str, tuple[Callable[[Path, Keys], None], dict[str, Any], str, str]] = {
    "whoever asked": (by("ann"), {}, "self_approval", "ann@example.org may not approve"),
    "whoever asked, unlisted": (
        by("ann"),
        {"principals": ("bob@example.org",)},
        "self_approval",
        "ann@example.org may not approve",
    ),
    "a second name of whoever asked": (
        by("ann"),
        {"requester": "bob@example.org", "not": ("requester", "ann@example.org")},
        "self_approval",
        "ann@example.org may not approve",
    ),
    "one of two": (by("bob"), {"quorum": 2}, "quorum", "1 of 2 approvals, by bob@example.org"),
    "a stranger": (by("eve"), {}, "unknown_signer", "it is signed, but not by"),
    "one who is not listed": (
        by("cat"),
        {"principals": ("bob@example.org",)},
        "unknown_signer",
        "it is signed, but not by bob@example.org",
    ),
    "an expired key": (with_signers('valid-before="20200101"'), {}, "expired", "has expired"),
    "a key to come": (with_signers('valid-after="21000101"'), {}, "not_yet_valid", "not valid yet"),
    "a key for evidence": (
        with_signers('namespaces="fsm-orchestrator.evidence"'),
        {},
        "unknown_signer",
        "it is signed, but not by",
    ),
    "a revoked key": (revoked, {"revoked_keys": "revoked"}, "revoked", "is revoked"),
    "a pattern for a plain key": (
        pattern,
        {"principals": ("bob@example.org",)},
        "unknown_signer",
        "it is signed, but not by",
    ),
    "another namespace": (
        by("bob", namespace="fsm-orchestrator.deny"),
        {},
        "bad_signature",
        "or is for another purpose",
    ),
    "an edited statement": (edited, {}, "bad_signature", "is not of these bytes"),
    "a denial": (denied, {}, "denied", "denied by cat@example.org ('drops a table')"),
    "two names of one key": (two_names, {"quorum": 2}, "quorum", "1 of 2 approvals"),
    "a forged request": (forged, {}, "stale", "the command of executor has changed"),
    "no signature": (
        lambda folder, _keys: (say(folder, None), None)[1],
        {},
        "unsigned",
        "only signed answers count",
    ),
    "no file of signers": (
        by("bob"),
        {"allowed_signers": "/nowhere/signers"},
        "engine_error",
        "no such file",
    ),
}


@pytest.mark.parametrize("case", SIGNED)
def test_what_does_not_count(waiting: Path, keys: Keys, case: str) -> None:
    """Each has a problem of its own, with its own message."""
    act, terms, problem, said = SIGNED[case]
    act(waiting, keys)
    if "revoked_keys" in terms:
        terms = {"revoked_keys": str(waiting / terms["revoked_keys"])}
    found, detail = judged(waiting, **terms)
    assert found == problem, detail
    assert said in detail


def test_requester_is_compared_by_key_too(waiting: Path, keys: Keys) -> None:
    """Another name for the requester's key is still the same person."""
    text = line(keys["ann"], "ann@example.org") + line(keys["ann"], "alias@example.org")
    (waiting / "signers").write_text(text)
    say(waiting, keys["ann"])
    assert judged(waiting, principals=("alias@example.org",))[0] == "self_approval"
    assert judged(waiting, **NOBODY)[0] is None


def test_certificates_count_by_authority_and_id(waiting: Path, keys: Keys, tmp_path: Path) -> None:
    """A pattern names them; the same key without its certificate is the same person."""
    authority = tmp_path / "authority"
    tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", authority, cwd=tmp_path)
    people = {}
    for name, key_id in (("bob", "one"), ("cat", "two"), ("eve", "one")):
        public = tmp_path / f"{name}.pub"
        public.write_text(keys[name].with_suffix(".pub").read_text())
        (tmp_path / name).write_bytes(keys[name].read_bytes())
        (tmp_path / name).chmod(0o600)
        who = ("-I", key_id, "-n", f"{name}@example.org")
        tool("ssh-keygen", "-q", "-s", authority, *who, public, cwd=tmp_path)
        people[name] = tmp_path / f"{name}-cert.pub"
        people[name].with_suffix("").write_bytes(keys[name].read_bytes())
        people[name].with_suffix("").chmod(0o600)
    authority_alone = line(authority, "*@example.org", "cert-authority")
    (waiting / "signers").write_text(line(keys["ann"], "ann@example.org") + authority_alone)
    say(waiting, people["cat"])
    assert judged(waiting) == (None, "approved by cat@example.org")
    assert judged(waiting, requester="cat@example.org")[0] == "self_approval"
    (waiting / "signers").write_text(line(authority, "*@example.com", "cert-authority"))
    problem, detail = judged(waiting)
    assert (problem, "names nobody whose key that is" in detail) == ("unknown_signer", True)
    shown = " ".join(orchestrate("explain", "./out", cwd=waiting).stdout.split())
    assert "anyone with a certificate that" in shown
    for one in (waiting / "out" / "approvals").glob("review.1.approve.*.json"):
        one.unlink()
    listed = tuple(f"{name}@example.org" for name in people)
    plain = line(keys["bob"], "bob@example.org")
    (waiting / "signers").write_text(
        line(keys["ann"], "ann@example.org")
        + line(authority, "*@example.org", "cert-authority")
        + plain
    )
    say(waiting, people["bob"])
    assert judged(waiting, principals=listed) == (None, "approved by bob@example.org")
    say(waiting, keys["bob"], reason="without the certificate")
    assert judged(waiting, principals=listed, quorum=2)[0] == "quorum"
    say(waiting, people["eve"])  # another key, with the same authority and id
    assert judged(waiting, principals=listed, quorum=2)[0] == "quorum"
    say(waiting, people["cat"])
    assert judged(waiting, principals=listed, quorum=2)[0] is None


UNSIGNED: dict[str, Any] = {"allowed_signers": None, "unsigned": True}
NOBODY: dict[str, Any] = {"not": ()}


def test_unsigned_approvals_count_where_allowed_and_are_called_so(waiting: Path) -> None:
    """They are kept with user, id and machine, and the id is compared with the requester's."""
    own = json.loads(requests(waiting)[-1].read_text())["predicate"]["requester"]["uid"]
    say(waiting, None, approver={"user": "me", "uid": own, "host": "elsewhere"})
    problem, detail = judged(waiting, **UNSIGNED)
    assert (problem, f"the user with the id {own} has asked" in detail) == ("self_approval", True)
    assert judged(waiting, **UNSIGNED, **NOBODY)[0] is None
    say(waiting, None, approver={"user": "sue", "uid": own + 1, "host": "there"})
    assert judged(waiting, **UNSIGNED) == (None, "approved by sue@there (unsigned)")
    say(waiting, None, approver={"user": "also", "uid": own + 1, "host": "here"})
    assert judged(waiting, **UNSIGNED, quorum=2)[0] == "quorum"


def test_denial_holds_until_the_same_person_withdraws_it(waiting: Path, keys: Keys) -> None:
    """Nobody else can withdraw it; after that, earlier approvals count again."""
    say(waiting, keys["bob"])
    denial = spoken(say(waiting, keys["cat"], Said.DENY, reason="no").read_bytes())
    say(waiting, keys["bob"], Said.WITHDRAW, withdraws=(denial.sha256,))
    assert judged(waiting)[0] == "denied"
    say(waiting, keys["cat"], Said.WITHDRAW, withdraws=(denial.sha256,))
    assert judged(waiting)[0] is None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"runId": "another-run"}, "wrong_run"),
        ({"cycle": 7}, "wrong_cycle"),
        ({}, "stale"),
    ],
)
def test_answer_to_another_request(
    waiting: Path, keys: Keys, changes: dict[str, Any], problem: str
) -> None:
    """A correctly signed answer to another request is refused with the difference."""
    other = requests(waiting)[-1].read_bytes().replace(b'"askedAt": "2', b'"askedAt": "1')
    say(waiting, keys["bob"], request=other, **changes)
    assert judged(waiting)[0] == problem


def test_request_that_holds_longer_than_it_may_is_none_of_ours(waiting: Path, keys: Keys) -> None:
    """Nobody who can write there can get an approval signed that never expires."""
    path = requests(waiting)[-1]
    path.write_bytes(path.read_bytes().replace(b'"expiresAt": "2', b'"expiresAt": "9'))
    say(waiting, keys["bob"])
    assert look(waiting).look.current is None
    assert judged(waiting)[0] == "stale"


def test_template_is_nobodys_name(tmp_path: Path) -> None:
    """A template as requester is refused: nobody has that name, so the requester could approve."""
    named = 'allowed_signers = "signers"\nrequester = "{env:WHO}"'
    project(tmp_path, named, more='requester = "{env:WHO}"')
    refused = begin(tmp_path, env={"WHO": "ann@example.org"})
    assert refused.code == 2
    assert "the requester is '{env:WHO}': `requester` has no templates" in refused.stderr
    assert not (tmp_path / "out").exists()
    project(tmp_path, named)
    (tmp_path / "signers").touch()
    assert begin(tmp_path, env={"WHO": "ann@example.org"}).code == 3
    (request,) = requests(tmp_path)
    asked = json.loads(request.read_text())["predicate"]["requester"]
    assert asked["principal"] == "ann@example.org"
