"""Writes a picture as a Mermaid flowchart, which code hosts draw inside Markdown.

Pure. It is a flowchart because a Mermaid state diagram has neither shapes for kinds nor kinds of
lines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from fsm_orchestrator.rendering.diagram.picture import Arrow, Line, Mark, Node, Picture, Shape

_BRACKETS: Final[Mapping[Shape, tuple[str, str]]] = {
    Shape.INITIAL: ("([", "])"),
    Shape.GATE: ("{{", "}}"),
    Shape.STAGE: ("[", "]"),
    Shape.BESIDE: ("[", "]"),
    Shape.DONE: ("(((", ")))"),
    Shape.BLOCKED: ("[[", "]]"),
    Shape.ENDED: ("[[", "]]"),
    Shape.GROUP: ("[", "]"),
}
_LINES: Final[Mapping[Line, str]] = {
    Line.HAPPY: "==>",
    Line.PLAIN: "-->",
    Line.LOOP: "-->",
    Line.ABORTED: "-.->",
    Line.RESUME: "-.->",
}
_MARKED_LINES: Final[Mapping[Mark, str]] = {
    Mark.TAKEN: "==>",
    Mark.UNTAKEN: "-.->",
    Mark.ADDED: "==>",
    Mark.REMOVED: "-.->",
}
_CLASSES: Final[Mapping[str, str]] = {
    "start": "fill:#000,stroke:#000",
    "gate": "fill:#fff4d6,stroke:#7a5c00,color:#000",
    "stage": "fill:#e8f0fe,stroke:#1f4e9c,color:#000",
    "beside": "fill:#e8f0fe,stroke:#1f4e9c,stroke-width:2px,color:#000",
    "done": "fill:#e3f5e5,stroke:#1b6b2a,stroke-width:3px,color:#000",
    "blocked": "fill:#fff4d6,stroke:#7a5c00,stroke-width:2px,color:#000",
    "ended": "fill:#fdeaea,stroke:#8f1f1f,color:#000",
    "group": "fill:none,stroke:none,font-style:italic",
    "note": "fill:none,stroke:none",
    "taken": "stroke-width:4px",
    "untaken": "fill:#fff,stroke:#777,stroke-dasharray:4 4,color:#555",
    "added": "stroke-width:4px",
    "removed": "fill:#fff,stroke-dasharray:5 5,color:#555",
    "changed": "stroke-width:3px,stroke-dasharray:9 3",
}
"""The look of each class: each differs in more than its color."""
_RESERVED: Final = frozenset(
    (
        *("call", "class", "classdef", "click", "default", "direction", "end", "flowchart"),
        *("graph", "href", "interpolate", "linkstyle", "section", "style", "subgraph", "title"),
    )
)
"""Words that Mermaid does not accept as an id; none of them has a capital."""
CHARACTERS_MAX: Final = 50_000
ARROWS_MAX: Final = 500
"""The most that Mermaid draws by default, as on code hosts."""
_SPECIAL: Final = re.compile(r'[#"<>&%{}`\\;]')


def mermaid_text(picture: Picture) -> str:
    """Return the text of a flowchart, with a newline at the end."""
    lines = ["flowchart TB", f"    accTitle: {_plain(f'{picture.name}: {picture.title}')}"]
    lines += [f'    Caption["{_escaped_lines(picture.captions)}"]:::note'] * bool(picture.captions)
    lines += ['    Start(("&nbsp;")):::start']
    lines += [f"    {_node(node)}" for node in picture.nodes]
    lines += [f"    Start --> {_id(picture.initial)}"]
    lines += [f"    {_arrow(arrow)}" for arrow in picture.arrows]
    lines += [
        f"    class {_id(node.key)} {name}" for node in picture.nodes for name in _classes(node)[1:]
    ]
    used = {"start", *_used_classes(picture)}
    lines += [f"    classDef {name} {css}" for name, css in _CLASSES.items() if name in used]
    return "\n".join(lines) + "\n"


def is_too_large(picture: Picture) -> bool:
    """Return whether code hosts refuse to draw the picture."""
    return len(mermaid_text(picture)) > CHARACTERS_MAX or len(picture.arrows) + 1 > ARROWS_MAX


def _node(node: Node) -> str:
    opening, closing = _BRACKETS[node.shape]
    label = _escaped_lines((node.title, *node.details))
    # One class fits in the line of the node; Mermaid takes a second one only on its own line.
    first = "".join(f":::{name}" for name in _classes(node)[:1])
    return f'{_id(node.key)}{opening}"{label}"{closing}{first}'


def _arrow(arrow: Arrow) -> str:
    line = _MARKED_LINES.get(arrow.mark, _LINES[arrow.line])
    label = _escaped_lines(tuple(one.text for one in arrow.labels))
    words = f'|"{label}"|' if label else ""
    return f"{_id(arrow.source)} {line}{words} {_id(arrow.dest)}"


def _classes(node: Node) -> list[str]:
    shape = [] if node.shape is Shape.INITIAL else [node.shape.value]
    if node.shape is Shape.GROUP or node.mark is Mark.NONE:
        return shape
    return [*shape, node.mark.value]


def _used_classes(picture: Picture) -> set[str]:
    used = {name for node in picture.nodes for name in _classes(node)}
    return used | ({"note"} if picture.captions else set())


def _id(key: str) -> str:
    """Return a key that Mermaid accepts. State names have no capitals, so no two become one."""
    return key.upper() if key in _RESERVED else key


def _escaped_lines(lines: tuple[str, ...]) -> str:
    return "<br/>".join(map(_escaped, lines))


def _plain(text: str) -> str:
    """Return text without Mermaid's special characters, for places where it decodes nothing."""
    return " ".join(_SPECIAL.sub(" ", text).split())


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: f"#{ord(match[0])};", text)
