"""The digest of a git work tree: the commit if it is clean, else a tree of its files.

The repository is not touched: the tree is built with a separate index and object directory.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from fsm_orchestrator.processes.tool import ToolError, output_of, run_tool, scratch_directory

COMMIT: Final = "gitCommit"
TREE: Final = "gitTree"
_UNTOUCHED: Final = ("-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false")


def git_digest(directory: str, output: Path) -> dict[str, str]:
    """Return the digest of the work tree around `directory`; files below `output` do not count.

    Untracked files count, ignored ones do not.

    Raises:
        ToolError: there is no work tree, or git cannot report on it.
    """
    git = _Git(directory, output)
    head = git.head()
    if head is not None and git.is_clean():
        return {COMMIT: head}
    return {TREE: git.tree(head)}


class _Git:
    """A work tree, and git commands that look at it without taking a lock."""

    def __init__(self, directory: str, output: Path) -> None:
        given = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        self._env = {**given, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
        self._directory = directory
        self._top = os.fsdecode(self._ask("rev-parse", "--show-toplevel").rstrip(b"\n"))
        self._directory = self._top
        self._paths = self._counted(output)

    def _counted(self, output: Path) -> tuple[str, ...]:
        """Return the paths that count: all but the output directory, if that is inside."""
        inside = os.path.relpath(os.path.realpath(output), os.path.realpath(self._top))
        if inside == os.curdir:
            raise ToolError(f"{self._top} is the output directory itself")
        if inside.split(os.sep, 1)[0] == os.pardir:
            return (".",)
        ignored = run_tool(self._words("check-ignore", "--quiet", f"{inside}/"), env=self._env)
        if ignored.code == 0:  # git rejects an exclusion of what it ignores anyway
            return (".",)
        return (".", f":(exclude,top,literal){inside}")

    def head(self) -> str | None:
        """Return the commit at HEAD, or None before there is one."""
        words = self._words("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
        end = run_tool(words, env=self._env)
        return end.stdout.decode().strip() if end.code == 0 else None

    def is_clean(self) -> bool:
        """Return whether the files are those of HEAD; False if git is set not to look at one."""
        flags = self._ask("ls-files", "-v", "-z").split(b"\0")
        if any(one[:1].islower() or one[:1] == b"S" for one in flags):
            return False
        said = ("--porcelain=v2", "-z", "--untracked-files=all", "--ignore-submodules=none")
        changes = self._ask("status", *said, "--", *self._paths)
        for entry in changes.split(b"\0"):
            fields = entry.split(b" ", 3)
            if len(fields) > 2 and fields[0] in {b"1", b"2"} and fields[2][2:].strip(b"."):  # noqa: PLR2004
                raise ToolError("a submodule has changes of its own, which no digest here names")
        return not changes

    def tree(self, head: str | None) -> str:
        """Return the tree that a commit of all files would have."""
        objects = os.fsdecode(self._ask("rev-parse", "--git-path", "objects").rstrip(b"\n"))
        with scratch_directory() as place:
            (place / "objects").mkdir()
            own = {
                **self._env,
                "GIT_INDEX_FILE": str(place / "index"),
                "GIT_OBJECT_DIRECTORY": str(place / "objects"),
            }
            if head is not None:
                # Only for this command: on a write, git updates the times of the objects that it
                # finds.
                theirs = os.path.join(self._top, objects)
                known = {**own, "GIT_ALTERNATE_OBJECT_DIRECTORIES": theirs}
                output_of(self._words("read-tree", head), env=known)
            output_of(self._words("add", "--all", "--", *self._paths), env=own)
            return output_of(self._words("write-tree", "--missing-ok"), env=own).decode().strip()

    def _words(self, *words: str) -> tuple[str, ...]:
        plain = ("-c", "core.looseCompression=0", "-c", "advice.addEmbeddedRepo=false")
        return ("git", "-C", self._directory, *_UNTOUCHED, *plain, *words)

    def _ask(self, *words: str) -> bytes:
        return output_of(self._words(*words), env=self._env)
