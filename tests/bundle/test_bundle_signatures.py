"""Signatures: made with the keys that people have, and verified by other tools."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives import serialization
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer._key import SSlibKey

from fsm_orchestrator.bundle.signatures import Form, Signed, named, signed_bytes
from fsm_orchestrator.bundle.signing import key_at
from fsm_orchestrator.errors import UsageError
from tests.bundle.bundle_cases import bundle, bundled, members, sha256
from tests.bundle.conftest import Runs
from tests.support.command import orchestrate
from tests.support.patience import wait_until

PRINCIPAL = "ann@example.org"
NAMESPACE = "fsm-orchestrator.run"
SIGSTORE = Path(__file__).with_name("verify_sigstore.cjs")


class Keys(NamedTuple):
    """An SSH key, and a key in PEM with its public part."""

    ssh: Path
    pem: Path
    public: Path


def tool(
    *words: str | Path, cwd: Path, given: bytes = b"", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """Run a tool; skip if it is missing."""
    path = shutil.which(str(words[0]))
    if path is None:
        pytest.skip(f"{words[0]} is not installed")
    return subprocess.run(
        [path, *map(str, words[1:])],
        cwd=cwd,
        env={**os.environ, **env},
        input=given,
        capture_output=True,
        check=False,
    )


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Return keys that were made for the session."""
    folder = tmp_path_factory.mktemp("keys")
    made = Keys(folder / "ssh", folder / "key.pem", folder / "public.pem")
    tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "ssh", cwd=folder)
    tool("openssl", "genpkey", "-algorithm", "ed25519", "-out", made.pem, cwd=folder)
    tool("openssl", "pkey", "-in", made.pem, "-pubout", "-out", made.public, cwd=folder)
    return made


