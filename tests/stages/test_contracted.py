"""Judging by contract from inside: in one pass, interruptible, and wary of torn files."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.model.contracts import Contract
from fsm_orchestrator.stages import artifacts
from fsm_orchestrator.stages.artifact_snapshot import take_snapshot
from fsm_orchestrator.stages.artifacts import ArtifactsVerdict, JudgingCutShortError, judge
from fsm_orchestrator.stages.confining import artifact_directories
from fsm_orchestrator.stages.contract_terms import VIOLATIONS_MAX, Decoding, Terms
from fsm_orchestrator.stages.contracted import Contracted, stamps_of
from fsm_orchestrator.stages.json_document import NoDocumentError, at_pointer, document_of
from fsm_orchestrator.stages.json_schemas import SchemaError, read_schema
from fsm_orchestrator.stages.matching import Match, Matcher


def contract(path: Path | str, **terms: Any) -> Contract:
    """Return a contract as a run keeps it."""
    given = {"json_schema": None, "json_schema_sha256": None, "assertions": (), **terms}
    return Contract(path=str(path), **given)


def judged(
    *contracts: Contract, may_go_on: Callable[[str], bool] = lambda _path: True, **options: Any
) -> ArtifactsVerdict:
    """Return the verdict by contracts on the existing files."""
    by = Contracted(contracts, Terms({}, Matcher()), options.pop("before", None))
    paths = [one.path for one in contracts]
    return judge(paths, None, allow_stale=True, contracts=by, may_go_on=may_go_on, **options)


def test_judging_can_be_cut_short_at_every_question(tmp_path: Path) -> None:
    """Wherever the answer is no, in a file, directory or document, nothing more is read."""
    (tmp_path / "d").mkdir()
    for name in ("d/1", "d/2"):
        (tmp_path / name).write_bytes(b"x" * 3 * 1024**2)
    many = [{"n": number} for number in range(20_000)]
    (tmp_path / "many.json").write_text(json.dumps(many))
    each = {"at": "", "every": {"at": "/n", "at_least": 0}}
    contracts = contract(f"{tmp_path}/d/"), contract(tmp_path / "many.json", assertions=(each,))
    asked: list[str] = []

    def count(path: str) -> bool:
        asked.append(path)
        return True

    assert judged(*contracts, may_go_on=count).is_good
    assert len(asked) > 20_000
    for stop_at in (1, 4, 8, 12, 16, 20, len(asked) // 2, len(asked) - 1):
        left = [stop_at]

        def until(_path: str, left: list[int] = left) -> bool:
            left[0] -= 1
            return left[0] > 0

        with pytest.raises(JudgingCutShortError):
            judged(*contracts, may_go_on=until)
        assert left[0] == 0


def test_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digest, encoding, strictness and values are of the same bytes."""
    path = tmp_path / "report.json"
    path.write_text('{"a": "ä"}')
    reads = []
    read = artifacts._read

    def counted(*args: Any, **named: Any) -> Any:
        reads.append(args)
        return read(*args, **named)

    monkeypatch.setattr(artifacts, "_read", counted)
    verdict = judged(
        contract(path, encoding="ascii", assertions=({"at": "/a", "equals": "b"},), max_bytes=3)
    )
    assert len(reads) == 1
    assert [one.pointer for one in verdict.broken] == [None, None, "/a"]


def test_part_of_a_set_that_was_still_written_to_is_malformed(tmp_path: Path) -> None:
    """A file that a process was writing when it was ended may be incomplete, and is malformed."""
    (tmp_path / "torn").write_text("half")
    info = (tmp_path / "torn").stat()
    for path in (f"{tmp_path}/", f"{tmp_path}/*"):
        verdict = judged(contract(path), unfinished={(info.st_dev, info.st_ino)})
        assert "still open for writing" in verdict.malformed[0].reason


def test_set_counts_as_written_where_enough_of_it_was(tmp_path: Path) -> None:
    """A set needs one new file for a directory, `min_matches` for a glob, even with an old time."""
    for name in ("1", "2"):
        (tmp_path / name).write_text(name)
    directory, two = contract(f"{tmp_path}/"), contract(f"{tmp_path}/*", min_matches=2)
    before = stamps_of((directory, two))
    take_snapshot([str(tmp_path / "1")])  # returns once a rewrite will have another stamp
    assert [one.path for one in judged(directory, two, before=before).stale] == [
        directory.path,
        two.path,
    ]
    (tmp_path / "3").write_text("3")
    os.utime(tmp_path / "3", (1, 1))
    assert [one.path for one in judged(directory, two, before=before).stale] == [two.path]
    (tmp_path / "1").write_text("9")
    assert not judged(directory, two, before=before).stale


