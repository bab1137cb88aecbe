"""Keeps the surroundings of the command's process out of it: modules, variables, the locale.

Nothing that Python finds in the current directory, in its own variables (`PYTHONPATH`,
`PYTHONWARNINGS`, …) or in the operator's home takes part in a run, and text is UTF-8 whatever the
locale. The stages get all of these unchanged. Loads only what every interpreter has loaded.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # known to type checkers; the current directory may hold a `typing.py`
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import Final

HARMLESS: Final = frozenset(
    {
        *("PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX"),  # passed on to a second start
        *("PYTHONHASHSEED", "PYTHONIOENCODING", "PYTHONNOUSERSITE", "PYTHONSAFEPATH"),
        *("PYTHONSTARTUP", "PYTHONUNBUFFERED"),
    }
)
"""Variables of Python that change nothing here: they alone are not worth a second start."""
COERCED: Final = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})
"""The values to which Python sets LC_CTYPE if the locale is C (PEP 538)."""
INITIAL_ENVIRONMENT: Final = "/proc/self/environ"


def open_standard_streams() -> None:
    """Open /dev/null for every closed standard stream, or a file would get its number."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # It takes the lowest free number: this one. A write to it fails, as on a closed stream.
            os.open(os.devnull, os.O_RDONLY)


def isolate(main_file: str) -> None:
    """Keep out of this process what must not reach into it.

    What can no longer be undone here is undone by starting Python again in place of this process,
    isolated and in UTF-8 mode, on `main_file`; in that case this does not return. If Python was
    started with `-S`, its caller has chosen what it finds: nothing is removed.
    """
    _undo_coercion()
    if sys.flags.no_site:
        return
    first = _first_place()
    is_clean = (
        (first is None or not any(_strays_in(first, os.path.basename(_home(main_file)))))
        and (sys.flags.ignore_environment or not _has_variables())
        and not _looks_into_home()
        and sys.getfilesystemencoding() == "utf-8"
    )
    if not is_clean and sys.executable and os.path.isfile(main_file):
        _start_anew(main_file)
    if first is not None:
        del sys.path[0]
        if first == os.path.dirname(_home(main_file)):
            sys.path.append(first)  # an archive, or a folder that also holds the libraries


def _home(main_file: str) -> str:
    return os.path.dirname(os.path.abspath(main_file))


def _undo_coercion() -> None:
    """Restore the operator's LC_CTYPE if Python has changed it."""
    if os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") not in COERCED:
        return
    try:
        with open(INITIAL_ENVIRONMENT, "rb") as file:
            initial = [os.fsdecode(pair) for pair in file.read().split(b"\0")]
    except OSError:
        # Python's own addition is the last one.
        if list(os.environ)[-1] == "LC_CTYPE":
            del os.environ["LC_CTYPE"]
        return
    given = [pair.partition("=")[2] for pair in initial if pair.startswith("LC_CTYPE=")]
    if given:
        os.environ["LC_CTYPE"] = given[0]
    else:
        del os.environ["LC_CTYPE"]


def _first_place() -> str | None:
    """Return the folder of the script, or the current one, if Python looks there first."""
    if sys.flags.safe_path or not sys.path:
        return None
    try:
        here = os.getcwd()
    except FileNotFoundError:  # Python does not look there either
        here = ""
    script = os.path.realpath(sys.argv[0]) if here or os.path.isabs(sys.argv[0]) else ""
    if sys.path[0] in {"", here, os.path.dirname(script)}:
        return sys.path[0] or here
    return None


def _strays_in(folder: str, own: str) -> Iterator[ModuleType]:
    """Yield the modules that were loaded from a folder, except the package itself."""
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is None or "." in name or name in {own, "__main__"}:
            continue
        places = spec.submodule_search_locations or (spec.origin or "",)
        if any(os.path.dirname(place) == folder for place in places):
            yield module


def _has_variables() -> bool:
    """Return whether a variable is set that the interpreter heeds, and that may change a run."""
    return any(
        value and name.startswith("PYTHON") and name[6:].isalpha() and name not in HARMLESS
        for name, value in os.environ.items()
    )


def _looks_into_home() -> bool:
    """Return whether Python also looks for packages in the operator's home."""
    site = sys.modules.get("site")
    return getattr(site, "USER_SITE", None) in sys.path


def _start_anew(main_file: str) -> None:
    """Start Python on `main_file` in place of this process; never return."""
    flags = ["-I", "-X", "utf8"]
    if sys.dont_write_bytecode:
        flags.append("-B")
    if sys.pycache_prefix:
        flags += ("-X", f"pycache_prefix={sys.pycache_prefix}")
    argv = [sys.executable, *flags, os.path.abspath(main_file), *sys.argv[1:]]
    try:
        os.execv(sys.executable, argv)  # noqa: S606 - ourselves
    except OSError as error:
        sys.exit(
            f"fsm-orchestrator: Python cannot be started again, isolated: {error}\n"
            "  unset the variables that begin with PYTHON, and use a locale that is UTF-8"
        )
