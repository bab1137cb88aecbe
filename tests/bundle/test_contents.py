"""The contents of a bundle besides the record: artifacts, evidence, approvals; and their cost."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.disk.digests import Listed, list_digest
from tests.approvals.approval_cases import (
    ASKED,
    approve,
    begin,
    go_on,
    line,
    make_key,
    project,
    request_sha256,
)
from tests.bundle.bundle_cases import bundle, bundled, predicate_in, sha256
from tests.support.command import COMMAND, PASSING, environment, orchestrate, shell

MAKES = """
mkdir -p d/sub && echo one > d/one && echo two > d/sub/two && cp d/one d/same
ln -sf ../elsewhere d/link
echo '{}' > p1.json && echo '[]' > p2.json && echo alone > alone
"""
CONTRACTS = "".join(
    f'[[stage.executor.artifact]]\npath = "{path}"\n' for path in ("d/", "p*.json", "alone")
)
CONFIG = (
    'skip_stages = ["manager"]\n[gates]\npolicy = "allow"\nci = "success"\nreview = "approved"\n'
    f'[stage.executor]\nbin = "/bin/sh"\nargs = ["makes.sh"]\ncwd = "."\n{CONTRACTS}'
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with a directory, a glob and a file as artifacts."""
    folder = tmp_path_factory.mktemp("made") / "here"
    folder.mkdir()
    (folder / "makes.sh").write_text(MAKES)
    (folder / "run.toml").write_text(CONFIG)
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=folder)
    assert ended.code == 0, ended.stderr
    return folder


def test_artifacts_are_there_whole_if_wanted(made: Path, tmp_path: Path) -> None:
    """Each file is there once, by its digest; the digest of a set can be computed from it."""
    found = bundled(made, tmp_path / "b", "--with-artifacts")
    statement = json.loads(found["statement.json"])
    names = {f"artifacts/{sha256(one)}" for one in (b"one\n", b"two\n", b"../elsewhere")}
    names |= {f"artifacts/{sha256(one)}" for one in (b"{}\n", b"[]\n", b"alone\n")}
    assert {name for name in found if name.startswith("artifacts/")} == names
    by_path = {one["path"]: one for one in statement["predicate"]["artifacts"]}
    assert [*by_path] == [f"{made}/{one}" for one in ("d/", "p*.json", "alone")]
    directory, pattern, alone = by_path.values()
    assert [one["path"] for one in directory["contents"]] == ["link ->", "one", "same", "sub/two"]
    assert [one["path"] for one in pattern["contents"]] == [f"{made}/p1.json", f"{made}/p2.json"]
    for artifact in (directory, pattern):
        listed = (Listed(one["path"], one["sha256"], 0) for one in artifact["contents"])
        assert list_digest(listed) == artifact["sha256"]
        assert artifact["files"] == len(artifact["contents"])
    assert [one["path"] for one in alone["contents"]] == [""]
    for one in (file for each in by_path.values() for file in each["contents"]):
        assert one["member"] == f"artifacts/{one['sha256']}"
        assert sha256(found[one["member"]]) == one["sha256"]
        assert len(found[one["member"]]) == one["sizeBytes"]
    assert [[*one["digest"]] for one in statement["subject"]] == [
        *(["sha256List"], ["sha256List"], ["sha256"])
    ]


def test_without_being_asked_for_they_are_there_by_digest(made: Path, tmp_path: Path) -> None:
    """Artifacts that were not requested are not read: they may be gone."""
    found = bundled(made, tmp_path / "b")
    assert not [name for name in found if name.startswith("artifacts/")]
    assert all(not one["contents"] for one in predicate_in(found)["artifacts"])


def test_artifacts_of_a_run_that_was_moved_are_found(made: Path, tmp_path: Path) -> None:
    """The bundle is the same, paths of globs included."""
    bundled(made, tmp_path / "before", "--with-artifacts")
    elsewhere = made.with_name("elsewhere")
    made.rename(elsewhere)
    try:
        bundled(elsewhere, tmp_path / "after", "--with-artifacts")
    finally:
        elsewhere.rename(made)
    assert (tmp_path / "before").read_bytes() == (tmp_path / "after").read_bytes()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("alone", "other\n", "the artifact {0}/alone cannot be put into the bundle: it has the"),
        ("alone", None, "the artifact {0}/alone cannot be put into the bundle: no such file"),
        ("d/one", "1\n", "the artifact {0}/d/ cannot be put into the bundle: it has the sha256"),
        ("d/new", "1\n", "the artifact {0}/d/ cannot be put into the bundle: it has the sha256"),
        ("p3.json", "1\n", "the artifact {0}/p*.json cannot be put into the bundle: it has the"),
    ],
)
def test_artifacts_that_are_not_what_was_left_make_no_bundle(
    made: Path, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    """The message names the artifact, and how to make a bundle without artifacts."""
    path = made / name
    before = path.read_bytes() if path.exists() else None
    try:
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text)
        ended = bundle(made, tmp_path / "b", "--with-artifacts")
    finally:
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
    assert (ended.code, [*tmp_path.iterdir()]) == (1, [])
    assert said.format(made) in ended.stderr
    assert "or leave out --with-artifacts" in ended.stderr


