"""The command's process: prepared for a fast start, then handed to the command line.

This affects the command's own process only, not a program that imports the package.
"""

from __future__ import annotations

import sys

COLLECT_AFTER = 200_000
"""The number of new objects that starts a garbage collection. Imported objects are never garbage,
and searching them takes a twentieth of a start."""


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
    """Run as a worker of a fleet, which has started this process as isolated as itself."""
    _make_lean()
    from fsm_orchestrator.fleet.worker import main  # noqa: PLC0415 - after the above

    main()


def _make_lean() -> None:
    """Load no more than a run needs, and search no more than that."""
    import gc  # noqa: PLC0415 - see _isolate

    gc.set_threshold(COLLECT_AFTER)
    from fsm_orchestrator.disk import plain_modules  # noqa: PLC0415 - see _isolate

    plain_modules.install()
    from fsm_orchestrator.cli import enumerations, named_tuples, spared  # noqa: PLC0415 - see _isolate

    spared.install()
    named_tuples.install()
    enumerations.install()


def _isolate() -> None:
    """Keep out stray files: what is loaded before this may be somebody else's."""
    from fsm_orchestrator.cli import isolation  # noqa: PLC0415 - the first of all

    isolation.open_standard_streams()
    isolation.isolate(__file__)


def _load_package() -> None:
    """Load the package that contains this file, wherever Python would look for it.

    If a packager put it there (`--user`, `--target`), the files next to it come before other
    packages, otherwise after them: a checkout is full of names.
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


if __name__ == "__main__":
    if not __package__:  # run as a script by its path, not by `python -m`
        _load_package()
    start()
