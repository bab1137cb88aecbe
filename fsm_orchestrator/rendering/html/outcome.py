"""The top of the page: where the run stands, why, what to do next and what that would do."""

from __future__ import annotations

from datetime import datetime

from fsm_orchestrator.explanation.explanation import Cause, Explanation
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.rendering.html.components import (
    STANDINGS,
    bullets,
    code,
    facts,
    icon,
    pairs,
    section,
    shell_line,
    time_of,
)
from fsm_orchestrator.rendering.html.elements import Child, Markup, element
from fsm_orchestrator.text.phrases import counted, span_words
from fsm_orchestrator.vocabulary import Standing


def headline(view: InspectedRun, explanation: Explanation) -> Markup:
    """Where the run stands, for those who read no further."""
    look = STANDINGS[explanation.standing]
    # The details stand under Why.
    first = explanation.causes[0].sentence if explanation.causes else ""
    return element(
        "header",
        element("div", icon(look), class_="standing-icon"),
        element(
            "div",
            element("h1", look.word[0].upper() + look.word[1:]),
            element("p", _capital(first), class_="lead") if first else None,
            _closure(view, explanation),
            _archived(view),
            _summary(view, explanation),
            class_="standing-words",
        ),
        class_=f"standing {look.tone}",
    )


def why_and_next(explanation: Explanation) -> Markup:
    """The causes with their evidence, and beside them what to do."""
    causes = [_cause(one) for one in explanation.causes]
    why = section("why", "Why", causes, class_="card")
    return element("div", _next(explanation), why, class_="two")


def _summary(view: InspectedRun, explanation: Explanation) -> Markup | None:
    rows: list[tuple[str, Child]] = [
        ("run", code(explanation.run_id)),
        ("lifecycle", explanation.lifecycle or "not known"),
        ("state", explanation.current_state or "not known"),
        (_since_name(explanation.standing), time_of(explanation.since)),
        ("at work", _at_work(view)),
        ("exit code", "none" if explanation.exit_code is None else str(explanation.exit_code)),
        ("directory", code(explanation.output_directory)),
    ]
    return pairs(rows, class_="summary")


def _since_name(standing: Standing) -> str:
    if standing is Standing.WORKING:
        return "in this state since"
    return "last seen" if standing is Standing.INTERRUPTED else "ended"


def _at_work(view: InspectedRun) -> str:
    """For how long the command was at work in all, as far as that was recorded."""
    spans = [
        datetime.fromisoformat(one.finished_at) - datetime.fromisoformat(one.started_at)
        for one in view.invocations
        if one.finished_at is not None
    ]
    took = span_words(max(0, round(sum(one.total_seconds() for one in spans) * 1_000)))
    count = counted(len(view.invocations), "invocation")
    missing = len(view.invocations) - len(spans)
    if not spans:
        return f"not measured, in {count}"
    if missing:
        return f"{took} in {count}, not counting {missing} without a recorded end"
    return f"{took} in {count}"


def _closure(view: InspectedRun, explanation: Explanation) -> Markup:
    """What a supervisor may do, which is all that a supervisor asks at first."""
    said, means = "false", "it must not be closed"
    if view.report.closure_ready:
        is_good = explanation.standing is Standing.DONE
        said = "true" if is_good else "true when the report was written, and not any more"
        means = "a supervisor may close it" if is_good else means
    return element("p", code("closure_ready"), " ", element("strong", said), f": {means}")


def _archived(view: InspectedRun) -> Markup | None:
    if not view.is_archived:
        return None
    return element("p", "Archived: a later run has taken its place.", class_="note")


def _cause(cause: Cause) -> Markup:
    return element("div", element("p", _capital(cause.in_full)), facts(cause.facts), class_="cause")


def _next(explanation: Explanation) -> Markup:
    step = explanation.next_step
    parts: list[Child] = [
        bullets((_capital(one) for one in step.remedies), class_="remedies"),
        element("p", element("strong", "Who can change it: "), step.who),
    ]
    if step.words is not None:
        parts += [
            element("p", "The next command; one click selects all of it:", class_="note"),
            element("pre", shell_line(step.words), class_="command", tabindex=0),
        ]
    if step.would:
        parts.append(element("p", "It would" if step.words is not None else "Then"))
        parts.append(bullets(step.would, class_="would"))
    look = STANDINGS[explanation.standing]
    return section("next", "What to do next", *parts, class_=f"card next-step {look.tone}")


def _capital(sentence: str) -> str:
    """A sentence of ours begins like one; a name, a path or an operation is left as it is."""
    word = sentence.split(maxsplit=1)[0] if sentence.split() else ""
    return sentence[0].upper() + sentence[1:] if word.isalpha() else sentence