@pytest.fixture(scope="session")
def approved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that one person denied before withdrawing that, and another approved."""
    folder = project(tmp_path_factory.mktemp("approved"))
    keys = {name: make_key(folder, name) for name in ("bob", "cat")}
    signers = (line(keys[name], f"{name}@example.org") for name in keys)
    (folder / "signers").write_text("".join(signers))
    assert begin(folder).code == 3
    named = ("--key", keys["cat"], "--reason", "not yet", "--digest", request_sha256(folder))
    for word in ("deny", "withdraw"):
        ended = orchestrate(word, "./out", *named, cwd=folder)
        assert ended.code == 0, ended.stderr
    assert approve(folder, keys["bob"]).code == 0
    ended = go_on(folder)
    assert ended.code == 0, ended.stderr
    return folder


def test_approvals_are_there_with_their_signatures(approved: Path, tmp_path: Path) -> None:
    """Request and answers are there, byte for byte; the statement names who and by which key."""
    found = bundled(approved, tmp_path / "b")
    place = approved / "out" / "approvals"
    left = {f"approvals/{one.name}": one.read_bytes() for one in place.iterdir()}
    copies = {f"approvals/{ASKED}.1.artifact.1.txt"}
    taken = {name: data for name, data in found.items() if name.startswith("approvals/")}
    assert (taken, copies & left.keys()) == (
        {name: data for name, data in left.items() if name not in copies},
        copies,
    )
    gate = next(one for one in predicate_in(found)["gates"] if one["gate"] == ASKED)
    asked = gate["approval"]
    assert sha256(found[asked["member"]]) == asked["sha256"]
    assert (asked["needed"], asked["given"]) == (1, 1)
    answers = {one["said"]: one for one in asked["answers"]}
    assert {said: (one["principal"], one["counts"]) for said, one in answers.items()} == {
        "deny": ("cat@example.org", False),
        "withdraw": ("cat@example.org", True),
        "approve": ("bob@example.org", True),
    }
    for answer in answers.values():
        assert answer["key"].startswith("SHA256:")
        signature = json.loads(found[answer["member"]])["signature"]
        assert signature.startswith("-----BEGIN SSH SIGNATURE")
    named = json.loads(found["vsa.json"])["predicate"]["inputAttestations"]
    assert {"uri": asked["member"], "digest": {"sha256": asked["sha256"]}} in named


def test_a_request_that_was_changed_makes_no_bundle(approved: Path, tmp_path: Path) -> None:
    """A changed request that a gate relied on prevents the bundle."""
    path = approved / "out" / "approvals" / f"{ASKED}.1.request.json"
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    try:
        ended = bundle(approved, tmp_path / "b")
    finally:
        path.write_bytes(before)
    assert ended.code == 1
    assert f"a gate went by {path}, which was changed since" in ended.stderr
    assert f"put back the file whose sha256 is {sha256(before)}" in ended.stderr


def test_evidence_is_there_byte_for_byte(tmp_path: Path) -> None:
    """A command's output is in the bundle of the run that it gated, its digest in the statement."""
    text = '{"gate": "ci", "status": "success"}'
    (tmp_path / "ci.sh").write_text(f"echo '{text}'\n")
    (tmp_path / "run.toml").write_text(
        '[gates]\npolicy = "allow"\nreview = "approved"\n'
        '[gate.ci]\ncommand = ["/bin/sh", "ci.sh"]\n'
    )
    orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    found = bundled(tmp_path, tmp_path / "b")
    gate: Any = next(one for one in predicate_in(found)["gates"] if one["gate"] == "ci")
    evidence = gate["evidence"]
    assert (evidence["member"], evidence["source"]) == ("evidence/ci.1.json", "command")
    assert sha256(found["evidence/ci.1.json"]) == evidence["sha256"]
    assert found["evidence/ci.1.json"] == (tmp_path / "out/evidence/ci.1.json").read_bytes()
    assert found["logs/gate.ci.1.stdout.log"] == f"{text}\n".encode()
    (tmp_path / "out" / "evidence" / "ci.1.json").unlink()
    ended = bundle(tmp_path, tmp_path / "c")
    assert ended.code == 1
    assert "out/evidence/ci.1.json, which is gone" in ended.stderr


def test_a_hundred_megabytes_are_bundled_in_flat_memory(tmp_path: Path) -> None:
    """An artifact and a log of 50 MB each take no more memory than a run without them."""
    makes = "head -c 50000000 /dev/zero | tee big; true"
    given = ("--manager-expected-artifact", "big")
    small = orchestrate("./out", *PASSING, *shell("manager", "echo > big"), *given, cwd=tmp_path)
    assert small.code == 0, small.stderr
    before = _peak(tmp_path, tmp_path / "small")
    large = orchestrate("./out", *PASSING, *shell("manager", makes), *given, cwd=tmp_path)
    assert large.code == 0, large.stderr
    after = _peak(tmp_path, tmp_path / "large")
    assert (tmp_path / "large").stat().st_size > 100_000_000
    assert after - before < 16_000


def _peak(folder: Path, file: Path) -> int:
    """Make a bundle in a separate process; return its peak memory in kB."""
    process = subprocess.Popen(
        [*COMMAND, "bundle", "./out", str(file), "--with-artifacts"],
        cwd=folder,
        env=environment(XDG_STATE_HOME=str(folder / "state")),
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0
    return usage.ru_maxrss