def test_violations_are_bounded(tmp_path: Path) -> None:
    """A thousand wrong files do not give a thousand lines."""
    for number in range(VIOLATIONS_MAX + 20):
        (tmp_path / f"{number}").write_text("xx")
    verdict = judged(contract(f"{tmp_path}/*", max_bytes=1))
    assert len(verdict.broken) == VIOLATIONS_MAX


@pytest.mark.parametrize(
    ("pointer", "found"),
    [
        ("", True),
        ("/foo/0", True),
        ("/", True),
        ("/a~1b", True),
        ("/c%d", True),
        ("/ ", True),
        ("/m~0n", True),
        ("/m~01", False),
        ("/foo/-", False),
        ("/foo/2", False),
        ("/foo/00", False),
        ("/foo/+0", False),
        ("/foo/bar", False),
        ("/foo/0/x", False),
        ("/A~1b", False),
    ],
)
def test_pointers_are_those_of_the_rfc(pointer: str, found: bool) -> None:
    """Pointers follow section 5 of RFC 6901, and some of them lead nowhere."""
    document = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, " ": 7, "m~n": 8}
    values = {"": document, "/foo/0": "bar", "/": 0, "/a~1b": 1, "/c%d": 2, "/ ": 7, "/m~0n": 8}
    at = at_pointer(document, pointer)
    assert (at == values[pointer]) if found else at not in values.values()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"a": {"b": 1, "b": 1}}]', "a name occurs twice in an object"),
        (f"[{'1' * 5000}]", "a number with too many digits"),
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ],
)
def test_document_that_has_no_values_is_none(text: str, said: str) -> None:
    """A document whose values cannot be compared is malformed, without a crash."""
    with pytest.raises(NoDocumentError, match=said):
        document_of(text.encode(), lambda: None)


def test_decoding_finds_the_first_wrong_byte_wherever_the_reads_end() -> None:
    """A character that is split over two reads is decoded as one."""
    data = ("a" * 10 + "ä€😀").encode() + b"\xff" + b"rest"
    for size in range(1, len(data)):
        decoding = Decoding("utf-8")
        for begin in range(0, len(data), size):
            decoding.feed(data[begin : begin + size])
        (wrong,) = decoding.broken("f")
        assert wrong.found == "invalid bytes, from byte offset 19"


def test_patterns_of_one_document_share_their_time() -> None:
    """A match that takes too long fails, with all others that it leaves undecided."""
    began = time.monotonic()
    fits, not_so, endless = Match("a+", "aa"), Match("a+", "ab"), Match("(a|aa)+b", "a" * 80)
    assert Matcher().answers((fits, not_so)) == {fits: None, not_so: ""}
    answers = Matcher(seconds=0.2).answers((fits, endless))
    assert all("could not be decided within 0.2 seconds" in (one or "") for one in answers.values())
    assert time.monotonic() - began < 60
    long = Match("a*", "a" * 70_000)
    assert "longer than" in (Matcher().answers((long,))[long] or "")


def test_schema_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the optional package, a contract that needs it is refused before anything runs."""
    (tmp_path / "s.json").write_text('{"type": "object"}')
    monkeypatch.setitem(sys.modules, "jsonschema_rs", None)
    with pytest.raises(SchemaError, match="jsonschema-rs is not installed") as refused:
        read_schema(str(tmp_path / "s.json"))
    assert refused.value.remedy == "pip install 'fsm-orchestrator[schemas]'"


def test_document_that_a_schema_cannot_judge_fails(tmp_path: Path) -> None:
    """Numbers of any size are judged; nesting beyond the judge's limit is no success."""
    (tmp_path / "s.json").write_text('{"properties": {"n": {"maximum": 5}}, "type": "object"}')
    schema = read_schema(str(tmp_path / "s.json"))
    (one,) = schema.failures({"n": 10**400}, lambda: None)
    assert (one.pointer, one.found) == ("/n", "a number")
    deep = json.loads("[" * 900 + "]" * 900)
    (one,) = schema.failures(deep, lambda: None)
    assert one.found == "a document that cannot be judged by it"


def test_confined_stage_may_write_where_its_contracts_are() -> None:
    """It may write to the directory itself, a file's directory, and one with all the matches."""
    settings = StageSettings(
        command="true",
        args=(),
        cwd="/",
        expected_artifacts=("/a/plain",),
        contracts=(contract("/b/site/"), contract("/c/report.json"), contract("/d/*/x")),
    )
    assert artifact_directories(settings) == ("/a", "/b/site", "/c", "/d")
    assert settings.artifact_paths == ("/a/plain", "/b/site/", "/c/report.json", "/d/*/x")
