"""Signed evidence: real keys, real signatures, and every way in which one does not count."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from tests.gates.evidence_cases import (
    GATE_SIGNAL,
    assert_refused,
    config_with,
    evidence_of,
    run_with,
    sha256_of,
    statement,
    tool,
    write,
)
from tests.support.command import orchestrate

SUBJECT: Final = '[subject]\nfiles = ["plan.txt"]'
SIGNAL: Final = {"status": "success", "issuer": "ci", "issuedAt": "2026-01-01T00:00:00Z"}
SSH: Final = (
    'statement = "said.json"\n'
    'signed_by = { allowed_signers = "signers", principals = ["ci@example.org"] }'
)
REVOKING: Final = SSH.replace(" }", ', revoked = "revoked" }')
DSSE: Final = 'statement = "said.json"\nsigned_by = { dsse_keys = ["ci.pub.pem"] }'
NAMESPACE: Final = "fsm-orchestrator.evidence"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """Return a directory with a statement that the key `ci` has signed, and its signers."""
    (tmp_path / "plan.txt").write_text("plan")
    digest = {"sha256": sha256_of(tmp_path / "plan.txt")}
    write(tmp_path / "said.json", statement(digest, GATE_SIGNAL, SIGNAL))
    for name in ("ci", "other"):
        tool(tmp_path, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name)
    sign(tmp_path, "ci")
    allow(tmp_path, "ci@example.org", "ci")
    return tmp_path


def sign(folder: Path, key: str, namespace: str = NAMESPACE) -> None:
    """Sign the statement."""
    (folder / "said.json.sig").unlink(missing_ok=True)
    tool(folder, "ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", namespace, "said.json")


def allow(folder: Path, principal: str, key: str, options: str = "") -> None:
    """Write the file of signers."""
    public = (folder / f"{key}.pub").read_text()
    (folder / "signers").write_text(f"{principal} {options} {public}")


def test_signature_of_a_signer_passes(signed: Path) -> None:
    """The signer is named, and the statement is not called unsigned."""
    assert run_with(signed, SSH, more=SUBJECT).code == 0
    assert evidence_of(signed)["signer"] == "ci@example.org"
    for words in (("explain", "./out", "--all"), ("gates", "./out")):
        shown = " ".join(orchestrate(*words, cwd=signed).stdout.split())
        assert "ci says success (signed by ci@example.org)" in shown


def spoil(folder: Path, how: str) -> None:
    """Turn the signature into one that does not count."""
    match how:
        case "no signature":
            (folder / "said.json.sig").unlink()
        case "changed since":
            text = (folder / "said.json").read_text()
            (folder / "said.json").write_text(f"{text} ")
        case "for approvals":
            sign(folder, "ci", "fsm-orchestrator.approval")
        case "no signature at all in it":
            (folder / "said.json.sig").write_text("nothing")
        case "another key":
            sign(folder, "other")
        case "another person":
            allow(folder, "else@example.org", "ci")
        case "other purposes":
            allow(folder, "ci@example.org", "ci", 'namespaces="git"')
        case "expired key":
            allow(folder, "ci@example.org", "ci", 'valid-after="20200101",valid-before="20210101"')
        case "key of tomorrow":
            allow(folder, "ci@example.org", "ci", 'valid-after="20900101"')
        case "no signers":
            (folder / "signers").unlink()
        case _:
            raise AssertionError(how)


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("no signature", "unsigned"),
        ("changed since", "bad_signature"),
        ("for approvals", "bad_signature"),
        ("no signature at all in it", "bad_signature"),
        ("another key", "unknown_signer"),
        ("another person", "unknown_signer"),
        ("other purposes", "unknown_signer"),
        ("expired key", "expired"),
        ("key of tomorrow", "not_yet_valid"),
        ("no signers", "engine_error"),
    ],
)
def test_signature_that_does_not_count(signed: Path, how: str, problem: str) -> None:
    """The decision distinguishes the cases, although ssh-keygen exits alike for all of them."""
    spoil(signed, how)
    assert_refused(signed, run_with(signed, SSH, more=SUBJECT), problem, "missing")
    assert evidence_of(signed)["signer"] is None


def test_key_that_cannot_be_made_for_asking_hides_no_reason(
    signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that makes no such keys names the same reason as other hosts."""
    (signed / "bin").mkdir()
    wrapper = signed / "bin" / "ssh-keygen"
    real = shutil.which("ssh-keygen")
    wrapper.write_text(f'#!/bin/sh\n[ "$2" = -t ] && exit 1\nexec {real} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{signed / 'bin'}:{os.environ['PATH']}")
    shutil.copy(signed / "ci.pub", signed / "revoked")
    assert_refused(signed, run_with(signed, REVOKING, more=SUBJECT), "revoked", "missing")


def test_revoked_key(signed: Path) -> None:
    """A revoked key counts for nobody; without the file of revoked keys no key counts."""
    assert_refused(signed, run_with(signed, REVOKING, more=SUBJECT), "engine_error", "missing")
    (signed / "revoked").write_text("")
    assert run_with(signed, REVOKING, more=SUBJECT).code == 0
    shutil.copy(signed / "ci.pub", signed / "revoked")
    assert_refused(signed, run_with(signed, REVOKING, more=SUBJECT), "revoked", "missing")
    assert "revoked" in evidence_of(signed)["detail"]
    for text in (b"no key\n", b"\x00\xff" * 40):
        (signed / "revoked").write_bytes(text)
        assert_refused(signed, run_with(signed, REVOKING, more=SUBJECT), "engine_error", "missing")
        assert "is malformed: neither a list of keys nor a KRL" in evidence_of(signed)["detail"]
    krl = ("ssh-keygen", "-q", "-k", "-f", "revoked", "ci.pub")
    subprocess.run(krl, cwd=signed, check=True)
    assert_refused(signed, run_with(signed, REVOKING, more=SUBJECT), "revoked", "missing")


@pytest.mark.parametrize(
    ("source", "name", "install"),
    [(SSH, "ssh-keygen", "apt install openssh-client"), (DSSE, "openssl", "apt install openssl")],
)
def test_missing_tool_says_how_to_install_it(
    signed: Path, source: str, name: str, install: str
) -> None:
    """Without the tool the gate stays closed, and the message names what to install."""
    (signed / "ci.pub.pem").write_text("a key that nobody can read")
    tools = signed / "bin"
    tools.mkdir()
    for one in ("true", "sh"):
        (tools / one).symlink_to(shutil.which(one) or "")
    ended = run_with(signed, source, more=SUBJECT, env={"PATH": str(tools)})
    assert_refused(signed, ended, "engine_error", "missing")
    said = f"cannot run {name}: No such file or directory; install it with `{install}`"
    assert said in evidence_of(signed)["detail"]
    explained = " ".join(orchestrate("explain", "./out", cwd=signed).stdout.split())
    assert install in explained
    assert "do what is said above" in explained


KEYS: Final = {
    "ed25519": ("-algorithm", "ED25519"),
    "ec": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
}


def make_key(folder: Path, name: str, kind: str) -> str:
    """Make a key pair; return the id of the public key."""
    tool(folder, "openssl", "genpkey", *KEYS[kind], "-out", f"{name}.pem")
    tool(folder, "openssl", "pkey", "-in", f"{name}.pem", "-pubout", "-out", f"{name}.pub.pem")
    der = ("-pubin", "-in", f"{name}.pub.pem", "-outform", "DER", "-out", f"{name}.der")
    tool(folder, "openssl", "pkey", *der)
    return sha256_of(folder / f"{name}.der")


def envelop(folder: Path, key: str, kind: str, keyid: str | None = None) -> dict[str, Any]:
    """Return an envelope around the statement, signed by a key."""
    payload = (folder / "said.json").read_bytes()
    payload_type = "application/vnd.in-toto+json"
    size = f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} "
    (folder / "pae").write_bytes(size.encode() + payload)
    sign_it = (
        ("pkeyutl", "-sign", "-inkey", f"{key}.pem", "-rawin", "-in", "pae", "-out", "pae.sig")
        if kind == "ed25519"
        else ("dgst", "-sha256", "-sign", f"{key}.pem", "-out", "pae.sig", "pae")
    )
    tool(folder, "openssl", *sign_it)
    signature = {"sig": base64.b64encode((folder / "pae.sig").read_bytes()).decode()}
    if keyid is not None:
        signature["keyid"] = keyid
    return {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [signature],
    }


