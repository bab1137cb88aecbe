"""The command's process: made ready to start fast, then handed to the command line.

This affects the command's own process only, not a program that imports the package.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False  # as in cli/isolation.py
if TYPE_CHECKING:
    from typing import Any

COLLECT_AFTER = 200_000
"""How many new objects start a garbage collection: what is imported is never garbage, and searching
it takes a twentieth of a start."""


def start() -> None:
    """Run the command: the entry point."""
    _isolate()
    _make_lean()
    try:
        from fsm_orchestrator.cli.main import main  # noqa: PLC0415 - after the above
    except ImportError as error:
        from fsm_orchestrator.errors import not_loaded  # noqa: PLC0415 - rare

        failure = not_loaded(error)
        sys.exit(f"fsm-orchestrator: {failure}\n  {failure.remedy}")
    main()


def start_worker() -> None:
    """Be a worker of a fleet, which has started this process as isolated as itself."""
    _make_lean()
    from fsm_orchestrator.fleet.worker import main  # noqa: PLC0415 - after the above

    main()


def _make_lean() -> None:
    """Load and search for no more than a run needs."""
    import gc  # noqa: PLC0415 - see _isolate

    gc.set_threshold(COLLECT_AFTER)
    _leave_out_unused()
    _leave_annotations_alone()


def _isolate() -> None:
    """Keep out what lies around; what is loaded before this may be somebody else's."""
    from fsm_orchestrator.cli import isolation  # noqa: PLC0415 - the first of all

    isolation.open_standard_streams()
    isolation.isolate(__file__)


def _load_package() -> None:
    """Load the package that this file is in, wherever Python would look for it.

    What lies beside it comes before other packages if a packager put it there (`--user`,
    `--target`), else after them: a checkout is full of names.
    """
    import importlib.util  # noqa: PLC0415 - only where Python was started again
    import os  # noqa: PLC0415
    import site  # noqa: PLC0415

    home = os.path.dirname(os.path.abspath(__file__))
    root, name = os.path.split(home)
    if root not in sys.path:
        is_installed = any(
            entry.startswith(f"{name}-") and entry.endswith(".dist-info")
            for entry in os.listdir(root)
        )
        installed = site.getsitepackages() if is_installed else []
        places = [number for number, entry in enumerate(sys.path) if entry in installed]
        sys.path.insert(min(places, default=len(sys.path)), root)
    spec = importlib.util.spec_from_file_location(
        name, os.path.join(home, "__init__.py"), submodule_search_locations=[home]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no package at {home}")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def _leave_out_unused() -> None:
    """Keep libraries from loading what they need for nothing that is done here.

    structlog takes rich, better_exceptions and colorama (and ctypes with it) for the screen where
    they are installed, and does without where they are not. Its coroutines need asyncio, pydantic's
    search for plugins importlib.metadata: both are loaded as soon as anything of them is used.
    Together they take a quarter of a start.

    pydantic finds no plugin: none that happens to be installed may watch or change what is kept.
    """
    import importlib  # noqa: PLC0415 - see _isolate
    import urllib  # noqa: PLC0415

    modules: dict[str, Any] = sys.modules
    for name in ("rich", "better_exceptions", "colorama"):
        modules.setdefault(name, None)
    # click only straightens help texts with it; most of ours are straight.
    inspecting = _Later("inspect")
    inspecting.__dict__["cleandoc"] = lambda text: (
        text if text.isprintable() and text == text.strip() else inspecting.load().cleandoc(text)
    )
    sys.modules.setdefault("inspect", inspecting)
    # pathlib can make URIs; nothing here does.
    quoting = _Later("urllib.parse")
    quoting.__dict__["quote_from_bytes"] = lambda *given: quoting.load().quote_from_bytes(*given)
    quoting.__dict__["__path__"] = []  # to be asked for it would be a use
    if sys.modules.setdefault("urllib.parse", quoting) is quoting:
        vars(urllib)["parse"] = quoting  # where `import urllib.parse` looks for it
    coroutines = _Later("asyncio")
    # logging asks for the current task (Python 3.12 and later), and structlog makes a log record.
    coroutines.__dict__["current_task"] = lambda: coroutines.in_use().current_task()
    sys.modules.setdefault("asyncio", coroutines)
    metadata = _Later("importlib.metadata")
    # It is asked for this function by name.
    metadata.__dict__["entry_points"] = lambda **given: (
        () if given == {"group": "pydantic"} else metadata.load().entry_points(**given)
    )
    metadata.__dict__["__path__"] = []
    if sys.modules.setdefault("importlib.metadata", metadata) is metadata:
        importlib.metadata = metadata  # where `import importlib.metadata` looks for it


def _leave_annotations_alone() -> None:
    """Keep typing from compiling the annotation of each field of each named tuple.

    There are hundreds; nothing here asks for one, and who does has it compiled then. Python 3.14
    and later leave them alone by themselves.
    """
    import collections  # noqa: PLC0415 - see _isolate
    import typing  # noqa: PLC0415

    make: Any = collections.namedtuple  # noqa: PYI024 - what typing makes them with

    def made(name: str, types: Any, module: str, defaults: Any = ()) -> Any:
        annotations = dict(types)
        kind = make(name, annotations, defaults=defaults, module=module)
        kind.__annotations__ = kind.__new__.__annotations__ = annotations
        return kind

    if sys.version_info < (3, 14):
        vars(typing)["_make_nmtuple"] = made


class _Later(ModuleType):
    """Stands for a module until something of it is used.

    Not importlib.util.LazyLoader: in Python 3.11 a second import is a use already.
    """

    def __getattr__(self, name: str) -> Any:
        """Return what the module itself has by that name."""
        return getattr(self.load(), name)

    def in_use(self) -> Any:
        """Return the module itself if it has been loaded.

        Raises:
            RuntimeError: it has not, as asyncio raises it where no loop runs.
        """
        if sys.modules.get(self.__name__) is self:
            raise RuntimeError("no running event loop")
        return self.load()

    def load(self) -> Any:
        """Import the module itself, and put it in its own place."""
        import importlib  # noqa: PLC0415 - see _isolate

        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return importlib.import_module(self.__name__)


if __name__ == "__main__":
    if not __package__:  # a script by its path, not `python -m`
        _load_package()
    start()
