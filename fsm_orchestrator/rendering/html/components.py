"""Parts that every section of the page is made of: times, spans, badges, icons, tables, facts.

Says nothing about a run by itself.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from fsm_orchestrator.explanation.explanation import Fact
from fsm_orchestrator.rendering.html.elements import Child, Markup, element, has_hidden
from fsm_orchestrator.vocabulary import Ending, FactForm, Outcome, StageFate, StageStatus, Standing

SHOWN_CHARACTERS_MAX: Final = 4_000
"""A longer text is cut: an argument may have a hundred thousand characters."""
_WORD_MAX: Final = 24


class Tone(StrEnum):
    """What something means to the reader. Never told by colour alone: each has icon and word."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    LATE = "late"
    INFO = "info"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True)
class Look:
    """How something is shown: a word, a tone and an icon of its own shape."""

    word: str
    tone: Tone
    icon: str


STANDINGS: Final[Mapping[Standing, Look]] = {
    Standing.WORKING: Look(Standing.WORKING.words, Tone.INFO, "work"),
    Standing.INTERRUPTED: Look(Standing.INTERRUPTED.words, Tone.WARN, "cut"),
    Standing.BLOCKED: Look(Standing.BLOCKED.words, Tone.WARN, "barred"),
    Standing.FAILED: Look(Standing.FAILED.words, Tone.BAD, "cross"),
    Standing.TIMEOUT: Look(Standing.TIMEOUT.words, Tone.LATE, "clock"),
    Standing.DONE: Look(Standing.DONE.words, Tone.GOOD, "check"),
    Standing.NOT_CLOSABLE: Look(Standing.NOT_CLOSABLE.words, Tone.WARN, "alert"),
}
OUTCOMES: Final[Mapping[Outcome, Look]] = {
    outcome: STANDINGS[Standing(outcome.value)] for outcome in Outcome
}
STATUSES: Final[Mapping[StageStatus, Look]] = {
    StageStatus.SUCCESS: Look("success", Tone.GOOD, "check"),
    StageStatus.SKIPPED: Look("skipped", Tone.PLAIN, "skip"),
    StageStatus.FAILED: Look("failed", Tone.BAD, "cross"),
    StageStatus.TIMEOUT: Look("timeout", Tone.LATE, "clock"),
    StageStatus.SPAWN_FAILED: Look("not started", Tone.BAD, "cross"),
    StageStatus.ARTIFACT_MISSING: Look("artifact missing", Tone.BAD, "cross"),
    StageStatus.INTERRUPTED: Look("interrupted", Tone.WARN, "cut"),
}
FATES: Final[Mapping[StageFate, Look]] = {
    StageFate.RUNNING: Look("running", Tone.INFO, "work"),
    StageFate.SUCCEEDED: Look("succeeded", Tone.GOOD, "check"),
    StageFate.FAILED: Look("failed", Tone.BAD, "cross"),
    StageFate.SKIPPED: Look("skipped", Tone.PLAIN, "skip"),
    StageFate.PASSED_OVER: Look("passed over", Tone.PLAIN, "skip"),
    StageFate.INTERRUPTED: Look("interrupted", Tone.WARN, "cut"),
    StageFate.NOT_REACHED: Look("not reached", Tone.PLAIN, "none"),
}
REWORK: Final = Look("asked for rework", Tone.INFO, "back")

_RING: Final = "M12 2.5a9.5 9.5 0 1 0 0 19a9.5 9.5 0 1 0 0-19z"
_ICONS: Final[Mapping[str, tuple[str, ...]]] = {
    "check": (_RING, "M7.5 12.5l3 3l6-7"),
    "cross": ("M8 2.5h8l5.5 5.5v8l-5.5 5.5h-8l-5.5-5.5v-8z", "M8.5 8.5l7 7M15.5 8.5l-7 7"),
    "barred": ("M3 3h18v18h-18z", "M7.5 12h9"),
    "clock": (_RING, "M12 7v5.5l3.5 2"),
    "alert": ("M12 3l10 18h-20z", "M12 10v5M12 18v.1"),
    "work": (_RING, "M10 8l6 4l-6 4z"),
    "cut": ("M3 12h5l2-6l4 12l2-6h5",),
    "skip": ("M4 6l7 6l-7 6M13 6l7 6l-7 6",),
    "back": ("M9 6l-5 5l5 5M4 11h11a5 5 0 0 1 0 10h-3",),
    "none": ("M6 12h12",),
}


