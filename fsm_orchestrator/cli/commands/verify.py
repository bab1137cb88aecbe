"""`verify`: proves what lifecycles promise, or shows the walks on which they break it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import sentences
from fsm_orchestrator.cli.screen import Line, prose_width, shown
from fsm_orchestrator.cli.style import Mark, lead_cells
from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle.findings import Finding
from fsm_orchestrator.lifecycle.labels import walk_lines
from fsm_orchestrator.lifecycle.missing_edges import missing_edges
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.reading import read
from fsm_orchestrator.lifecycle.source import shipped_names
from fsm_orchestrator.lifecycle.verification import claimed, proved, verify
from fsm_orchestrator.lifecycle.writing import transitions_text
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.json_output import json_text
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import ExitCode, StateKind

Judged = tuple[str, Lifecycle, Sequence[Finding]]
"""A judged lifecycle: the name or path that the operator gave, the lifecycle, its findings."""


def verify_command(parameters: Mapping[str, Any]) -> int:
    """Verify lifecycles and return 0 if all are proved, 1 if one is refused.

    Raises:
        LifecycleError: one cannot be read or has the wrong shape; raised after the others are
            judged.
    """
    names = parameters["lifecycles"] or shipped_names()
    judged: list[Judged] = []
    unread: dict[str, LifecycleError] = {}
    for name in dict.fromkeys(names):
        try:
            lifecycle = read(name, Path())
        except LifecycleError as error:
            unread[name] = error
        else:
            judged.append((name, lifecycle, verify(lifecycle)))
    if parameters["as_json"]:
        console.stdout().write(_json_of(judged, unread))
    else:
        out = console.stdout()
        is_verbose, width = parameters["verbose"], prose_width(out)
        out.show(shown(line for one in judged for line in _lines(one, width, in_full=is_verbose)))
    if unread:
        message = "\n".join(map(str, unread.values()))
        raise LifecycleError(message, remedy=next(iter(unread.values())).remedy)
    return ExitCode.FAILED if any(findings for *_, findings in judged) else ExitCode.DONE


def _lines(judged: Judged, width: int, *, in_full: bool) -> Iterator[Line]:
    """Yield the verdict on one lifecycle, and its findings.

    Without `in_full`, only the first of several walks is shown; with it, every walk, and the claims
    that are proved.
    """
    source, lifecycle, findings = judged
    source = copyable(source)
    counts = (
        counted(len(lifecycle.state), "state"),
        counted(len(lifecycle.edges), "edge"),
        counted(len(lifecycle.stages), "stage"),
        counted(len(_gates(lifecycle)), "gate"),
    )
    verdict = f"refused, {counted(len(findings), 'finding')}" if findings else "proved"
    name = source if source == lifecycle.name else f"{lifecycle.name} ({source})"
    said = f"{name}: {verdict}: {', '.join(counts)}"
    first, *rest = sentences(said, width - lead_cells(), indent="", hanging="      ")
    yield Line(first, Mark.BAD if findings else Mark.GOOD)
    yield from map(Line, rest)
    if in_full and not findings:
        for claim in proved(lifecycle):
            yield from map(Line, sentences(f"- {claim}", width, indent="    ", hanging="      "))
    for claim in claimed(lifecycle):
        said = f"claimed, not proved: {claim}"
        yield from map(Line, sentences(said, width, indent="    ", hanging="      "))
    walks = 0
    for finding in findings:
        label = f"{finding.part}: " if finding.part else ""
        said = f"{label}{finding.reason}"
        yield from map(Line, sentences(said, width, indent="    ", hanging="      "))
        if finding.walk:
            walks += 1
            if walks == 1 or in_full:
                yield from (Line(f"      {line}") for line in walk_lines(finding.walk))
    if missing := missing_edges(lifecycle, findings):
        said = "to paste into the file; read where each leads:"
        yield from map(Line, sentences(said, width, indent="    ", hanging="      "))
        drafted = transitions_text(missing).splitlines()
        yield from (Line(f"      {line}" if line else "") for line in drafted)
    if walks > 1 and not in_full:
        yield Line(f"    {counted(walks - 1, 'more walk')} with -v", is_dim=True)


def _json_of(judged: Sequence[Judged], unread: Mapping[str, LifecycleError]) -> str:
    documents = [_document(*one) for one in judged]
    documents += [{"source": name, "error": str(error)} for name, error in unread.items()]
    return json_text({"lifecycles": documents}) + "\n"


def _document(source: str, lifecycle: Lifecycle, findings: Sequence[Finding]) -> dict[str, Any]:
    return {
        "source": source,
        "name": lifecycle.name,
        "title": lifecycle.title,
        "sha256": lifecycle.sha256,
        "gates_guard": lifecycle.gates_guard.value,
        "states": len(lifecycle.state),
        "edges": len(lifecycle.edges),
        "stages": list(lifecycle.stages),
        "gates": _gates(lifecycle),
        "is_proved": not findings,
        "proved": [] if findings else list(proved(lifecycle)),
        "claimed": list(claimed(lifecycle)),
        "findings": [_finding(finding) for finding in findings],
        "missing_edges": [
            one.model_dump(mode="json", exclude_none=True)
            for one in missing_edges(lifecycle, findings)
        ],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    walk = None
    if finding.walk is not None:
        walk = [
            {
                "trigger": edge.trigger.value,
                "source": edge.source,
                "dest": edge.dest,
                "why": edge.why,
            }
            for edge in finding.walk
        ]
    return {
        "part": finding.part,
        "state": finding.state,
        "gate": finding.gate,
        "reason": finding.reason,
        "walk": walk,
    }


def _gates(lifecycle: Lifecycle) -> list[str]:
    """Return the gates that any of its states judges, in judging order."""
    states = [state for state in lifecycle.state if state.kind is StateKind.GATE]
    return [
        gate
        for gate in lifecycle.gates
        if any(gate in lifecycle.judged_in(state) for state in states)
    ]
