"""The checked-out commit is read from git's files as git reads it, and never waited for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.checkout import CheckedOut, checked_out
from fsm_orchestrator.disk.revision_problem import RevisionProblem
from fsm_orchestrator.disk.where import nearest_with

A: Final = "a" * 40
B: Final = "b" * 64
ON_MAIN: Final = "ref: refs/heads/main\n"
NOTHING: Final = CheckedOut(None, None, RevisionProblem.NO_REPOSITORY)
NOT_UNDERSTOOD: Final = CheckedOut(None, None, RevisionProblem.NOT_UNDERSTOOD)
UNREADABLE: Final = CheckedOut(None, None, RevisionProblem.UNREADABLE)


def found(directory: Path) -> CheckedOut:
    """Return what is checked out at or above a directory."""
    above = nearest_with(directory, ".git")
    return NOTHING if above is None else checked_out(above)


def write(path: Path, text: str) -> None:
    """Write a file, and make the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_commit_of_a_branch_is_found_from_below(tmp_path: Path) -> None:
    """The commit is that of the ref in HEAD, in the nearest git directory above."""
    write(tmp_path / ".git" / "HEAD", ON_MAIN)
    write(tmp_path / ".git" / "refs" / "heads" / "main", f"{A}\n")
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert found(tmp_path / "a" / "b") == CheckedOut(A, "main", None)


def test_commit_without_a_branch(tmp_path: Path) -> None:
    """A detached HEAD is a commit of no branch, for SHA-256 as for SHA-1."""
    write(tmp_path / ".git" / "HEAD", f"{B}\n")
    assert found(tmp_path) == CheckedOut(B, None, None)


def test_packed_ref_counts_where_there_is_no_file(tmp_path: Path) -> None:
    """A ref is packed or has a file, which counts first; a name with the same ending is another."""
    git = tmp_path / ".git"
    write(git / "HEAD", "ref: refs/heads/a/main\n")
    lines = ["# pack-refs with: peeled", f"{B} refs/heads/x/refs/heads/a/main"]
    lines += [f"{B} refs/heads/a/main2", f"{A} refs/heads/a/main", f"^{B}", ""]
    write(git / "packed-refs", "\n".join(lines))
    assert found(tmp_path) == CheckedOut(A, "a/main", None)
    write(git / "refs" / "heads" / "a" / "main", f"{B}\n")
    assert found(tmp_path) == CheckedOut(B, "a/main", None)


def test_second_work_tree_and_submodule(tmp_path: Path) -> None:
    """A `.git` file leads to the files of the tree, and those to the files that all trees share."""
    own, common = tmp_path / "main" / ".git" / "worktrees" / "w", tmp_path / "main" / ".git"
    write(tmp_path / "w" / ".git", f"gitdir: {own}\n")
    write(own / "HEAD", "ref: refs/heads/side\n")
    write(own / "commondir", "../..\n")
    write(common / "HEAD", ON_MAIN)
    write(common / "refs" / "heads" / "side", f"{A}\n")
    assert found(tmp_path / "w") == CheckedOut(A, "side", None)
    write(tmp_path / "main" / "sub" / ".git", "gitdir: ../.git/modules/sub\n")
    write(common / "modules" / "sub" / "HEAD", f"{B}\n")
    assert found(tmp_path / "main" / "sub") == CheckedOut(B, None, None)


def test_branch_without_a_commit(tmp_path: Path) -> None:
    """A new repository has a branch without a commit."""
    write(tmp_path / ".git" / "HEAD", ON_MAIN)
    assert found(tmp_path) == CheckedOut(None, "main", RevisionProblem.NO_COMMIT)


def test_directory_that_is_not_gits_is_passed(tmp_path: Path) -> None:
    """An empty `.git` is ignored, as git does, and the search continues above it."""
    (tmp_path / "a" / ".git").mkdir(parents=True)
    assert found(tmp_path / "a") == NOTHING
    write(tmp_path / ".git" / "HEAD", f"{A}\n")
    assert found(tmp_path / "a") == CheckedOut(A, None, None)


