"""The forms in which a secret may be written, so that none of them is shown.

Each value's forms are derived once, and only if there is a value: only this module imports the
encoders.
"""

from __future__ import annotations

import base64
import html
import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import quote, quote_plus

LINE_LENGTH_MIN: Final = 6
"""The length of the shortest line of a multi-line value that is a secret on its own."""
_WRAPS: Final = (64, 76)
"""The line lengths at which PEM and MIME, and so the usual commands, break base64."""
_BITS: Final = 6
"""The number of bits in a character of base64."""


def spellings(value: str) -> frozenset[str]:
    """Return a value, and each of its lines, in every common encoding."""
    lines = [line.strip() for line in value.splitlines()]
    parts = {value, value.strip(), *(one for one in lines if len(one) >= LINE_LENGTH_MIN)}
    return frozenset(form for part in parts if part for form in _forms(part))


def _forms(text: str) -> Iterator[str]:
    """Yield a text in every encoding, and again for each encoding that does not change it."""
    yield text
    if "\n" in text:
        yield text.replace("\n", "\r\n")
    yield from _percent_encoded(text)
    yield from _escaped(text)
    yield from _quoted_for_a_shell(text)
    data = text.encode(errors="surrogateescape")
    yield data.hex()
    yield data.hex().upper()
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            yield from _base64_of(data, offset, alphabet)


def _percent_encoded(text: str) -> Iterator[str]:
    # Servers, browsers (encodeURIComponent, encodeURI) and forms leave different characters alone.
    for safe in ("", "/", "!'()*", ";,/?:@&=+$#!'()*"):
        for encoded in (quote(text, safe, errors="replace"), quote_plus(text, safe)):
            yield encoded
            yield _lower_hex(encoded)


def _lower_hex(encoded: str) -> str:
    """Lowercase the digits after each `%`; a `%` of the text itself has been encoded too."""
    head, *rest = encoded.split("%")
    return "".join((head, *(f"%{one[:2].lower()}{one[2:]}" for one in rest)))


def _escaped(text: str) -> Iterator[str]:
    for is_ascii in (True, False):
        escaped = json.dumps(text, ensure_ascii=is_ascii)[1:-1]
        yield escaped
        yield escaped.replace("/", r"\/")
        # JavaScript in a page, and encoders that are meant for one.
        yield _replaced(escaped, (("<", r"\u003c"), (">", r"\u003e"), ("&", r"\u0026")))
    yield repr(text)[1:-1]
    yield ascii(text)[1:-1]
    yield _without_quotes(repr(text)[1:-1])
    yield _without_quotes(ascii(text)[1:-1])
    for quotes in ((), (('"', "&quot;"),), (('"', "&#34;"), ("'", "&#39;"))):
        yield _replaced(html.escape(text, quote=False), quotes)
    yield _replaced(html.escape(text, quote=False), (('"', "&quot;"), ("'", "&apos;")))
    yield _replaced(html.escape(text, quote=False), (('"', "&quot;"), ("'", "&#39;")))
    yield html.escape(text)
    for escaped in (text, html.escape(text), html.escape(text, quote=False)):
        yield escaped.encode("ascii", "xmlcharrefreplace").decode()
        yield _replaced(escaped, (("\t", "&#9;"), ("\n", "&#10;"), ("\r", "&#13;")))


def _without_quotes(shown: str) -> str:
    r"""Return a text in Python's notation without the `\` that it has before a quote."""
    return shown.replace(r"\'", "'")


def _replaced(text: str, pairs: Iterable[tuple[str, str]]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def _quoted_for_a_shell(text: str) -> Iterator[str]:
    yield shlex.quote(text).removeprefix("'").removesuffix("'")
    yield text.replace("'", r"'\''")
    special = " \t\\'\"`$&|;<>()*?[]{}!#~=%^,"
    yield "".join(f"\\{one}" if one in special else one for one in text)  # as `printf %q` does
    yield _replaced(text, (("\\", "\\\\"), ('"', r"\""), ("$", r"\$"), ("`", r"\`")))


def _base64_of(data: bytes, offset: int, encode: Callable[[bytes], bytes]) -> Iterator[str]:
    """Yield what is certain of `data` in base64 if `offset` bytes of other data precede it.

    The first and the last character may hold bits of neighbors: those are left out, unless there
    are none.
    """
    encoded = encode(bytes(offset) + data).decode("ascii")
    bits = 8 * (offset + len(data))
    yield encoded[-(-8 * offset // _BITS) : bits // _BITS]
    if offset == 0:
        yield encoded
        yield encoded.rstrip("=")
        for width in _WRAPS:
            for start in range(0, len(encoded) if len(encoded) > width else 0, width):
                yield encoded[start : start + width]
