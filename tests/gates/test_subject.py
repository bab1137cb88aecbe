"""The subject of a run: looked at when it begins, kept, and looked at again at each judging."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsm_orchestrator.gates.subject import matches
from tests.gates.evidence_cases import decision_of, git, repository, sha256_of
from tests.support.command import (
    PASSING,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    stages,
    tree_of,
)


def stamps_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and time of every file below a directory."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            status = os.stat(os.path.join(place, name))
            found[os.path.join(place, name)] = (status.st_size, status.st_mtime_ns)
    return found


def test_clean_work_tree_is_its_commit(tmp_path: Path) -> None:
    """Report, checkpoint and views have the commit; the repository is not touched."""
    commit = repository(tmp_path)
    before = stamps_of(tmp_path / ".git")
    ended = orchestrate("./out", *PASSING, *stages(), "--subject-git", ".", cwd=tmp_path)
    assert ended.code == 0
    entries = [{"name": str(tmp_path), "digest": {"gitCommit": commit}}]
    expected = {"given": {"git": str(tmp_path), "files": []}, "entries": entries}
    assert report_of(tmp_path / "out")["subject"] == expected
    assert checkpoint_of(tmp_path / "out")["subject"] == expected
    assert stamps_of(tmp_path / ".git") == before
    words = f"about {tmp_path}, gitCommit {commit[:12]}"
    for command in (("explain", "./out", "--all"), ("plan", "./out", "--subject-git", ".")):
        shown = orchestrate(*command, cwd=tmp_path).stdout
        assert words in " ".join(shown.split())


@pytest.mark.parametrize("change", ["changed", "untracked", "staged", "deleted", "hidden"])
def test_dirty_work_tree_is_a_tree_of_its_files(tmp_path: Path, change: str) -> None:
    """It has no commit: the tree is the one that a commit of all files would have."""
    repository(tmp_path)
    if change == "hidden":
        git(tmp_path, "update-index", "--assume-unchanged", "file.txt")
    if change in {"changed", "hidden", "staged"}:
        (tmp_path / "file.txt").write_text("two\n")
    if change == "staged":
        git(tmp_path, "add", "file.txt")
    if change == "untracked":
        (tmp_path / "new.txt").write_text("new\n")
    if change == "deleted":
        (tmp_path / "file.txt").unlink()
    (tmp_path / "ignored").write_text("does not count\n")
    before, stamps = tree_of(tmp_path / ".git"), stamps_of(tmp_path / ".git")
    ended = orchestrate("./out", *PASSING, *stages(), "--subject-git", ".", cwd=tmp_path)
    assert ended.code == 0
    assert tree_of(tmp_path / ".git") == before
    assert stamps_of(tmp_path / ".git") == stamps
    found = report_of(tmp_path / "out")["subject"]["entries"][0]["digest"]
    git(tmp_path, "update-index", "--no-assume-unchanged", "file.txt")
    git(tmp_path, "add", "--all")
    assert found == {"gitTree": git(tmp_path, "write-tree")}


def test_output_directory_in_the_work_tree_does_not_count(tmp_path: Path) -> None:
    """A run inside its own subject does not change it by its own files."""
    commit = repository(tmp_path)
    (tmp_path / ".gitignore").write_text("/state\n")
    git(tmp_path, "commit", "--all", "--quiet", "--message", "two")
    ended = orchestrate("./out", *PASSING, *stages(), "--subject-git", ".", cwd=tmp_path)
    assert ended.code == 0
    now = git(tmp_path, "rev-parse", "HEAD")
    assert now != commit
    digest = report_of(tmp_path / "out")["subject"]["entries"][0]["digest"]
    assert digest == {"gitCommit": now}


def test_subject_that_moves_closes_every_gate(tmp_path: Path) -> None:
    """A stage that changes the run's subject keeps it from closing; the kept subject stays."""
    (tmp_path / "plan.txt").write_text("one\n")
    digest = sha256_of(tmp_path / "plan.txt")
    script = stages("exit 0", f"echo two > {tmp_path}/plan.txt")
    ended = orchestrate("./out", *PASSING, *script, "--subject-file", "plan.txt", cwd=tmp_path)
    assert ended.code == 3
    report = report_of(tmp_path / "out")
    assert report["subject"]["entries"][0]["digest"] == {"sha256": digest}
    assert len(report["blocked_reason_codes"]) == 3
    for gate in ("policy", "ci", "review"):
        evidence = decision_of(tmp_path, gate)["evidence"]
        assert (evidence["source"], evidence["problem"]) == ("flag", "wrong_subject")
        assert digest[:12] in evidence["detail"]
    explained = " ".join(orchestrate("explain", "./out", cwd=tmp_path).stdout.split())
    assert "if that has changed, start a new run" in explained
    (tmp_path / "plan.txt").write_text("one\n")
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0


