"""Keeps code out of this process that was written, or put in its place, after a certain moment.

A stage runs with the operator's rights, and may write where the interpreter finds its modules. The
kernel stamps each change of a file, and each change of its name, with a time that only root can set
(`ctime`). So code that is loaded after the first stage has begun is read through the directory that
was there before, and refused if anything on the way is newer, unless the installer's list of
digests, which is old itself, says that it is what was installed: another link to a file is a change
as well.

A child that judges a policy gets this module from memory: it imports nothing of the package.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import (
    ExtensionFileLoader,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from types import ModuleType
from typing import Any, NamedTuple

COARSE_CLOCK = 5
"""CLOCK_REALTIME_COARSE, the clock that stamps files; the fine one is ahead of it."""
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Since(NamedTuple):
    """A moment, and the directories that were searched for modules then: device and inode."""

    ns: int
    places: Mapping[str, tuple[int, int]]


_in_force: list[tuple[Since, type[ImportError]]] = []
_places: dict[int, Mapping[str, tuple[int, int]]] = {}
_installed: dict[str, frozenset[bytes]] = {}
"""The entries of each directory's lists of installed files, as far as they were read."""


def now() -> Since:
    """Return the current moment."""
    ns = time.clock_gettime_ns(COARSE_CLOCK) if sys.platform == "linux" else time.time_ns()
    places = {}
    for place in dict.fromkeys((*sys.path, *_packages())):
        try:
            places[place] = _identity(os.stat(place))
        except OSError:
            continue
    return Since(ns, places)


def install(since: Since, refusal: type[ImportError] = ImportError) -> None:
    """Load nothing newer in this process from now on; raise `refusal` instead."""
    _in_force[:] = [(since, refusal)]
    before = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0
    sys.meta_path.insert(before, _Finder(since, refusal))


def in_force() -> Since | None:
    """Return the moment that everything loaded must precede, or None if there is none."""
    return _in_force[0][0] if _in_force else None


def confirm(paths: Sequence[str]) -> None:
    """Make sure that files are unchanged, if this process loads only such files.

    Raises:
        ImportError: one is newer, or gone.
    """
    for since, refusal in _in_force:
        for path in paths:
            _read(path, since, refusal)


def _packages() -> list[str]:
    """Return the directories of the loaded packages."""
    modules: list[Any] = list(sys.modules.values())  # some are None, or not modules
    return [one for module in modules for one in _places_of(module)]


def _places_of(module: object) -> Sequence[str]:
    found = vars(module).get("__path__") if isinstance(module, ModuleType) else None
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else ()


class _Finder:
    """A finder that has each module checked before it is run."""

    def __init__(self, since: Since, refusal: type[ImportError]) -> None:
        self._since = since
        self._refusal = refusal

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module, or None if there is none.

        Raises:
            ImportError: the module is newer.
        """
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None or spec.origin is None:
            return spec
        match spec.loader:
            case SourceFileLoader(path=file):
                spec.loader = _Source(name, file, self._since, self._refusal)
            case SourcelessFileLoader(path=file):
                spec.loader = _Compiled(name, file, self._since, self._refusal)
            case ExtensionFileLoader():
                _read(spec.origin, self._since, self._refusal)
            case other:  # in an archive
                archive = getattr(other, "archive", None) or spec.origin
                _read(archive, self._since, self._refusal)
        return spec


class _Source(SourceFileLoader):
    """A loader for a module from source, or bytecode, that is not newer."""

    def __init__(self, name: str, path: str, since: Since, refusal: type[ImportError]) -> None:
        super().__init__(name, path)
        self._since = since
        self._refusal = refusal

    def get_data(self, path: Any) -> bytes:
        """Return the content of a file.

        Raises:
            ImportError: it is newer.
            OSError: it is bytecode, and newer or gone: the source is used instead.
        """
        try:
            return _read(path, self._since, self._refusal)
        except ImportError as error:
            if path != self.path:
                raise FileNotFoundError(path) from error
            raise

    def set_data(self, path: Any, data: Any, *, _mode: int = 0o666) -> None:
        """Write no bytecode: a file in that place is somebody else's by now."""


class _Compiled(SourcelessFileLoader):
    """A loader for a module from bytecode alone that is not newer."""

    def __init__(self, name: str, path: str, since: Since, refusal: type[ImportError]) -> None:
        super().__init__(name, path)
        self._since = since
        self._refusal = refusal

    def get_data(self, path: Any) -> bytes:
        """Return the content of a file.

        Raises:
            ImportError: it is newer.
        """
        return _read(path, self._since, self._refusal)


def _read(path: str, since: Since, refusal: type[ImportError]) -> bytes:
    """Return the content of a file; raise `refusal` if it, or the way to it, is newer."""
    try:
        data, is_old = _content(os.path.realpath(path), since)
    except OSError as error:
        raise refusal(f"{path}: {error.strerror}", path=path) from error
    if is_old or _is_as_installed(path, data, since):
        return data
    raise refusal(f"{path} was changed or put there while the run was at work", path=path)


def _content(path: str, since: Since) -> tuple[bytes, bool]:
    """Return the content of a file, and whether it and all below a known place are old.

    Each is opened in the one before, and checked while it is open: a name may change hands.
    """
    places = _real(since)
    place = os.path.dirname(path)
    while place not in places and place != os.path.dirname(place):
        place = os.path.dirname(place)
    directory = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        is_old = places.get(place) == _identity(os.fstat(directory))
        *between, name = os.path.relpath(path, place).split(os.sep)
        for one in between:
            below = os.open(one, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
            os.close(directory)
            directory = below
            is_old = is_old and _is_old(os.fstat(directory), since)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        with open(os.open(name, flags, dir_fd=directory), "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return b"", False
            data = file.read()
            return data, is_old and _is_old(os.fstat(file.fileno()), since)
    finally:
        os.close(directory)


def _real(since: Since) -> Mapping[str, tuple[int, int]]:
    """Return the places by their resolved paths, as they were when they were first needed."""
    if since.ns not in _places:
        _places[since.ns] = {os.path.realpath(one): known for one, known in since.places.items()}
    return _places[since.ns]


def _is_old(info: os.stat_result, since: Since) -> bool:
    return info.st_ctime_ns < since.ns


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def _is_as_installed(path: str, data: bytes, since: Since) -> bool:
    """Return whether an old list of installed files has the digest of a file."""
    where, digest = os.path.realpath(path), _digest(data)
    for place in _real(since):
        if digest and where.startswith(place + os.sep):
            if place not in _installed:
                _installed[place] = frozenset(_installed_in(place, since))
            if f"{os.path.relpath(where, place)},sha256={digest},".encode() in _installed[place]:
                return True
    return False


def _installed_in(place: str, since: Since) -> Iterator[bytes]:
    """Yield the entries of old lists of installed files: path and digest, without the size."""
    try:
        names = [one for one in os.listdir(place) if one.endswith(".dist-info")]
        for name in names:
            data, is_old = _content(os.path.join(place, name, "RECORD"), since)
            for line in data.splitlines() if is_old else ():
                yield line[: line.rfind(b",") + 1]
    except OSError:
        return


def _digest(data: bytes) -> str:
    """Return a file's digest as the lists write it; empty if this process cannot make one."""
    made = [sys.modules[one] for one in ("_sha2", "_sha256", "hashlib") if sys.modules.get(one)]
    if not made:
        return ""  # no module is loaded for it: that would lead here again
    number = int.from_bytes(made[0].sha256(data).digest(), "big") << 2  # 256 bits, and two more
    return "".join(ALPHABET[number >> shift & 63] for shift in range(42 * 6, -1, -6))