@pytest.fixture(scope="session")
def signed(runs: Runs, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the members of a bundle that both keys have signed."""
    file = tmp_path_factory.mktemp("signed") / "b"
    return bundled(runs("done"), file, "--key", str(keys.ssh), "--key", str(keys.pem))


def of_form(found: dict[str, bytes], what: Signed, form: Form) -> bytes:
    """Return the only signature of a form."""
    names = {name: named(name) for name in found if name.startswith("signatures/")}
    (data,) = [
        found[name] for name, one in names.items() if one and (one.signed, one.form) == (what, form)
    ]
    return data


PAYLOADS = {Signed.STATEMENT: "statement.json", Signed.SUMMARY: "vsa.json"}


def test_signatures_change_nothing_else(
    runs: Runs, signed: dict[str, bytes], tmp_path: Path
) -> None:
    """They are separate members, which the statement does not list."""
    plain = bundled(runs("done"), tmp_path / "b")
    names = {name for name in signed if name.startswith("signatures/")}
    assert {name: data for name, data in signed.items() if name not in names} == plain
    assert len(names) == 1 + 2 * 2


def test_signed_bundles_are_the_same_each_time(runs: Runs, keys: Keys, tmp_path: Path) -> None:
    """Both kinds of ed25519 are deterministic, and so are names and order."""
    both = ("--key", str(keys.ssh), "--key", str(keys.pem))
    for name, options in (("a", both), ("b", (*both[2:], *both[:2], *both[:2]))):
        bundled(runs("done"), tmp_path / name, *options)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_ssh_keygen_verifies_the_statement(
    signed: dict[str, bytes], keys: Keys, tmp_path: Path
) -> None:
    """The signature is valid only in the namespace of runs, and only for the exact statement."""
    (tmp_path / "sig").write_bytes(of_form(signed, Signed.STATEMENT, Form.SSH))
    (tmp_path / "signers").write_text(f"{PRINCIPAL} {keys.ssh.with_suffix('.pub').read_text()}")
    statement = signed["statement.json"]
    for namespace, data, code in (
        (NAMESPACE, statement, 0),
        (NAMESPACE, statement[:-1], 255),
        ("fsm-orchestrator.approve", statement, 255),
    ):
        ended = tool(
            *("ssh-keygen", "-Y", "verify", "-f", "signers", "-I", PRINCIPAL),
            *("-n", namespace, "-s", "sig"),
            cwd=tmp_path,
            given=data,
        )
        assert ended.returncode == code, ended


@pytest.mark.parametrize("what", PAYLOADS)
def test_openssl_verifies_the_envelopes(
    signed: dict[str, bytes], keys: Keys, tmp_path: Path, what: Signed
) -> None:
    """It verifies the statement and the VSA: the payload is the member, byte for byte."""
    envelope = json.loads(of_form(signed, what, Form.DSSE))
    assert base64.b64decode(envelope["payload"]) == signed[PAYLOADS[what]]
    for data, code in ((signed[PAYLOADS[what]], 0), (signed[PAYLOADS[what]] + b" ", 1)):
        (tmp_path / "data").write_bytes(signed_bytes(data))
        (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
        ended = tool(
            *("openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys.public, "-rawin"),
            *("-in", "data", "-sigfile", "sig"),
            cwd=tmp_path,
        )
        assert ended.returncode == code, ended


@pytest.mark.parametrize("what", PAYLOADS)
def test_securesystemslib_verifies_the_envelopes(
    signed: dict[str, bytes], keys: Keys, what: Signed
) -> None:
    """The keyid is the SHA-256 of the public key in DER; another payload is refused."""
    document = json.loads(of_form(signed, what, Form.DSSE))
    key = _key_of(keys)
    assert document["signatures"][0]["keyid"] == key.keyid
    assert [*Envelope.from_dict(_copied(document)).verify([key], 1)] == [key.keyid]
    document["payload"] = base64.b64encode(signed[PAYLOADS[what]] + b"\n").decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(document).verify([key], 1)


def _key_of(keys: Keys) -> SSlibKey:
    public = serialization.load_pem_public_key(keys.public.read_bytes())
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return SSlibKey.from_crypto(public, keyid=sha256(der))


def _copied(document: Any) -> Any:
    return json.loads(json.dumps(document))


@pytest.mark.parametrize("what", PAYLOADS)
def test_a_sigstore_bundle_has_the_same_envelope(
    signed: dict[str, bytes], keys: Keys, what: Signed
) -> None:
    """The bundle has a hint of the key, and nothing else that supports it."""
    document = json.loads(of_form(signed, what, Form.SIGSTORE))
    assert document == {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": _key_of(keys).keyid}, "tlogEntries": []},
        "dsseEnvelope": json.loads(of_form(signed, what, Form.DSSE)),
    }


@pytest.mark.parametrize("what", PAYLOADS)
def test_sigstores_own_library_verifies_it(
    signed: dict[str, bytes], keys: Keys, tmp_path: Path, what: Signed
) -> None:
    """The library accepts the payload, and refuses another one.

    It is @sigstore/verify of npm, where NODE_PATH has it.
    """
    node = shutil.which("node")
    found = node and subprocess.run(
        [node, "-e", "require('@sigstore/verify')"], capture_output=True, check=False
    )
    if not found or found.returncode != 0:
        pytest.skip(
            "@sigstore/verify is not installed: npm install --prefix DIR @sigstore/verify"
            " @sigstore/bundle, and set NODE_PATH to DIR/node_modules"
        )
    document = json.loads(of_form(signed, what, Form.SIGSTORE))
    for change, code in ((b"", 0), (b"\n", 1)):
        payload = base64.b64encode(signed[PAYLOADS[what]] + change).decode()
        document["dsseEnvelope"]["payload"] = payload
        (tmp_path / "it.json").write_text(json.dumps(document))
        ended = tool("node", SIGSTORE, "it.json", keys.public, cwd=tmp_path)
        assert ended.returncode == code, ended
        if code:
            assert b"signature verification failed" in ended.stderr


def test_cosign_verifies_it(signed: dict[str, bytes], keys: Keys, tmp_path: Path) -> None:
    """`cosign verify-blob-attestation --key` accepts it, where it is installed."""
    (tmp_path / "it.json").write_bytes(of_form(signed, Signed.STATEMENT, Form.SIGSTORE))
    (tmp_path / "plan.json").write_bytes(b"{}\n")
    ended = tool(
        *("cosign", "verify-blob-attestation", "--key", keys.public, "--bundle", "it.json"),
        *("--new-bundle-format", "--insecure-ignore-tlog", "--type"),
        *("urn:fsm-orchestrator:run:v0.1", "plan.json"),
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended


def test_a_key_of_an_agent_signs(runs: Runs, keys: Keys, tmp_path: Path) -> None:
    """The option names its .pub file, and only the agent has the private key."""
    (tmp_path / "key.pub").write_text(keys.ssh.with_suffix(".pub").read_text())
    socket = tmp_path / "agent"
    agent = shutil.which("ssh-agent")
    if agent is None:
        pytest.skip("ssh-agent is not installed")
    process = subprocess.Popen([agent, "-D", "-a", socket], stdout=subprocess.DEVNULL)
    try:
        wait_until(socket.exists, "the agent does not listen")
        tool("ssh-add", "-q", keys.ssh, cwd=tmp_path, SSH_AUTH_SOCK=str(socket))
        ended = bundle(
            *(runs("done"), tmp_path / "b", "--key", str(tmp_path / "key.pub")),
            SSH_AUTH_SOCK=str(socket),
        )
    finally:
        process.kill()
        process.wait()
    assert ended.code == 0, ended.stderr
    assert of_form(members(tmp_path / "b"), Signed.STATEMENT, Form.SSH)


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (None, 2, "cannot read the key {0}: no such file or directory"),
        ("hello", 1, "nothing was signed: "),
        (
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            2,
            "{0} is no ed25519 key",
        ),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----", 2, "the key {0} has a passphrase, and is no SSH"),
    ],
)
def test_a_key_that_cannot_sign_writes_nothing(
    runs: Runs, tmp_path: Path, text: str | None, code: int, said: str
) -> None:
    """The key is refused, and the message names an alternative."""
    key = tmp_path / "key"
    if text is not None:
        key.write_text(text)
    ended = orchestrate("bundle", "./out", tmp_path / "b", "--key", key, cwd=runs("waiting"))
    assert ended.code == code, ended
    assert said.format(key) in ended.stderr
    assert not (tmp_path / "b").exists()


def test_a_pem_key_that_is_no_ed25519_key_is_refused(runs: Runs, tmp_path: Path) -> None:
    """Only the algorithm that all those tools accept is used."""
    made = tool(
        *("openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
        cwd=tmp_path,
    )
    (tmp_path / "key").write_bytes(made.stdout)
    ended = bundle(runs("waiting"), tmp_path / "b", "--key", str(tmp_path / "key"))
    assert ended.code == 2
    assert "key is no ed25519 key\n  make one: openssl genpkey -algorithm ed25519" in ended.stderr


def test_the_extra_is_named_where_it_is_missing(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the remedy for the missing package; SSH does not need it."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(UsageError, match="needs the package cryptography") as caught:
        key_at(str(keys.pem))
    assert "pip install 'fsm-orchestrator[sign]'" in caught.value.remedy
    assert key_at(str(keys.ssh))
