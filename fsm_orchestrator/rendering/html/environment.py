"""Fills the templates of the page, so that no text can become markup or mislead.

The only user of Jinja2, an optional extra. Every value is escaped, characters that are invisible or
turn the reading direction are made visible, and a missing value is an error. Knows nothing of runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from fsm_orchestrator.errors import InternalError, UsageError
from fsm_orchestrator.text.hidden import HIDDEN, copyable, printable, spelled

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

SHOWN_CHARACTERS_MAX: Final = 4_000
"""The length at which a text is cut: an argument can have a hundred thousand characters."""


def _none(_name: str) -> None:
    """Find no template."""


@cache  # a process that shows many pages compiles their templates once
def page_environment(others: Callable[[str], str | None] = _none) -> Environment:
    """Return the environment that fills the templates; `others` is asked first, by name.

    Raises:
        UsageError: Jinja2 is not installed.
    """
    try:
        import jinja2  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            "making a page needs Jinja2, which is not installed",
            remedy="pip install 'fsm-orchestrator[html]'",
        ) from error
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        loader=jinja2.FunctionLoader(lambda name: others(name) or template_text(name)),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"copyable": copyable, "marked": marked, "shortened": shortened}
    return environment


def shortened(text: str) -> str:
    """Return a text; if it is long, cut, with a note of how much is left."""
    rest = len(text) - SHOWN_CHARACTERS_MAX
    if rest <= 0:
        return text
    return f"{text[:SHOWN_CHARACTERS_MAX]} \u2026 and {rest} more characters"


def marked(text: str) -> Markup:
    """Return text escaped, with each hidden character in an element that sets it apart.

    For text between tags. An attribute needs no filter: `printable` is applied to all values.
    """
    from markupsafe import Markup, escape  # noqa: PLC0415 - comes with Jinja2

    return Markup(  # noqa: S704 - what it joins is escaped
        HIDDEN.sub(lambda match: f'<span class="odd">{spelled(match[0])}</span>', str(escape(text)))
    )


def template_text(name: str) -> str:
    """Return the text of a template, or of the style sheet `page.css`."""
    package = resources.files("fsm_orchestrator.rendering.html")
    found = package / name if name.endswith(".css") else package / "templates" / name
    return found.read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """Return a value that Jinja2 may escape and write; refuse any that is not text or a number."""
    from jinja2 import Undefined  # noqa: PLC0415 - an extra
    from markupsafe import Markup  # noqa: PLC0415 - comes with Jinja2

    match value:
        case Markup() | Undefined():
            return value
        case str():
            return printable(str(value))
        case int() if not isinstance(value, bool):
            return value
        case _:
            raise InternalError(f"a page cannot show {type(value).__name__}")
