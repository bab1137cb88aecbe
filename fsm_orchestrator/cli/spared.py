"""Spares the command's process the modules that libraries import and nothing here uses.

A stand-in replaces each module, and loads it as soon as anything of it is used. The names that
libraries take from it on import are provided by the stand-in itself.

This affects the command's own process only, not a program that imports the package.
"""

from __future__ import annotations

import importlib
import re
import sys
import urllib  # noqa: F401 - the package of what is stood for
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from fsm_orchestrator.text.late_pattern import late_pattern

SCREEN: Final = ("rich", "better_exceptions", "colorama")
"""The modules that structlog uses for the screen if they are installed, and can do without."""
ELSEWHERE: Final = ("nt", "_winapi", "org")
"""The modules that the standard library repeatedly looks for on other systems."""
UNUSED: Final = ("ntpath", "platform", "traceback")
"""The modules that are imported at every start and rarely used."""


def install() -> None:
    """Put the stand-ins in place of the modules that are not loaded yet."""
    modules: dict[str, Any] = sys.modules
    for name in (*SCREEN, *ELSEWHERE, "structlog.twisted"):
        modules.setdefault(name, None)
    for name in UNUSED:
        _stand_in(name)
    _stand_in_for_the_library()
    _stand_in_for_its_twins()
    _stand_in_for_others()


def _stand_in_for_the_library() -> None:
    """Replace modules of the standard library of which little is used."""
    # click only straightens help texts with it; most of this program's are straight.
    inspecting = _stand_in("inspect")
    inspecting.offer(
        cleandoc=lambda text: (
            text
            if text.isprintable() and text == text.strip()
            else inspecting.load().cleandoc(text)
        )
    )
    # pathlib can make URIs; nothing here does.
    quoting = _stand_in("urllib.parse")
    quoting.offer(quote_from_bytes=quoting.calling("quote_from_bytes"))
    # logging asks for the current task (Python 3.12 and later).
    coroutines = _stand_in("asyncio", is_package=True)
    coroutines.offer(current_task=lambda: coroutines.in_use().current_task())
    # pydantic asks for its plugins by this function, and finds none, whatever else is loaded: no
    # plugin that happens to be installed may watch or change what is kept.
    metadata = _stand_in("importlib.metadata", is_package=True)
    metadata.__dict__["__path__"] = []
    metadata.__dict__["entry_points"] = lambda **given: (
        () if given == {"group": "pydantic"} else metadata.load().entry_points(**given)
    )
    # click's messages are in English, and no catalogue changes them.
    _stand_in("gettext").offer(
        gettext=lambda message: message,
        ngettext=lambda one, more, number: one if number == 1 else more,
    )
    # click declares an option of this class.
    identifiers = _stand_in("uuid")
    identifiers.offer(
        UUID=type("UUID", (), {"__new__": lambda _, *given: identifiers.load().UUID(*given)})
    )
    # structlog names this error for when one of its loggers is pickled.
    _stand_in("pickle").offer(PicklingError=type("PicklingError", (Exception,), {}))
    # The lines that transitions logs for its own debugging are discarded here.
    _stand_in("logging", is_package=True).offer(
        getLogger=lambda _name=None: _SILENT, NullHandler=lambda: None
    )


def _stand_in_for_its_twins() -> None:
    """Replace Python modules of the standard library by the C modules that they wrap.

    For `datetime`, Python also has the same code in Python; for `signal`, it makes enumerations of
    the numbers.
    """
    for name in ("datetime", "signal"):
        try:
            twin = importlib.import_module(f"_{name}")
        except ImportError:
            continue
        offered = {key: one for key, one in vars(twin).items() if not key.startswith("__")}
        _stand_in(name).offer(**offered)


def import_without_patterns(*modules: str) -> None:
    """Import modules; the patterns that they define are compiled at their first use."""
    compile_now = re.compile
    patterns: Any = re
    patterns.compile = late_pattern
    try:
        for name in modules:
            importlib.import_module(name)
    finally:
        patterns.compile = compile_now


def _stand_in_for_others() -> None:
    """Replace modules of other packages."""
    # transitions checks for strings in the way that suits Python 2 and 3.
    _stand_in("six").offer(string_types=(str,))
    for name in ("stdlib", "threadlocal", "tracebacks"):
        _stand_in(f"structlog.{name}")
    # By default structlog writes to the screen with these; this program always configures it
    # otherwise.
    screen, processors = _stand_in("structlog.dev"), _stand_in("structlog.processors")
    screen.offer(
        _has_colors=True,
        ConsoleRenderer=screen.making("ConsoleRenderer"),
        set_exc_info=screen.calling("set_exc_info"),
    )
    processors.offer(
        StackInfoRenderer=processors.making("StackInfoRenderer"),
        TimeStamper=processors.making("TimeStamper"),
        add_log_level=processors.calling("add_log_level"),
    )


class _Silent:
    """A logger that discards everything."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return self._ignore

    def _ignore(self, *_given: Any, **_named: Any) -> None:
        pass


_SILENT: Final = _Silent()


class StandIn(ModuleType):
    """A stand-in for a module until something of it is used.

    Not importlib.util.LazyLoader: in Python 3.11 a second import already counts as a use.
    """

    def __init__(self, name: str, *, is_package: bool) -> None:
        super().__init__(name)
        self.__dict__["_is_package"] = is_package
        self.__dict__["_offered"] = ()

    def __getattr__(self, name: str) -> Any:
        """Return the module's own attribute of that name."""
        if name == "__path__" and not self._is_package:  # `from NAME import …` asks for it
            raise AttributeError(name)
        return getattr(self.load(), name)

    def offer(self, **offered: Any) -> None:
        """Offer attributes until the module is loaded."""
        self.__dict__.update(offered, _offered=(*self._offered, *offered))

    def making(self, name: str) -> Callable[..., Callable[..., Any]]:
        """Return a replacement for a class whose instances are called."""

        def make(*args: Any, **named: Any) -> Callable[..., Any]:
            def call(*given: Any) -> Any:
                return getattr(self.load(), name)(*args, **named)(*given)

            return call

        return make

    def calling(self, name: str) -> Callable[..., Any]:
        """Return a replacement for a function."""

        def call(*args: Any, **named: Any) -> Any:
            return getattr(self.load(), name)(*args, **named)

        return call

    def in_use(self) -> Any:
        """Return the module itself if it has been loaded.

        Raises:
            RuntimeError: it has not, as asyncio raises it without a running loop.
        """
        if sys.modules.get(self.__name__) is self:
            raise RuntimeError("no running event loop")
        return self.load()

    def load(self) -> Any:
        """Import the module itself, and put it in its own place."""
        for name in self._offered:
            self.__dict__.pop(name, None)
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)


def _stand_in(name: str, *, is_package: bool = False) -> StandIn:
    """Replace a module by a stand-in, unless it is loaded already."""
    stand_in = StandIn(name, is_package=is_package)
    if sys.modules.setdefault(name, stand_in) is stand_in and "." in name:
        package, _, last = name.rpartition(".")
        if package in sys.modules:
            setattr(sys.modules[package], last, stand_in)  # where `import NAME` looks for it
    return stand_in
