"""The entries below a directory, and the matches of a glob: bounded, links never followed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from fsm_orchestrator.disk import trees
from fsm_orchestrator.disk.digests import Listed, digest_of, list_digest
from fsm_orchestrator.disk.trees import EntryKind, TooMuchError, entries_at, fixed_part, matches_of


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a directory with something of each kind in it, and something outside."""
    root = tmp_path / "tree"
    (root / "b").mkdir(parents=True)
    (root / "b" / "x").write_text("x")
    (root / "a").write_text("a")
    (root / ".hidden").write_text("h")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "o").write_text("o")
    (root / "c").symlink_to("../outside")
    os.mkfifo(root / "d")
    return root


def test_entries_are_of_their_kind_and_in_order(tree: Path) -> None:
    """A link is its target's name, a FIFO is not opened, and only files are open in between."""
    found = [
        (one.path, one.kind.value, one.target, one.descriptor is not None)
        for one in entries_at(str(tree))
    ]
    assert found == [
        ("", "directory", "", False),
        (".hidden", "file", "", True),
        ("a", "file", "", True),
        ("b", "directory", "", False),
        ("b/x", "file", "", True),
        ("c", "link", "../outside", False),
        ("d", "special", "", False),
    ]


def test_path_itself_may_be_anything(tree: Path) -> None:
    """The path may be a file, a link, missing, or an impossible name."""
    assert [one.kind for one in entries_at(str(tree / "a"))] == [EntryKind.FILE]
    assert [one.kind for one in entries_at(str(tree / "c"))] == [EntryKind.LINK]
    assert [*entries_at(str(tree / "none"))] == [*entries_at(str(tree / "a" / "none"))] == []
    assert [*entries_at("a\0b")] == []


def test_directory_that_becomes_a_link_leads_nowhere(tree: Path) -> None:
    """A directory replaced by a link during the walk is not followed, for descriptors are used."""
    seen = []
    for one in entries_at(str(tree)):
        seen.append((one.path, one.kind))
        if one.path == "a":
            (tree / "b").rename(tree / "kept")
            (tree / "b").symlink_to("../outside")
        if one.path == "" and not seen[1:]:
            continue
    assert ("b", EntryKind.LINK) in seen
    assert not any(path.startswith("b/") for path, _ in seen)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_says_so(tree: Path) -> None:
    """An unreadable file or directory is not taken for an empty one."""
    (tree / "a").chmod(0)
    (tree / "b").chmod(0)
    problems = {one.path: one.problem for one in entries_at(str(tree))}
    (tree / "b").chmod(0o755)
    assert problems["a"] == problems["b"] == "Permission denied"


def test_too_much_is_not_looked_at_in_part(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many files and too deep a nesting are errors."""
    with pytest.raises(TooMuchError, match="more than 5 files"):
        list(entries_at(str(tree), files_max=5))
    with pytest.raises(TooMuchError, match="more than 2 files"):
        matches_of(f"{tree}/**", files_max=2)
    monkeypatch.setattr(trees, "DEPTH_MAX", 1)
    with pytest.raises(TooMuchError, match="more than 1 nested directories, at b"):
        list(entries_at(str(tree)))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", [".hidden", "a", "c", "d"]),
        ("**", [".hidden", "a", "b/x", "c", "d"]),
        ("**/x", ["b/x"]),
        ("**/a", ["a"]),
        ("?/x", ["b/x"]),
        ("[!b]/o", []),
        ("c/*", ["c/o"]),
        ("[c]/*", []),
        ("**/o", []),
        ("none/*", []),
        ("a/*", []),
    ],
)
def test_glob_matches_what_is_no_directory(tree: Path, pattern: str, expected: list[str]) -> None:
    """`**` is any number of directories; links are followed by name only."""
    found = [os.path.relpath(one, tree) for one in matches_of(f"{tree}/{pattern}")]
    assert found == expected


def test_fixed_part_is_where_all_matches_are() -> None:
    """For a glob or a directory this is the directory that a confined stage may write to."""
    assert fixed_part("/a/b/*.json") == "/a/b"
    assert fixed_part("/a/**/b") == "/a"
    assert fixed_part("/*") == "/"
    assert fixed_part("/a/b/") == "/a/b"


def test_digest_of_a_list_is_that_of_what_sha256sum_prints(tree: Path) -> None:
    """The digest can be checked with the tools of the system."""
    files = []
    for one in entries_at(str(tree)):
        if one.descriptor is not None:
            digest, size = digest_of(one.descriptor, lambda: None)
            files.append(Listed(one.path, digest, size))
    words = ("/bin/sh", "-c", "sha256sum -z .hidden a b/x | sha256sum")
    printed = subprocess.run(words, cwd=tree, capture_output=True, text=True, check=True)
    assert list_digest(reversed(files)) == printed.stdout.split()[0]
