"""Fill the templates of the page, so that no text can become markup or mislead.

The only user of Jinja2, an optional extra. Every value is escaped, what cannot be seen or would
turn the reading direction is made visible in it, and a value that is missing is an error. Knows
nothing of runs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from fsm_orchestrator.errors import InternalError, UsageError

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

SHOWN_CHARACTERS_MAX: Final = 4_000
"""A longer text is cut: an argument may have a hundred thousand characters."""
_HIDDEN: Final = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, all but tab and line feed
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028\u2029"  # soft hyphen, marks, separators
    "\u202a-\u202e\u2060-\u2064\u2066-\u206f"  # what turns or isolates the reading direction
    "\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff"  # halves of a pair, which no UTF-8 can hold
    "\U000e0000-\U000e007f"  # tags: letters that nothing shows
    "]"
)


def page_environment() -> Environment:
    """Return the environment that fills the templates.

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
        loader=jinja2.FunctionLoader(_template),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"marked": marked, "shortened": shortened}
    return environment


def visible(text: str) -> str:
    r"""Return `text` with every hidden character spelled out: `\x1b`, `\u202e`."""
    return _HIDDEN.sub(lambda match: _spelled(match[0]), text)


def shortened(text: str) -> str:
    """Return a text; a long one cut, with a word about the rest."""
    rest = len(text) - SHOWN_CHARACTERS_MAX
    if rest <= 0:
        return text
    return f"{text[:SHOWN_CHARACTERS_MAX]} \u2026 and {rest} characters more"


def shell_words(words: Iterable[str]) -> list[str]:
    """Return words as a shell reads them; hidden characters in them do no harm there."""
    return [_dollar_quoted(one) if _HIDDEN.search(one) else shlex.quote(one) for one in words]


def marked(text: str) -> Markup:
    """Return text escaped, each hidden character in an element that sets it apart.

    For text between tags. In an attribute, no filter is needed: `visible` is applied to all.
    """
    from markupsafe import Markup, escape  # noqa: PLC0415 - comes with Jinja2

    return Markup(  # noqa: S704 - what it joins is escaped
        _HIDDEN.sub(
            lambda match: f'<span class="odd">{_spelled(match[0])}</span>', str(escape(text))
        )
    )


def _dollar_quoted(word: str) -> str:
    """Return `$'...'`, as bash, ksh and zsh read it: each byte that could mislead is a number."""
    data = word.encode(errors="surrogateescape")
    plain = {byte: chr(byte) for byte in range(0x20, 0x7F) if chr(byte) not in "'\\"}
    inside = "".join(plain.get(byte, f"\\x{byte:02x}") for byte in data)
    return f"$'{inside}'"


def _template(name: str) -> str:
    package = resources.files("fsm_orchestrator.rendering.html")
    found = package / name if name.endswith(".css") else package / "templates" / name
    return found.read_text(encoding="utf-8")


def _shown(value: Any) -> Any:
    """Return a value as Jinja2 may escape and write it; refuse what is no text."""
    from jinja2 import Undefined  # noqa: PLC0415 - an extra
    from markupsafe import Markup  # noqa: PLC0415 - comes with Jinja2

    match value:
        case Markup() | Undefined():
            return value
        case str():
            return visible(str(value))
        case int() if not isinstance(value, bool):
            return value
        case _:
            raise InternalError(f"a page cannot show {type(value).__name__}")


def _spelled(character: str) -> str:
    code = f"{ord(character):x}"
    if len(code) <= len("ff"):
        return f"\\x{code:0>2}"
    return f"\\u{code:0>4}" if len(code) <= len("ffff") else f"\\U{code:0>8}"