HOSTILE: Final[dict[str, tuple[Callable[[Path], object], CheckedOut]]] = {
    "HEAD leads out": (
        lambda git: write(git / "HEAD", "ref: refs/../../../secret\n"),
        NOT_UNDERSTOOD,
    ),
    "HEAD is absolute": (lambda git: write(git / "HEAD", "ref: /etc/passwd\n"), NOT_UNDERSTOOD),
    "HEAD of another format of refs": (
        lambda git: write(git / "HEAD", "ref: refs/heads/.invalid\n"),
        NOT_UNDERSTOOD,
    ),
    "HEAD with a terminal's codes": (
        lambda git: write(git / "HEAD", "ref: refs/heads/a\x1b[31mb\n"),
        NOT_UNDERSTOOD,
    ),
    "HEAD is not text": (lambda git: (git / "HEAD").write_bytes(b"\xff\xfe\n"), NOT_UNDERSTOOD),
    "HEAD is empty": (lambda git: write(git / "HEAD", ""), NOT_UNDERSTOOD),
    "HEAD is large": (lambda git: write(git / "HEAD", "a" * 10_000), UNREADABLE),
    "HEAD is a pipe": (lambda git: os.mkfifo(git / "HEAD"), UNREADABLE),
    "HEAD is a link": (lambda git: (git / "HEAD").symlink_to("/etc/hostname"), UNREADABLE),
    "HEAD is a directory": (lambda git: (git / "HEAD").mkdir(), UNREADABLE),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_file_is_neither_followed_nor_waited_for(what: str, tmp_path: Path) -> None:
    """For an odd file the answer is the reason why nothing is known."""
    make, expected = HOSTILE[what]
    (tmp_path / ".git").mkdir()
    make(tmp_path / ".git")
    assert found(tmp_path) == expected


def test_ref_that_is_no_commit_keeps_its_name(tmp_path: Path) -> None:
    """The branch is known even so."""
    write(tmp_path / ".git" / "HEAD", ON_MAIN)
    write(tmp_path / ".git" / "refs" / "heads" / "main", "root:x:0:0\n")
    assert found(tmp_path) == NOT_UNDERSTOOD._replace(branch="main")
    (tmp_path / ".git" / "refs" / "heads" / "main").unlink()
    os.mkfifo(tmp_path / ".git" / "refs" / "heads" / "main")
    assert found(tmp_path) == UNREADABLE._replace(branch="main")


def test_git_file_that_leads_nowhere(tmp_path: Path) -> None:
    """It is not taken for the repository further up, just as in git."""
    write(tmp_path / ".git" / "HEAD", f"{A}\n")
    for said in ("gitdir: ../gone\n", "something\n", "gitdir: a\x00b\n"):
        write(tmp_path / "a" / ".git", said)
        assert found(tmp_path / "a") == NOT_UNDERSTOOD


def test_few_files_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch with a file costs two opens, for missing files are not opened."""
    write(tmp_path / ".git" / "HEAD", ON_MAIN)
    write(tmp_path / ".git" / "refs" / "heads" / "main", f"{A}\n")
    calls: list[files.SystemCall] = []

    def counted(operation: files.SystemCall, call: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(operation)
        return call(*args, **kwargs)

    monkeypatch.setattr(files, "perform", counted)
    assert found(tmp_path) == CheckedOut(A, "main", None)
    assert calls.count(files.SystemCall.OPEN) == 2
    assert calls.count(files.SystemCall.READ) == 2


GIT: Final = shutil.which("git") or ""


@pytest.mark.skipif(not GIT, reason="needs git")
def test_git_itself_says_the_same(tmp_path: Path) -> None:
    """It agrees with git on a first commit, packed, detached, and in a second work tree."""

    def git(*words: str, cwd: Path = tmp_path) -> str:
        settings = ("user.name=a", "user.email=a@b", "init.defaultBranch=trunk", "gc.auto=0")
        given = [word for one in settings for word in ("-c", one)]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        done = subprocess.run(
            [GIT, *given, *words], cwd=cwd, env=clean, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    git("init", "-q")
    assert found(tmp_path) == CheckedOut(None, "trunk", RevisionProblem.NO_COMMIT)
    git("commit", "-q", "--allow-empty", "-m", "one")
    commit = git("rev-parse", "HEAD")
    assert found(tmp_path) == CheckedOut(commit, "trunk", None)
    git("pack-refs", "--all")
    assert not (tmp_path / ".git" / "refs" / "heads" / "trunk").exists()
    assert found(tmp_path) == CheckedOut(commit, "trunk", None)
    git("worktree", "add", "-q", "-b", "feature/x", "side")
    git("commit", "-q", "--allow-empty", "-m", "two", cwd=tmp_path / "side")
    there = git("rev-parse", "HEAD", cwd=tmp_path / "side")
    assert there != commit
    assert found(tmp_path / "side") == CheckedOut(there, "feature/x", None)
    git("checkout", "-q", "--detach")
    assert found(tmp_path) == CheckedOut(commit, None, None)