@pytest.mark.parametrize("kind", list(KEYS))
def test_envelope_signed_by_a_key(signed: Path, kind: str) -> None:
    """One of the keys must have signed it; that key is named by its file and digest."""
    keyid = make_key(signed, "ci", kind)
    write(signed / "said.json", envelop(signed, "ci", kind))
    assert run_with(signed, DSSE, more=SUBJECT).code == 0
    assert evidence_of(signed)["signer"] == f"ci.pub.pem (sha256 {keyid[:12]})"


def test_envelope_that_does_not_count(signed: Path) -> None:
    """A changed payload, another key, no signature, no envelope or no key is refused."""
    make_key(signed, "ci", "ed25519")
    other = make_key(signed, "other", "ed25519")
    plain = json.loads((signed / "said.json").read_text())
    good = envelop(signed, "ci", "ed25519")
    foreign = envelop(signed, "other", "ed25519")
    changed = base64.b64encode(json.dumps({**plain, "a": 1}).encode()).decode()
    named = {**foreign, "signatures": [{**foreign["signatures"][0], "keyid": other}]}
    for document, problem in (
        (plain, "unsigned"),
        ({**good, "signatures": []}, "unsigned"),
        ({**good, "payload": changed}, "bad_signature"),
        (foreign, "bad_signature"),
        (named, "unknown_signer"),
    ):
        write(signed / "said.json", document)
        assert_refused(signed, run_with(signed, DSSE, more=SUBJECT), problem, "missing")
    (signed / "ci.pub.pem").write_text("no key")
    assert_refused(signed, run_with(signed, DSSE, more=SUBJECT), "engine_error", "missing")


