"""Finds modules where they are expected: a start loads three hundred of them.

Python asks finder after finder for each module, tries every kind of file that it may be, and looks
at source and bytecode again and again: a tenth of a start. Here bytecode is read next to the
expected source, and the source is looked at once, as Python does, to see whether it was changed.
Anything that is not plainly there (a source alone, bytecode that is out of date or from elsewhere,
a module in an archive) is left to Python.

For the command's own process only; if it starts stages, only until the first (`held_code.py`).
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import (
    MAGIC_NUMBER,
    PathFinder,
    SourceFileLoader,
    cache_from_source,
)
from _imp import is_builtin, is_frozen

TYPE_CHECKING = False  # as in cli/isolation.py
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType
    from typing import Final

PACKAGES: Final = frozenset({__name__.partition(".")[0], "click", "structlog", "transitions"})
"""Packages besides the standard library in which every module is a source file, or a package."""
_SUFFIX: Final = ".py"
_PACKAGE: Final = "__init__"
_HEADER: Final = MAGIC_NUMBER + bytes(4)
"""The beginning of bytecode that records the time and size of its source (PEP 552)."""
_HEADER_BYTES: Final = 16
_TIME_BITS: Final = 0xFFFFFFFF
_SIZE_BITS: Final = _TIME_BITS << 32
_READ_BYTES: Final = 1 << 16


def install() -> None:
    """Find modules here from now on, if Python keeps bytecode next to the source."""
    is_beside = bool(sys.implementation.cache_tag) and sys.pycache_prefix is None
    if is_beside and hasattr(os, "__file__") and PathFinder in sys.meta_path:
        sys.meta_path.insert(0, _Finder())


def uninstall() -> None:
    """Leave every module to the other finders again."""
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, _Finder)]


class _Finder:
    """A finder for modules of the standard library and of some packages."""

    def __init__(self) -> None:
        self._library = _library()
        self._before, _, self._after = cache_from_source(f"*{_SUFFIX}").rpartition("*")

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module, or None if it is not plainly there."""
        del target
        package, _, stem = name.rpartition(".")
        if path is None:
            is_plain = (
                name in sys.stdlib_module_names and not is_builtin(name) and not is_frozen(name)
            )
            place = self._library if is_plain else None
        else:
            first = package.partition(".")[0]
            is_plain = first in PACKAGES or first in sys.stdlib_module_names
            place = path[0] if is_plain and len(path) == 1 else None
        if not place:
            return None
        folder = place + os.sep
        return self._spec(name, folder, stem) or self._spec(
            name, f"{folder}{stem}{os.sep}", _PACKAGE
        )

    def _spec(self, name: str, folder: str, stem: str) -> ModuleSpec | None:
        source = f"{folder}{stem}{_SUFFIX}"
        cached = f"{folder}{self._before}{stem}{self._after}"
        try:
            content = content_of(cached)
            info = os.stat(source)
        except OSError:
            return None
        if not is_of(content, info):
            return None
        is_package = stem == _PACKAGE
        loader = _Loader(name, source, content)
        spec = ModuleSpec(name, loader, origin=source, is_package=is_package)
        spec.cached = cached
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [folder[: -len(os.sep)]]
        return spec


class _Loader(SourceFileLoader):
    """A loader for a module whose bytecode has been read."""

    def __init__(self, name: str, path: str, content: bytes) -> None:
        super().__init__(name, path)
        self._content = content

    def get_code(self, fullname: str) -> CodeType | None:
        """Return the code of the module: on the first call, from the bytecode already read."""
        content, self._content = self._content, b""
        try:
            code: CodeType = marshal.loads(memoryview(content)[_HEADER_BYTES:])  # noqa: S302 - as Python does
        except (EOFError, TypeError, ValueError):  # read before, or cut off: left to Python
            return super().get_code(fullname)
        is_of_path = getattr(code, "co_filename", None) == self.path
        return code if is_of_path else super().get_code(fullname)


def _library() -> str | None:
    """Return the directory of the standard library, or None if anything is searched before it."""
    place = os.path.dirname(os.__file__)
    before = sys.path[: sys.path.index(place)] if place in sys.path else sys.path
    return None if any(map(os.path.exists, before)) else place


def is_of(bytecode: bytes, source: os.stat_result) -> bool:
    """Return whether bytecode was made from the current state of a source (PEP 552)."""
    stamp = source.st_size << 32 & _SIZE_BITS | int(source.st_mtime) & _TIME_BITS
    return bytecode[:_HEADER_BYTES] == _HEADER + stamp.to_bytes(8, "little")


def content_of(path: str) -> bytes:
    """Return the content of a file.

    Raises:
        OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # hundreds: no file object for each
    try:
        parts = []
        while part := os.read(descriptor, _READ_BYTES):
            parts.append(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
