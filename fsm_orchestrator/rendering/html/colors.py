"""The colors in the output of a stage, as spans of a page.

Of a terminal's language, only the sequences that change how characters look (SGR) are kept. A color
is moved towards black or white until it can be read on the page, light and dark. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fsm_orchestrator.text.terminal import colored_pieces

Rgb = tuple[int, int, int]

_BEFORE: Final = len("\x1b[")
_BASIC: Final[tuple[Rgb, ...]] = (
    *((0, 0, 0), (194, 54, 33), (37, 145, 52), (160, 110, 0)),
    *((40, 90, 200), (170, 50, 170), (20, 130, 150), (150, 156, 164)),
    *((110, 118, 128), (230, 70, 60), (60, 190, 80), (210, 160, 30)),
    *((90, 140, 255), (220, 100, 220), (60, 190, 210), (235, 238, 242)),
)
_CUBE: Final = (0, 95, 135, 175, 215, 255)
_SURFACES: Final[tuple[Rgb, Rgb]] = ((238, 241, 244), (20, 26, 32))
"""The background of output, light and dark: `--sunk` of the style sheet; a test compares them."""
_BLACK: Final[Rgb] = (0, 0, 0)
_WHITE: Final[Rgb] = (255, 255, 255)
CONTRAST_MIN: Final = 4.5
_STEPS: Final = 10
_NUMBERS_MAX: Final = 64
_NUMBER_DIGITS_MAX: Final = 3
_SWITCHES: Final[Mapping[int, Mapping[str, Any]]] = {
    1: {"is_bold": True},
    2: {"is_dim": True},
    3: {"is_italic": True},
    4: {"is_underlined": True},
    7: {"is_reversed": True},
    9: {"is_struck": True},
    21: {"is_underlined": True},
    22: {"is_bold": False, "is_dim": False},
    23: {"is_italic": False},
    24: {"is_underlined": False},
    27: {"is_reversed": False},
    29: {"is_struck": False},
}


@dataclass(frozen=True, slots=True)
class _Look:
    """The look of the characters that follow."""

    text: Rgb | None = None
    back: Rgb | None = None
    is_bold: bool = False
    is_dim: bool = False
    is_italic: bool = False
    is_underlined: bool = False
    is_reversed: bool = False
    is_struck: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of one look: classes of the style sheet, and a style that only sets colors."""

    text: str
    classes: str = ""
    style: str = ""


def spans_of(text: str) -> tuple[Span, ...]:
    """Return the spans of some output, with its line feeds."""
    look, found = _Look(), list[tuple[str, _Look]]()
    for number, line in enumerate(text.split("\n")):
        if number:
            found.append(("\n", look))
        for index, piece in enumerate(colored_pieces(line)):
            if index % 2:
                look = _changed(look, piece[_BEFORE:-1])
            elif piece:
                found.append((piece, look))
    return tuple(_joined(found))


def plain_of(spans: Iterable[Span]) -> str:
    """Return only the characters of spans."""
    return "".join(span.text for span in spans)


def contrast(one: Rgb, other: Rgb) -> float:
    """Return the contrast of two colors, as WCAG 2 defines it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _joined(found: Iterable[tuple[str, _Look]]) -> Iterator[Span]:
    texts, last = list[str](), _Look()
    for text, look in found:
        if look != last and texts:
            yield _span("".join(texts), last)
            texts = []
        texts.append(text)
        last = look
    if texts:
        yield _span("".join(texts), last)


def _changed(look: _Look, parameters: str) -> _Look:
    """Return a look after one sequence; unknown parameters change nothing."""
    words = re.split("[;:]", parameters)[:_NUMBERS_MAX]
    numbers = iter([int(one or 0) if len(one) <= _NUMBER_DIGITS_MAX else -1 for one in words])
    for number in numbers:
        if number == 0:
            look = _Look()
        elif number in _SWITCHES:
            look = replace(look, **_SWITCHES[number])
        elif number in {38, 48}:
            color = _long_color(numbers)
            look = replace(look, text=color) if number == 38 else replace(look, back=color)  # noqa: PLR2004 - a parameter of SGR
        else:
            look = _basic_changed(look, number)
    return look


def _basic_changed(look: _Look, number: int) -> _Look:
    match number:
        case 39:
            return replace(look, text=None)
        case 49:
            return replace(look, back=None)
        case _ if 30 <= number <= 37:  # noqa: PLR2004 - parameters of SGR
            return replace(look, text=_BASIC[number - 30])
        case _ if 40 <= number <= 47:  # noqa: PLR2004
            return replace(look, back=_BASIC[number - 40])
        case _ if 90 <= number <= 97:  # noqa: PLR2004
            return replace(look, text=_BASIC[number - 82])
        case _ if 100 <= number <= 107:  # noqa: PLR2004
            return replace(look, back=_BASIC[number - 92])
        case _:
            return look


def _long_color(numbers: Iterator[int]) -> Rgb | None:
    """Return the color after 38 or 48: `5;n` of 256, or `2;r;g;b`."""
    match next(numbers, None):
        case 5:
            return _of_256(next(numbers, -1))
        case 2:
            red, green, blue = (next(numbers, -1) for _ in range(3))
            is_color = all(0 <= part <= 0xFF for part in (red, green, blue))  # noqa: PLR2004
            return (red, green, blue) if is_color else None
        case _:
            return None


def _of_256(number: int) -> Rgb | None:
    if not 0 <= number <= 0xFF:  # noqa: PLR2004 - a byte
        return None
    if number < len(_BASIC):
        return _BASIC[number]
    place = number - len(_BASIC)
    if place >= len(_CUBE) ** 3:
        grey = 8 + 10 * (place - len(_CUBE) ** 3)
        return (grey, grey, grey)
    red, rest = divmod(place, len(_CUBE) ** 2)
    green, blue = divmod(rest, len(_CUBE))
    return (_CUBE[red], _CUBE[green], _CUBE[blue])


def _span(text: str, look: _Look) -> Span:
    front, back = (look.back, look.text) if look.is_reversed else (look.text, look.back)
    switches = (
        ("bold", look.is_bold),
        ("dim", look.is_dim and back is None),
        ("italic", look.is_italic),
        ("under", look.is_underlined),
        ("struck", look.is_struck),
        ("turned", look.is_reversed and back is None),
        ("tinted", front is not None and back is None and not look.is_reversed),
    )
    style = ""
    if back is not None:
        style = f"background:{_hex(back)};color:{_hex(_readable_on(back, front))}"
    elif front is not None and not look.is_reversed:
        light, dark = (_readable_on(surface, front) for surface in _SURFACES)
        style = f"--light:{_hex(light)};--dark:{_hex(dark)}"
    return Span(text, " ".join(name for name, is_on in switches if is_on), style)


def _readable_on(back: Rgb, front: Rgb | None) -> Rgb:
    """Return the color nearest to the wanted one that can be read on `back`."""
    end = max(_BLACK, _WHITE, key=lambda one: contrast(one, back))
    if front is None:
        return end
    for step in range(_STEPS):
        mixed = _mixed(front, end, step / _STEPS)
        if contrast(mixed, back) >= CONTRAST_MIN:
            return mixed
    return end


def _mixed(one: Rgb, other: Rgb, share: float) -> Rgb:
    red, green, blue = (
        round(first + (second - first) * share) for first, second in zip(one, other, strict=True)
    )
    return (red, green, blue)


def _luminance(color: Rgb) -> float:
    parts = [part / 255 for part in color]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4  # noqa: PLR2004 - sRGB
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _hex(color: Rgb) -> str:
    return "#" + "".join(f"{part:02x}" for part in color)
