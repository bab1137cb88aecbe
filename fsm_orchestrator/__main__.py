"""The command's process: made ready to start fast, then handed to the command line.

This affects the command's own process only, not a program that imports the package.
"""

from __future__ import annotations

import gc
import importlib
import sys
from types import ModuleType
from typing import Any, cast

COLLECT_AFTER = 200_000
"""How many new objects start a garbage collection: what is imported is never garbage, and searching
it takes a twentieth of a start."""


def start() -> None:
    """Run the command: the entry point."""
    gc.set_threshold(COLLECT_AFTER)
    _leave_out_unused()
    from fsm_orchestrator.cli.main import main  # noqa: PLC0415 - after the above

    main()


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
    start()