def test_output_of_a_command_can_be_signed(signed: Path) -> None:
    """The command prints a DSSE envelope, which is verified."""
    make_key(signed, "ci", "ed25519")
    write(signed / "printed.json", envelop(signed, "ci", "ed25519"))
    source = (
        'command = ["cat", "printed.json"]\nreads = "statement"\n'
        'signed_by = { dsse_keys = ["ci.pub.pem"] }'
    )
    assert run_with(signed, source, more=SUBJECT).code == 0
    assert evidence_of(signed)["signer"].startswith("ci.pub.pem")


def test_key_that_is_replaced_while_stages_run(signed: Path) -> None:
    """The signature is verified again before the run closes, although the command is not run."""
    make_key(signed, "ci", "ed25519")
    make_key(signed, "other", "ed25519")
    write(signed / "printed.json", envelop(signed, "ci", "ed25519"))
    source = (
        'command = ["cat", "printed.json"]\nreads = "statement"\n'
        'signed_by = { dsse_keys = ["ci.pub.pem"] }'
    )
    path = config_with(signed, source, more=SUBJECT)
    stage = 'cp"\nargs = ["other.pub.pem", "ci.pub.pem"]\n'
    path.write_text(path.read_text().removesuffix('true"\n') + stage)
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=signed)
    assert_refused(signed, ended, "bad_signature", "missing")
    assert evidence_of(signed)["file"] == "evidence/ci.1.json"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('statement = "s"\nsigned_by = {}', "either allowed_signers or dsse_keys"),
        ('statement = "s"\nsigned_by = { allowed_signers = "f" }', "needs the principals"),
        (
            'command = ["x"]\nsigned_by = { dsse_keys = ["k"] }',
            'needs reads = "statement"',
        ),
        (
            (
                'command = ["x"]\nreads = "statement"\n'
                'signed_by = { allowed_signers = "f", principals = ["a"] }'
            ),
            "by DSSE only",
        ),
    ],
)
def test_signed_by_that_means_nothing_is_refused(tmp_path: Path, source: str, said: str) -> None:
    """A config file that asks for the impossible is refused, with the line of the table."""
    config_with(tmp_path, source)
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.stderr
    assert not (tmp_path / "out").exists()
