"""The pages, filled: the list of all runs, and one run as `report --html` draws it.

The list comes empty, and its script fills it from the events: rows are made in one place. Its
symbols come from the same templates as those of the report.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.inspection.selecting import NEEDING_PEOPLE
from fsm_orchestrator.model.listing import UNREADABLE
from fsm_orchestrator.rendering.html.environment import page_environment, template_text
from fsm_orchestrator.rendering.html.looks import STANDINGS, Look, Tone
from fsm_orchestrator.rendering.html.page import values_of
from fsm_orchestrator.text.hidden import copyable, shell_line
from fsm_orchestrator.vocabulary import Standing
from fsm_orchestrator.web.rows import Group

if TYPE_CHECKING:
    from pathlib import Path

    from jinja2 import Environment

_TEMPLATES: Final = ("runs.html", "run.html", "trouble.html")
SCRIPTS: Final = ("live.js", "runs.js", "run.js")
_UNREADABLE: Final = Look(UNREADABLE, Tone.BAD, "cross")
_LOOKS: Final[Mapping[str, Look]] = {
    **{one.value: STANDINGS[one] for one in NEEDING_PEOPLE},
    UNREADABLE: _UNREADABLE,
    **{one.value: STANDINGS[one] for one in (Standing.WORKING, Standing.DONE)},
}
"""The look of each standing, in the order in which the page has them."""
_TITLES: Final[Mapping[Group, str]] = {
    Group.PERSON: "Waits for a person",
    Group.LOOK: "Needs a look",
    Group.WORKING: "At work",
    Group.DONE: "Done",
}


def list_page(directory: Path) -> str:
    """Return the page of all runs below a directory."""
    values = {
        "directory": copyable(directory),
        "looks": _LOOKS,
        "titles": _TITLES,
        "status": shell_line((PRODUCT, "status", str(directory))),
        "begin": shell_line((PRODUCT, "run", str(directory / "first"), "--config", "run.toml")),
    }
    return _environment().get_template("runs.html").render(values)


def run_page(view: InspectedRun, name: str) -> str:
    """Return the page of one run, whose output and standing are kept up to date."""
    values = values_of(view, str(view.directory))
    values |= {"name": name, "is_held": view.standing.is_held}
    return _environment().get_template("run.html").render(values)


def trouble_page(name: str, error: OrchestratorError) -> str:
    """Return the page of a run that cannot be shown."""
    return (
        _environment()
        .get_template("trouble.html")
        .render(name=name, said=str(error), remedy=error.remedy, look=_UNREADABLE)
    )


def style_sheet() -> str:
    """Return the style sheet of all pages: the report's, with the rules for these pages."""
    return f"{template_text('page.css')}\n{_text('serve.css')}"


def script(name: str) -> str:
    """Return one of the scripts."""
    return _text(name)


def _environment() -> Environment:
    return page_environment(_own)


def _own(name: str) -> str | None:
    return _text(name) if name in _TEMPLATES else None


def _text(name: str) -> str:
    place = resources.files("fsm_orchestrator.web") / "files" / name
    return place.read_text(encoding="utf-8")
