"""Elements of an HTML page, built so that no text can become markup.

A plain `str` put into an element is always escaped, and what drives a terminal, turns the reading
direction or cannot be seen is made visible in it. `Markup` is the only thing that is not escaped,
and it is made here alone. Knows nothing of runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from typing import Final, TypeAlias

from fsm_orchestrator.errors import InternalError

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
_BLOCKS: Final = (
    "html head meta title style body header nav main section h1 h2 h3 h4 p div ul ol li dl dt dd"
    " pre figure figcaption table caption thead tbody tr th td details summary svg g"
)
_PHRASES: Final = "span code strong a time path polygon polyline ellipse text"
_TAGS: Final = frozenset(f"{_BLOCKS} {_PHRASES}".split())
_LINES_OF_THEIR_OWN: Final = frozenset(_BLOCKS.split())
_VOID: Final = frozenset({"meta"})
_TEXT_ONLY: Final = frozenset({"title", "text"})
"""Elements in which what was made visible is not set apart."""
_NAMES: Final = (
    "lang charset name content http-equiv id class style role tabindex href datetime scope open"
    " aria-label aria-labelledby aria-hidden focusable viewBox transform points d cx cy rx ry x y"
    " text-anchor font-weight font-style font-size stroke-width stroke-dasharray"
)
_ATTRIBUTES: Final = frozenset(_NAMES.split())


@dataclass(frozen=True, slots=True)
class Markup:
    """HTML that may stand in the page as it is. Not a `str`: it cannot be joined with text."""

    html: str


Child: TypeAlias = "str | Markup | Iterable[Child] | None"
"""What may be put into an element: text, elements, or any nesting of them."""


def visible(text: str) -> str:
    r"""`text` with every hidden character spelled out: `\x1b`, `\u202e`."""
    return _HIDDEN.sub(lambda match: _spelled(match[0]), text)


def has_hidden(text: str) -> bool:
    """Whether `visible` would change it."""
    return _HIDDEN.search(text) is not None


def element(tag: str, /, *children: Child, **attributes: str | int | None) -> Markup:
    """One element. A trailing `_` of an attribute's name is dropped, other `_` become `-`.

    An attribute that is None is left out.

    Raises:
        InternalError: the tag or an attribute is none that the page may have.
    """
    if tag not in _TAGS:
        raise InternalError(f"no such element in a page: {tag}")
    given = "".join(_attribute(name, value) for name, value in attributes.items())
    end = "\n" if tag in _LINES_OF_THEIR_OWN else ""
    if tag in _VOID:
        return Markup(f"<{tag}{given}>{end}")
    inside = "".join(_pieces(children, is_text_only=tag in _TEXT_ONLY))
    # The parser drops a line feed right after <pre>: one of ours is given away for the text's.
    first = "\n" if tag == "pre" else ""
    return Markup(f"<{tag}{given}>{first}{inside}</{tag}>{end}")


def joined(*children: Child) -> Markup:
    """Children beside each other, in no element of their own."""
    return Markup("".join(_pieces(children, is_text_only=False)))


def style_sheet(css: str) -> Markup:
    """A style sheet of ours. It is raw text for the parser, so it may not hold a `<`.

    Raises:
        InternalError: it does.
    """
    if "<" in css:
        raise InternalError("a style sheet with markup in it")
    return Markup(f"<style>{css}</style>\n")


def document(head: Child, body: Child) -> str:
    """A whole page in English."""
    page = element("html", element("head", head), element("body", body), lang="en")
    return f"<!DOCTYPE html>\n{page.html}"


def _attribute(name: str, value: str | int | None) -> str:
    known = name.rstrip("_").replace("_", "-")
    if known not in _ATTRIBUTES:
        raise InternalError(f"no such attribute in a page: {known}")
    if value is None:
        return ""
    text = str(value)
    if known == "href" and not re.fullmatch(r"#[a-z][a-z0-9_-]*", text):
        raise InternalError(f"a link out of the page: {text}")
    return f' {known}="{escape(visible(text))}"'


def _pieces(children: Iterable[Child], *, is_text_only: bool) -> Iterable[str]:
    for child in children:
        match child:
            case None:
                continue
            case Markup():
                yield child.html
            case str():
                yield escape(visible(child)) if is_text_only else _marked(child)
            case _:
                yield from _pieces(child, is_text_only=is_text_only)


def _marked(text: str) -> str:
    """Text escaped, with what was hidden in it set apart from what only looks so."""
    return _HIDDEN.sub(
        lambda match: f'<span class="odd">{_spelled(match[0])}</span>', escape(text, quote=False)
    )


def _spelled(character: str) -> str:
    code = f"{ord(character):x}"
    if len(code) <= len("ff"):
        return f"\\x{code:0>2}"
    return f"\\u{code:0>4}" if len(code) <= len("ffff") else f"\\U{code:0>8}"