def test_plan_sees_that_the_subject_has_moved(tmp_path: Path) -> None:
    """A plan predicts the run: every gate refuses, and nothing starts."""
    (tmp_path / "plan.txt").write_text("one\n")
    words = ("--subject-file", "plan.txt", *stages())
    assert orchestrate("./out", *words, *PASSING[2:], cwd=tmp_path).code == 3
    resume = ("./out", "--resume", *PASSING)
    assert "would end: done" in orchestrate("plan", *resume, cwd=tmp_path).stdout
    (tmp_path / "plan.txt").write_text("two\n")
    planned = " ".join(orchestrate("plan", *resume, cwd=tmp_path).stdout.split())
    assert f"gate ci: the subject {tmp_path}/plan.txt was sha256" in planned
    assert "manager would not start: the gates would refuse" in planned
    assert "would end: blocked" in planned
    explained = " ".join(orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout.split())
    assert "it would not reach manager and executor (the gates would refuse)" in explained
    assert orchestrate(*resume, cwd=tmp_path).code == 3


def test_resume_keeps_the_subject_and_refuses_another(tmp_path: Path) -> None:
    """Another subject is a changed setting: exit 2, both are named, nothing is written."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    blocked = ("--policy-status", "deny")
    first = orchestrate("./out", *blocked, *stages(), "--subject-file", "one", cwd=tmp_path)
    assert first.code == 3
    before = tree_of(tmp_path / "out")
    refused = orchestrate("./out", "--resume", *PASSING, "--subject-file", "two", cwd=tmp_path)
    assert refused.code == 2
    assert sha256_of(tmp_path / "one")[:12] in refused.stderr
    assert sha256_of(tmp_path / "two")[:12] in refused.stderr
    assert tree_of(tmp_path / "out") == before
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert orchestrate(tmp_path / "out", "--resume", *PASSING, cwd=elsewhere).code == 0
    started = [one for one in events_of(tmp_path / "out") if one["event"] == "run.started"]
    assert len(started) == 2


@pytest.mark.parametrize("given", [("--subject-file", "gone"), ("--subject-git", "plain")])
def test_subject_that_is_not_there_is_refused(tmp_path: Path, given: tuple[str, str]) -> None:
    """A run whose subject cannot be looked at makes no files."""
    (tmp_path / "plain").mkdir()
    ended = orchestrate("./out", *PASSING, *stages(), *given, cwd=tmp_path)
    assert ended.code == 2
    assert given[1] in ended.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("one", "other", "do_match"),
    [
        ({"sha256": "ab"}, {"sha256": "AB", "sha512": "cd"}, True),
        ({"sha256": "ab"}, {"sha512": "ab"}, False),
        ({"sha256": "ab", "sha512": "cd"}, {"sha256": "ab", "sha512": "ce"}, False),
        ({"sha256": "ab"}, {}, False),
    ],
)
def test_digest_sets(one: dict[str, str], other: dict[str, str], do_match: bool) -> None:
    """At least one algorithm must be common, and all common ones equal."""
    assert matches(one, other) is do_match
    assert matches(other, one) is do_match
