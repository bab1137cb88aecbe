"""A run as one page of HTML that needs nothing beside it: no script, no network, no other file.

Puts the sections together. What each says is in the modules named html_*; that no text can become
markup is held by html_text.py.
"""

from __future__ import annotations

import os
import platform
from typing import Final

from fsm_orchestrator.clock import Clock, SystemClock, timestamp
from fsm_orchestrator.explanation.explain import explain
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.rendering.html.components import STANDINGS, pairs, section, time_of
from fsm_orchestrator.rendering.html.elements import (
    Child,
    Markup,
    document,
    element,
    joined,
    style_sheet,
)
from fsm_orchestrator.rendering.html.gates import gates_section
from fsm_orchestrator.rendering.html.history import history_section
from fsm_orchestrator.rendering.html.outcome import headline, why_and_next
from fsm_orchestrator.rendering.html.path import path_section
from fsm_orchestrator.rendering.html.stages import stages_section
from fsm_orchestrator.rendering.html.style import CSS
from fsm_orchestrator.rendering.html.timeline import timeline_section
from fsm_orchestrator.vocabulary import PRODUCT, Containment, __version__

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the page may load: nothing but the style in itself."""
_LINKS: Final = (
    ("next", "Next step"),
    ("why", "Why"),
    ("path", "Path"),
    ("timeline", "Timeline"),
    ("gates", "Gates"),
    ("stages", "Stages"),
    ("history", "History"),
    ("origin", "Origin"),
)
_CONTAINMENT: Final = {
    Containment.SUBREAPER: "every process that came of a stage was ended with it",
    Containment.PROCESS_GROUP: "only what stayed in a stage's process group was ended with it",
    None: "no stage was run in the latest invocation",
}


def page_of(view: InspectedRun, shown: str, clock: Clock | None = None) -> str:
    """The page of a run. `shown` is OUT as it is to stand in commands and paths.

    With a fixed clock the page says nothing of the machine and the hour it was made on.
    """
    explanation = explain(view, shown)
    look = STANDINGS[explanation.standing]
    head = joined(
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{look.word}: run {explanation.run_id}"),
        style_sheet(CSS),
    )
    body = joined(
        headline(view, explanation),
        element("nav", [_link(key, title) for key, title in _LINKS], aria_label="on this page"),
        element(
            "main",
            why_and_next(explanation),
            path_section(view),
            timeline_section(view),
            gates_section(explanation.gates),
            stages_section(view, explanation),
            history_section(view),
            _origin(view, clock or SystemClock()),
        ),
    )
    return document(head, body)


def _link(key: str, title: str) -> Markup:
    return element("a", title, href=f"#{key}")


def _origin(view: InspectedRun, clock: Clock) -> Markup:
    """Who wrote the report, as far as it says, and where this page was made."""
    report = view.report
    rows: list[tuple[str, Child]] = [
        ("report", f"written by {report.product} {report.version}"),
        ("containment", _CONTAINMENT[report.containment]),
        (
            "machine of the run",
            "not recorded: the report does not say on which host or with which Python it was made",
        ),
    ]
    if not clock.is_fixed:
        host = os.uname()
        maker = f"{PRODUCT} {__version__} with Python {platform.python_version()}"
        machine = f"{host.nodename} ({host.sysname} {host.release}, {host.machine})"
        at = time_of(timestamp(clock.now()))
        rows.append(
            ("this page", [f"was made by {maker} on {machine} at ", at, "; as it was then"])
        )
    return section("origin", "Where this comes from", pairs(rows, class_="summary"))
