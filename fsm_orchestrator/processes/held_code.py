"""Keeps the code that a run may still have to load, because its stages may overwrite the files.

Rare modules are imported only when they are needed. By then their files may be those of another
version, written by a stage, or gone. So the code of the package is read before the first program is
started, and only executed when it is needed. Of all other code, nothing newer than that is loaded.
"""

from __future__ import annotations

import contextlib
import os
import sys
from _thread import allocate_lock
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import cache_from_source
from types import ModuleType
from typing import Any, Final, NamedTuple

from fsm_orchestrator.disk import plain_modules, unchanged
from fsm_orchestrator.disk.plain_modules import content_of, is_of
from fsm_orchestrator.errors import ChangedCodeError
from fsm_orchestrator.processes.observing import OwnCode

PACKAGE: Final = __name__.partition(".")[0]
NOT_FOR_RUNS: Final = frozenset(
    {
        "bundle",
        "cli/commands",
        "cli/parser",
        "coroutines",
        "rendering",
        "schemas",
        "selftest",
        "temporal",
        "web",
    }
)
"""The parts of the package that no run loads, by path."""
KEEPERS: Final = "processes"
"""The path in the package of a keeper's code."""
_SUFFIX: Final = ".py"


class _Held(NamedTuple):
    """The code of a module: what its loader would read, by path, and the stamp of its source."""

    source: str
    is_package: bool
    files: Mapping[str, bytes]
    mtime: float
    size_bytes: int


class HeldCode(OwnCode):
    """The code of the command's own process."""

    def __init__(self) -> None:
        self._is_held = False
        self._guard = allocate_lock()

    def hold(self) -> bool:
        """Make this process load modules as they are now, once for all of its runs."""
        with self._guard:  # concurrent stages may call this: the others wait
            was_held = self._is_held
            if not was_held:
                hold_code()
                self._is_held = True
            return was_held

    def confirm(self) -> None:
        """Make sure that the code of a keeper is unchanged since the code was held.

        Raises:
            ChangedCodeError: it has changed.
        """
        if not self._is_held:
            return
        sources = [source.path for _, source in _modules(_folder(), KEEPERS)]
        cached = [one for one in map(cache_from_source, sources) if os.path.exists(one)]
        unchanged.confirm((*sources, *cached))


COMMAND: Final = HeldCode()
"""The held code of this process."""


def hold_code() -> None:
    """Make this process load modules as they are now, whenever it loads them."""
    since = unchanged.now()
    folder = _folder()
    held = {}
    with contextlib.suppress(OSError):  # in an archive, for example: nothing is held then
        for name, source in _modules(folder):
            if name not in sys.modules:
                held[name] = _read(source)
    plain_modules.uninstall()
    sys.meta_path.insert(0, _Finder(held))
    unchanged.install(since, ChangedCodeError)


def _folder() -> str:
    return os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _modules(folder: str, below: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the name and the source of each module that a run may load."""
    prefix = f"{below}/" if below else ""
    package = f"{PACKAGE}.{prefix.replace('/', '.')}"
    for entry in os.scandir(os.path.join(folder, below)):
        name = entry.name
        if name.endswith(_SUFFIX):
            stem = name[: -len(_SUFFIX)]
            yield (package[:-1] if stem == "__init__" else package + stem), entry
        elif name != "__pycache__" and prefix + name not in NOT_FOR_RUNS and entry.is_dir():
            yield from _modules(folder, prefix + name)


def _read(source: os.DirEntry[str]) -> _Held:
    """Read what the loader of a module would read."""
    info = source.stat()
    path = source.path
    stem = source.name[: -len(_SUFFIX)]
    before, after = _cached_in(path[: -len(source.name)])
    cached = f"{before}{stem}{after}"
    try:
        files = {cached: content_of(cached)}
    except OSError:
        files = {}
    if not files or not is_of(files[cached], info):
        files[path] = content_of(path)
    return _Held(path, stem == "__init__", files, info.st_mtime, info.st_size)


@lru_cache(maxsize=1)
def _cached_in(folder: str) -> tuple[str, str]:
    """Return the parts of the path of bytecode before and after the module's name."""
    before, _, after = cache_from_source(f"{folder}*{_SUFFIX}").rpartition("*")
    return before, after


class _Finder:
    """A finder of the held modules, before any other finder looks for their files."""

    def __init__(self, held: Mapping[str, _Held]) -> None:
        self._held = held

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return how to load a module, or None if it is not held."""
        del path, target
        held = self._held.get(name)
        if held is None:
            return None
        loader = _Loader(name, held)
        spec = ModuleSpec(name, loader, origin=held.source, is_package=held.is_package)
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(os.path.dirname(held.source))
        return spec


class _Loader(SourceFileLoader):
    """A loader of a module as its files were when they were read."""

    def __init__(self, name: str, held: _Held) -> None:
        super().__init__(name, held.source)
        self._of_module = held

    def path_stats(self, path: Any) -> Mapping[str, Any]:
        """Return the stamp of the source that bytecode must name."""
        del path
        return {"mtime": self._of_module.mtime, "size": self._of_module.size_bytes}

    def get_data(self, path: Any) -> bytes:
        """Return the content of a file."""
        try:
            return self._of_module.files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def set_data(self, path: Any, data: Any, *, _mode: int = 0o666) -> None:
        """Write no bytecode: the file may be another version's by now."""
