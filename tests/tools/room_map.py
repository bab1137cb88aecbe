"""Draws the rooms of the package into CONTRIBUTING.md, from the imports themselves.

`python -m tests.tools.room_map FILE` replaces the text between the two marks in the file: a picture
of which room imports which, and a table of what each room is for.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import grimp

PACKAGE: Final = "fsm_orchestrator"
ROOT: Final = Path(__file__).parents[2]
BEGIN: Final = "<!-- rooms: made by `make docs` -->"
END: Final = "<!-- end of rooms -->"
GROUND: Final = frozenset({"constants", "vocabulary", "errors", "clock"})
"""Rooms that nearly every room imports: they are not drawn, since they would hide the rest."""
NOT_ROOMS: Final = frozenset({"__main__", "states"})

Imports = dict[str, set[str]]


def imports_between_rooms() -> Imports:
    """Return the direct imports of each room."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    rooms = {room_of(module) for module in graph.modules if module != PACKAGE} - NOT_ROOMS
    found: Imports = {room: set() for room in rooms}
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            importer, target = room_of(module), room_of(imported)
            if importer != target and {importer, target} <= rooms:
                found[importer].add(target)
    return found


def room_of(module: str) -> str:
    """Return the room that a module is in, or the module itself if it is in none."""
    return module.split(".")[1] if "." in module else module


def reduced(imports: Imports) -> Imports:
    """Drop every import that another path implies: the rest can be seen at a glance."""
    return {
        room: {
            target
            for target in targets
            if not any(target in reach(imports, other) for other in targets - {target})
        }
        for room, targets in imports.items()
    }


def reach(imports: Imports, room: str) -> set[str]:
    """Return every room that `room` imports, directly or indirectly."""
    found: set[str] = set()
    rest = [room]
    while rest:
        new = imports[rest.pop()] - found
        found |= new
        rest.extend(new)
    return found


def picture(imports: Imports) -> str:
    """Return a Mermaid flowchart in which every arrow points down."""
    drawn = {room: targets - GROUND for room, targets in imports.items() if room not in GROUND}
    arrows = (
        f"    {room} --> {target}"
        for room, targets in sorted(reduced(drawn).items())
        for target in sorted(targets)
    )
    return "\n".join(("```mermaid", "flowchart TD", *arrows, "```"))


def duties(imports: Imports) -> str:
    """Return a table of the rooms, those with most imports first."""
    order = sorted(imports, key=lambda room: (-len(reach(imports, room)), room))
    rows = (f"| `{room}` | {duty_of(room)} |" for room in order)
    return "\n".join(("| room | what it is for |", "|---|---|", *rows))


def duty_of(room: str) -> str:
    """Return the first paragraph of a room's docstring, on one line."""
    folder = ROOT / PACKAGE / room
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text())) or ""
    return " ".join(docstring.split("\n\n")[0].split()).replace("|", "\\|")


def with_map(text: str, imports: Imports) -> str:
    """Return a page with the map between its marks drawn again."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return "\n\n".join((before + BEGIN, picture(imports), duties(imports), END + after))


def main(files: Iterable[str]) -> None:
    """Draw the map into each file."""
    for file in map(Path, files):
        file.write_text(with_map(file.read_text(), imports_between_rooms()))


if __name__ == "__main__":
    main(sys.argv[1:])
