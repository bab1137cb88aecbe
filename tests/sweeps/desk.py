"""The place where runs of a sweep work, and its files: captured, and put back unchanged."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

SECRET: Final = "a-value-that-no-file-may-show"  # noqa: S105 - it opens nothing
EARLIER: Final = "earlier"
STAGES: Final = ("manager", "executor")

OUT: Final = "work/out"
"""The output directory on the disk; nothing else is made in the directory above it."""

Tree = tuple[tuple[str, bytes | None], ...]
"""Everything below a directory: path and content, which is None for a directory, sorted."""


@dataclass(frozen=True, slots=True)
class Desk:
    """The place where runs of a sweep work: `disk` has their files; the stages' notes are apart."""

    root: Path

    @property
    def disk(self) -> Path:
        """The directory with output directory and private state, and nothing else."""
        return self.root / "disk"

    @property
    def out(self) -> Path:
        """The output directory."""
        return self.disk / OUT

    @property
    def state(self) -> Path:
        """The user's state directory, for XDG_STATE_HOME."""
        return self.disk / "state"

    @property
    def notes(self) -> Path:
        """The file in which each stage notes that it was started."""
        return self.root / "notes"

    @property
    def artifact(self) -> Path:
        """The executor's expected artifact; making it durable is up to the stage."""
        return self.root / "artifact.json"

    def starts(self) -> Counter[str]:
        """Count how often each stage was started."""
        return Counter(self.notes.read_text().split() if self.notes.exists() else ())

    def clear(self) -> None:
        """Leave the desk as if no run had ever worked here."""
        self.put(Scene(((str(Path(OUT).parent), None),), b"", b""))

    def scene(self, tree: Tree | None = None) -> Scene:
        """Return all that is here now, or with `tree` in place of the files on the disk."""
        notes, artifact = (
            path.read_bytes() if path.exists() else b"" for path in (self.notes, self.artifact)
        )
        home = self.out.stat().st_ino if self.out.exists() else 0
        return Scene(read_tree(self.disk) if tree is None else tree, notes, artifact, home)

    def put(self, scene: Scene) -> None:
        """Restore everything; the output directory is the same one, and not a copy of it."""
        homes = self.root / "homes"
        homes.mkdir(exist_ok=True)
        if self.out.exists():
            write_tree(self.out, ())
            self.out.rename(homes / str(self.out.stat().st_ino))
        write_tree(self.disk, scene.tree, {OUT: homes / str(scene.home)})
        for path, content in ((self.notes, scene.notes), (self.artifact, scene.artifact)):
            path.unlink(missing_ok=True)
            if content:
                path.write_bytes(content)


@dataclass(frozen=True, slots=True)
class Scene:
    """The content of a desk."""

    tree: Tree
    notes: bytes
    artifact: bytes
    home: int = field(default=0, compare=False)
    """Inode of the output directory: a run in another one takes it for a copy."""


def read_tree(root: Path) -> Tree:
    """Return everything below a directory."""
    return tuple(
        (str(path.relative_to(root)), None if path.is_dir() else path.read_bytes())
        for path in sorted(root.rglob("*"))
    )


def write_tree(root: Path, tree: Tree, kept: Mapping[str, Path] = MappingProxyType({})) -> None:
    """Make a directory hold the files of `tree`, and nothing else.

    `kept`: empty directories that are moved to their place, if they exist.
    """
    root.mkdir(exist_ok=True)
    for one in root.iterdir():
        if one.is_dir():
            shutil.rmtree(one)
        else:
            one.unlink()
    for name, content in tree:
        path = root / name
        if name in kept and kept[name].exists():
            kept[name].rename(path)
        elif content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