def icon(look: Look) -> Markup:
    """The shape of a look; nothing to those who hear the page, for its word is beside it."""
    return element(
        "svg",
        [element("path", d=line) for line in _ICONS[look.icon]],
        viewBox="0 0 24 24",
        class_="icon",
        aria_hidden="true",
        focusable="false",
    )


def badge(look: Look, word: str | None = None) -> Markup:
    """An icon and a word in their tone."""
    return element("span", icon(look), word or look.word, class_=f"badge {look.tone}")


def look_of(status: StageStatus, ending: Ending | None) -> Look:
    """How an execution of a stage is shown."""
    return REWORK if ending is Ending.REWORK_REQUESTED else STATUSES[status]


def time_of(timestamp: str) -> Markup:
    """A time of the records: `2026-01-31 09:05:00.250 UTC`."""
    return element("time", f"{timestamp[:10]} {timestamp[11:23]} UTC", datetime=timestamp)


def code(text: str) -> Markup:
    """A name, a path or a value, to be told from the words around it."""
    return element("code", shortened(text))


def shortened(text: str) -> str:
    """A text that is too long to be shown, cut off with a word about the rest."""
    rest = len(text) - SHOWN_CHARACTERS_MAX
    if rest <= 0:
        return text
    return f"{text[:SHOWN_CHARACTERS_MAX]} \u2026 and {rest} characters more"


def shell_line(words: Iterable[str]) -> Markup:
    """A command to be copied into a shell, which hidden characters do not keep from being right.

    Short words are not broken over lines: half an option looks like another one.
    """
    quoted = (_dollar_quoted(one) if has_hidden(one) else shlex.quote(one) for one in words)
    spans = [
        element("span", one, class_="word") if len(one) <= _WORD_MAX else one for one in quoted
    ]
    return element("code", [[" " if number else "", one] for number, one in enumerate(spans)])


def box(*children: Child, label: str) -> Markup:
    """What may be wider than the page: it scrolls by itself, with the keyboard, too."""
    return element("div", *children, class_="scroll", tabindex=0, role="region", aria_label=label)


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[Child]], *, class_: str = "data"
) -> Markup:
    """A table with a caption; the first cell of each row is the row's head."""
    head = element("tr", [element("th", name, scope="col") for name in heads])
    body = [
        element("tr", element("th", row[0], scope="row"), [element("td", one) for one in row[1:]])
        for row in rows
    ]
    return box(
        element(
            "table",
            element("caption", caption),
            element("thead", head),
            element("tbody", body),
            class_=class_,
        ),
        label=f"table: {caption}",
    )


def pairs(rows: Iterable[tuple[str, Child]], *, class_: str = "facts") -> Markup | None:
    """Names and values; None where there are none."""
    listed = [element("div", element("dt", name), element("dd", value)) for name, value in rows]
    return element("dl", listed, class_=class_) if listed else None


def facts(found: Iterable[Fact]) -> Markup | None:
    """Evidence, name by name."""
    return pairs((fact.name, _value(fact)) for fact in found)


def bullets(items: Iterable[Child], *, class_: str | None = None) -> Markup | None:
    """A list; None where there is nothing in it."""
    listed = [element("li", item) for item in items]
    return element("ul", listed, class_=class_) if listed else None


def section(key: str, title: str, *children: Child, class_: str | None = None) -> Markup:
    """A section of the page under its own heading, where a link leads."""
    heading = element("h2", title, id=f"{key}-title")
    return element(
        "section", heading, *children, id=key, class_=class_, aria_labelledby=f"{key}-title"
    )


def left_out(count: int, what: str) -> Markup | None:
    """Says how many earlier ones are not shown here; None when all are."""
    if count <= 0:
        return None
    return element("p", f"{count} earlier {what} are in the report file.", class_="note")


def _value(fact: Fact) -> Child:
    match fact.form:
        case FactForm.TIME:
            return time_of(fact.value)
        case FactForm.PROSE:
            return shortened(fact.value)
        case FactForm.TEXT | FactForm.COMMAND if "\n" not in fact.value:
            return code(fact.value)
        case FactForm.TEXT | FactForm.COMMAND | FactForm.OUTPUT:
            return element("pre", shortened(fact.value), tabindex=0)
        case form:
            assert_never(form)


def _dollar_quoted(word: str) -> str:
    """`$'...'`, as bash, ksh and zsh read it: every byte that could mislead is a number."""
    data = word.encode(errors="surrogateescape")
    plain = {byte: chr(byte) for byte in range(0x20, 0x7F) if chr(byte) not in "'\\"}
    inside = "".join(plain.get(byte, f"\\x{byte:02x}") for byte in data)
    return f"$'{inside}'"
