"""The command's process: kept to itself, made ready to start fast, handed to the command line.

Neither the operator's PYTHON* variables nor a module beside the command, nor a locale, decide what
is loaded here or how arguments are read; stages get the operator's environment as it is. This
affects the command's own process only, not a program that imports the package.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    del sys.path[0]  # the current directory: before anything is loaded that could be in it

import gc
import importlib
import os
from types import ModuleType
from typing import Any, cast

COLLECT_AFTER = 200_000
"""How many new objects start a garbage collection: what is imported is never garbage, and searching
it takes a twentieth of a start."""
_HARMLESS = frozenset(
    {
        *("PYTHONBREAKPOINT", "PYTHONCOERCECLOCALE", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED"),
        *("PYTHONNOUSERSITE", "PYTHONPYCACHEPREFIX", "PYTHONSAFEPATH", "PYTHONSTARTUP"),
        *("PYTHONUNBUFFERED", "PYTHONUTF8"),
    }
)
"""Variables of the interpreter that change nothing here; many containers set some of them."""
_COERCED_LOCALES = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})


def start() -> None:
    """Run the command: the entry point."""
    if __name__ != "__main__" and not sys.flags.safe_path:
        del sys.path[0]  # where the script is that was typed
    _forget_coerced_locale()
    _isolate()
    gc.set_threshold(COLLECT_AFTER)
    _leave_out_unused()
    from fsm_orchestrator.cli.main import main  # noqa: PLC0415 - after the above

    main()


def _forget_coerced_locale() -> None:
    """Take back the LC_CTYPE that Python sets in the locale C (PEP 538): nobody gave it."""
    if os.environ.get("LC_CTYPE") not in _COERCED_LOCALES:
        return
    try:
        with open("/proc/self/environ", "rb") as file:
            given = file.read().split(b"\0")
        is_given = any(pair.startswith(b"LC_CTYPE=") for pair in given)
    except OSError:
        # Told by what came with it: the mode that the locale C brings, and nobody asked for.
        is_given = not sys.flags.utf8_mode or bool(sys.flags.isolated)
    if not is_given:
        del os.environ["LC_CTYPE"]


def _isolate() -> None:
    """Start again, isolated and in UTF-8 mode, if anything could reach in; else return.

    Whoever starts the interpreter with -S has taken its path in hand, and is left alone.
    """
    reaches_in = not sys.flags.isolated and any(
        value and key.startswith("PYTHON") and key[6:7].isalpha() and key not in _HARMLESS
        for key, value in os.environ.items()
    )
    is_utf8 = sys.getfilesystemencoding() == "utf-8"
    this = os.path.abspath(__file__)
    if sys.flags.no_site or not sys.executable or (is_utf8 and not reaches_in):
        return
    if not os.path.isfile(this):  # in an archive: there is nothing to start
        return
    keep = ("-B",) if sys.flags.dont_write_bytecode else ()
    words = (sys.executable, "-I", "-X", "utf8", *keep, this, *sys.argv[1:])
    try:
        os.execv(sys.executable, words)  # noqa: S606 - this program itself
    except OSError:
        return  # as it is, rather than not at all: the arguments just fit, or there is no memory


def _find_package() -> None:
    """Make the package of this file importable, and what was installed beside it.

    For a file that is run by its path, isolated: it is no part of a package then.
    """
    folder = os.path.dirname(os.path.abspath(__file__))
    name = os.path.basename(folder)
    from importlib import util  # noqa: PLC0415 - only here

    spec = util.spec_from_file_location(
        name, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    if spec is not None and spec.loader is not None:
        package = util.module_from_spec(spec)
        sys.modules[name] = package
        spec.loader.exec_module(package)
    sys.path.append(os.path.dirname(folder))  # last: only for what is nowhere else


def _leave_out_unused() -> None:
    """Keep libraries from loading what they need for nothing that is done here.

    structlog takes rich, better_exceptions and colorama (and ctypes with it) for the screen where
    they are installed, and does without where they are not. Its coroutines need asyncio, pydantic's
    search for plugins importlib.metadata: both are loaded as soon as anything of them is used.
    Together they take a quarter of a start.

    pydantic finds no plugin: none that happens to be installed may watch or change what is kept.
    """
    for name in ("rich", "better_exceptions", "colorama"):
        sys.modules.setdefault(name, cast("ModuleType", None))
    sys.modules.setdefault("asyncio", _Later("asyncio"))
    metadata = _Later("importlib.metadata")
    # It is asked for this function by name; to be asked for its path would be a use as well.
    metadata.__dict__["entry_points"] = lambda **given: (
        () if given == {"group": "pydantic"} else metadata.load().entry_points(**given)
    )
    metadata.__dict__["__path__"] = []
    if sys.modules.setdefault("importlib.metadata", metadata) is metadata:
        importlib.metadata = metadata  # where `import importlib.metadata` looks for it


class _Later(ModuleType):
    """Stands for a module until something of it is used.

    Not importlib.util.LazyLoader: in Python 3.11 a second import is a use already.
    """

    def __getattr__(self, name: str) -> Any:
        """Return what the module itself has by that name."""
        return getattr(self.load(), name)

    def load(self) -> Any:
        """Import the module itself, and put it in its own place."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)


if __name__ == "__main__":
    if not __package__:
        _find_package()
    start()
