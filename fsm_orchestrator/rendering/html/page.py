"""A run as one page of HTML that needs nothing else: no script, no network, no other file.

The other modules of this package prepare the values; the files in `templates` lay them out.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from typing import Any, Final

from fsm_orchestrator.clock import Clock, SystemClock, timestamp
from fsm_orchestrator.constants import PRODUCT, __version__
from fsm_orchestrator.explanation.explain import explain
from fsm_orchestrator.explanation.explanation import Explanation
from fsm_orchestrator.explanation.facts import FactName
from fsm_orchestrator.explanation.gate_table import evidence_words, gate_row
from fsm_orchestrator.explanation.origin_words import giver_of, origin_line, revision_of, starter_of
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.inspection.quoting import Quoting
from fsm_orchestrator.rendering.html.environment import page_environment
from fsm_orchestrator.rendering.html.history import history_of
from fsm_orchestrator.rendering.html.last_words import last_words_of
from fsm_orchestrator.rendering.html.looks import OUTCOMES, look_of_gate
from fsm_orchestrator.rendering.html.outcome import headline_of
from fsm_orchestrator.rendering.html.path import path_of
from fsm_orchestrator.rendering.html.seal import Seal
from fsm_orchestrator.rendering.html.stages import stages_of, unreached_in
from fsm_orchestrator.rendering.html.timeline import timeline_of
from fsm_orchestrator.text.amounts import grouped
from fsm_orchestrator.text.hidden import shell_words
from fsm_orchestrator.vocabulary import Containment

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""The content security policy: the page may load nothing but its embedded style."""
_CONTAINMENT: Final[Mapping[Containment | None, str]] = {
    Containment.SUBREAPER: "every process that a stage started was ended with it",
    Containment.PROCESS_GROUP: "only what stayed in a stage's process group was ended with it",
    None: "no stage was run in the latest invocation",
}
_SHOWN_ELSEWHERE: Final = (FactName.STDERR, FactName.STDOUT)
"""The facts that the top of the page and the stage itself show."""


def page_of(
    view: InspectedRun, shown: str, clock: Clock | None = None, seal: Seal | None = None
) -> str:
    """Return the page of a run. `shown` is OUT as commands and paths are to name it.

    With a fixed clock the page does not mention the machine and the hour it was made on. The page
    of a run that was read from a bundle has a seal: the result of verifying the bundle.

    Raises:
        UsageError: Jinja2 is not installed.
    """
    values = {**values_of(view, shown, clock), "seal": seal}
    return page_environment().get_template("page.html").render(values)


def values_of(view: InspectedRun, shown: str, clock: Clock | None = None) -> dict[str, Any]:
    """Return the values that fill the template of the page."""
    explanation = explain(view, shown)
    stages = stages_of(view, explanation)
    unreached = unreached_in(stages)
    return {
        "policy": POLICY,
        "explanation": explanation,
        "report": view.report,
        "is_archived": view.is_archived and view.bundle is None,
        "seal": None,
        "headline": headline_of(view, explanation),
        "command": shell_words(explanation.next_step.words or ()),
        "reverify": shell_words(explanation.next_step.reverify or ()),
        "path": path_of(view),
        "timeline": timeline_of(view),
        "grouped": grouped,
        "time_lines": _time_lines(explanation),
        "gate_row": gate_row,
        "evidence_words": evidence_words,
        "look_of_gate": look_of_gate,
        "outcomes": OUTCOMES,
        "giver_of": giver_of,
        "starter_of": starter_of,
        "revision_of": revision_of,
        "origin_line": origin_line,
        "stages": [one for one in stages if one not in unreached],
        "unreached": unreached,
        "last_words": last_words_of(stages),
        "shown_elsewhere": _SHOWN_ELSEWHERE,
        "history": history_of(view),
        "containment": _CONTAINMENT[view.report.containment],
        "origin": _origin(clock or SystemClock(), view),
    }


def _time_lines(explanation: Explanation) -> tuple[str, ...]:
    """Return the time limits of the run, a line each."""
    if explanation.budget is None:
        return ()
    from fsm_orchestrator.explanation.budget_words import time_lines  # noqa: PLC0415 - only with a budget

    return tuple(time_lines(explanation.budget))


def _origin(clock: Clock, view: InspectedRun) -> Mapping[str, str] | None:
    """Return the program, machine and time of making the page; None with a fixed clock."""
    if clock.is_fixed:
        return None
    host = os.uname()
    return {
        "maker": f"{PRODUCT} {__version__} with Python {platform.python_version()}",
        "machine": Quoting(view).masker.mask(
            f"{host.nodename} ({host.sysname} {host.release}, {host.machine})"
        ),
        "at": timestamp(clock.now()),
    }
