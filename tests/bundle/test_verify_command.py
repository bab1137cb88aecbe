"""`verify-bundle` for a person and for a program: screen, JSON, page, exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fsm_orchestrator.text.cells import cells
from fsm_orchestrator.vocabulary import SchemaName
from tests.bundle.bundle_cases import members
from tests.bundle.conftest import Runs
from tests.bundle.proof_cases import (
    Whole,
    archive_of,
    listing_anew,
    made,
    members_of_done,
    unsigned,
)
from tests.cli.test_wide_screens import seen
from tests.gates.evidence_cases import tool
from tests.support.command import CHECKPOINT, REPORT, orchestrate
from tests.support.schema_checks import validator_of


@pytest.mark.parametrize(("columns", "locale"), [(80, "C.UTF-8"), (120, "C")])
def test_screen_fits(whole: Whole, columns: int, locale: str) -> None:
    """It is one screen, no line is wider than the terminal, and symbols may be ASCII."""
    words = ("verify-bundle", whole.path.name, "--allowed-signers", "signers")
    lines = seen(*words, cwd=whole.folder, columns=columns, LC_ALL=locale)
    assert all(cells(line) <= columns for line in lines)
    assert len(lines) <= 32
    assert locale != "C" or all(line.isascii() for line in lines)
    good = "ok" if locale == "C" else "✓"
    assert lines[0].startswith(f"{good} {whole.path.name}: verified, by a signature")


def test_json_is_as_published(whole: Whole) -> None:
    """A verified, a consistent and a broken one fit the schema, and the exit codes differ."""
    validator = validator_of(SchemaName.VERIFICATION)
    cut = whole.folder / "cut"
    cut.write_bytes(whole.path.read_bytes()[:-1])
    for words, code, verdict in (
        ((whole.path, "--allowed-signers", "signers"), 0, "verified"),
        ((whole.path,), 0, "consistent, unsigned"),
        (("cut",), 1, "broken"),
    ):
        ended = orchestrate("verify-bundle", *words, "--json", cwd=whole.folder)
        document = json.loads(ended.stdout)
        validator.validate(document)
        assert (ended.code, document["verdict"]) == (code, verdict)


def test_broken_link_is_named_with_its_place_and_meaning(runs: Runs, tmp_path: Path) -> None:
    """The screen has link, member, fault and consequence; later links are not reached."""
    found = members_of_done(runs("done"), tmp_path)
    found[REPORT] = found[REPORT].replace(b'"done"', b'"fail"')
    (tmp_path / "forged").write_bytes(archive_of(found))
    ended = orchestrate("verify-bundle", "forged", cwd=tmp_path)
    text = " ".join(ended.stdout.split())
    assert ended.code == 1
    assert text.startswith("✗ forged: broken at members ")
    assert f"✗ members {REPORT}: it has the sha256 " in text
    assert "so a file was changed, added or taken out after the bundle was made" in text
    assert "- checkpoint it builds on a link that is broken" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("none",), "cannot read "),
        ((".",), "cannot read "),
        (("b", "--allowed-signers", "none"), "cannot read "),
        (("b", "--require", "signatures"), "nothing is called 'signatures'"),
        (("b", "--expect-head", "xyz"), "not a SHA-256"),
        (("b", "--json", "--html", "-"), "exclude each other"),
        ((), "missing argument 'FILE'"),
    ],
)
def test_usage_errors(runs: Runs, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    """The exit code is 2, and the message has the remedy."""
    made(runs("done"), tmp_path / "b")
    ended = orchestrate("verify-bundle", *words, cwd=tmp_path)
    assert (ended.code, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("with_break", [False, True])
def test_what_cannot_be_asked_breaks_no_bundle(
    whole: Whole, tmp_path: Path, *, with_break: bool
) -> None:
    """Without ssh-keygen the result is not verified, unless something is broken."""
    found = members(whole.path)
    if with_break:
        found = listing_anew({**unsigned(found), "config.json": b"{}\n"})
    (tmp_path / "b").write_bytes(archive_of(found))
    (tmp_path / "bin").mkdir()
    words = ("b", "--allowed-signers", str(whole.signers))
    ended = orchestrate("verify-bundle", *words, cwd=tmp_path, env={"PATH": str(tmp_path / "bin")})
    assert ended.code == (1 if with_break else 2)
    assert "cannot run ssh-keygen" in " ".join((ended.stdout + ended.stderr).split())
    assert "so nothing shows that the people" not in ended.stdout
    assert ("broken at derived" in ended.stdout) is with_break


def test_a_file_that_is_no_public_key_breaks_no_bundle(runs: Runs, tmp_path: Path) -> None:
    """The verifier's own mistake exits with 2."""
    pytest.importorskip("cryptography")
    for name, more in (("key", ()), ("key.pub", ("-pubout",))):
        how = ("genpkey", "-algorithm", "ed25519") if not more else ("pkey", "-in", "key", *more)
        tool(tmp_path, "openssl", *how, "-out", name)
    made(runs("done"), tmp_path / "b", "--key", str(tmp_path / "key"))
    for given, code in (("key.pub", 0), ("key", 2)):
        ended = orchestrate("verify-bundle", "b", "--public-key", given, cwd=tmp_path)
        assert ended.code == code, ended.stdout
    assert "cannot verify " in ended.stderr


def test_page_of_a_broken_bundle(whole: Whole, tmp_path: Path) -> None:
    """The page says that it is broken if the record can be followed; otherwise there is none."""
    found = unsigned(members(whole.path))
    found["vsa.json"] = b"{}\n"
    pages = {"followed": listing_anew(found), "not_followed": found}
    for name, forged in pages.items():
        (tmp_path / name).write_bytes(archive_of(forged))
        ended = orchestrate("verify-bundle", name, "--html", f"{name}.html", cwd=tmp_path)
        assert ended.code == 1
        assert f"{name}: broken at " in ended.stdout
        assert ("its record cannot be followed" in ended.stderr) is (name == "not_followed")
    assert not (tmp_path / "not_followed.html").exists()
    page = (tmp_path / "followed.html").read_text()
    assert re.search(r"<h1>.*</svg>Broken bundle</h1>", page)
    assert "Nothing on this page is proved" in page
    assert "a supervisor may close it" not in page


def test_hostile_text_drives_no_terminal(runs: Runs, tmp_path: Path) -> None:
    """The text of a forged member is shown with its control characters spelled out."""
    found = members_of_done(runs("done"), tmp_path)
    document = json.loads(found[CHECKPOINT])
    document["invocations"][0]["number"] = "\x1b[2J\u202e"
    found[CHECKPOINT] = json.dumps(document).encode()
    (tmp_path / "forged").write_bytes(archive_of(found))
    ended = orchestrate("verify-bundle", "forged", cwd=tmp_path)
    assert ended.code == 1
    assert "Traceback" not in ended.stderr
    assert "\x1b" not in ended.stdout
    assert "\u202e" not in ended.stdout
