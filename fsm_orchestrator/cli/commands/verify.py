"""`verify`: prove what lifecycles promise, or show the walks on which they do not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fsm_orchestrator.cli import console
from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle import reading as lifecycles
from fsm_orchestrator.lifecycle.findings import Finding
from fsm_orchestrator.lifecycle.labels import walk_lines
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.verification import proved, verify
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import MANDATORY_GATES, ExitCode, StateKind

Judged = tuple[str, Lifecycle, Sequence[Finding]]
"""What the operator called a lifecycle, the lifecycle, and what is wrong with it."""


def verify_command(parameters: Mapping[str, Any]) -> int:
    """Judge lifecycles: 0 when all are proved, 1 when one is refused.

    Raises:
        LifecycleError: one cannot be read or has not the shape; said after the others are judged.
    """
    names = parameters["lifecycles"] or lifecycles.shipped_names()
    judged: list[Judged] = []
    unread: dict[str, LifecycleError] = {}
    for name in dict.fromkeys(names):
        try:
            lifecycle = lifecycles.read(name, Path())
        except LifecycleError as error:
            unread[name] = error
        else:
            judged.append((name, lifecycle, verify(lifecycle)))
    if parameters["as_json"]:
        console.stdout().write(_json_of(judged, unread))
    else:
        console.stdout().write(console.printable("\n".join(map(text_of, judged))))
    if unread:
        message = "\n".join(map(str, unread.values()))
        raise LifecycleError(message, remedy=next(iter(unread.values())).remedy)
    return ExitCode.FAILED if any(findings for *_, findings in judged) else ExitCode.DONE


def text_of(judged: Judged) -> str:
    """One lifecycle's verdict for a person; ends with a line break."""
    source, lifecycle, findings = judged
    counts = (
        counted(len(lifecycle.state), "state"),
        counted(len(lifecycle.edges), "edge"),
        counted(len(lifecycle.stages), "stage"),
        counted(len(_gates(lifecycle)), "gate"),
    )
    verdict = f"refused, {counted(len(findings), 'finding')}" if findings else "proved"
    shown = source if source == lifecycle.name else f"{lifecycle.name} ({source})"
    lines = [f"{shown}: {verdict}", f"  {', '.join(counts)}"]
    if not findings:
        lines += [f"  - {claim}" for claim in proved(lifecycle)]
    for finding in findings:
        label = f"{finding.part}: " if finding.part else ""
        lines.append(f"  ! {label}{finding.reason}")
        lines += [f"      {line}" for line in walk_lines(finding.walk or ())]
    return "\n".join(lines) + "\n"


def _json_of(judged: Sequence[Judged], unread: Mapping[str, LifecycleError]) -> str:
    documents = [_document(*one) for one in judged]
    documents += [{"source": name, "error": str(error)} for name, error in unread.items()]
    return json.dumps({"lifecycles": documents}, indent=2, ensure_ascii=False) + "\n"


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
        "findings": [_finding(finding) for finding in findings],
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
        "reason": finding.reason,
        "walk": walk,
    }


def _gates(lifecycle: Lifecycle) -> list[str]:
    """The gates that are judged anywhere in it, in judging order."""
    states = [state for state in lifecycle.state if state.kind is StateKind.GATE]
    return [
        gate.value
        for gate in MANDATORY_GATES
        if any(gate in state.judged_gates for state in states)
    ]
