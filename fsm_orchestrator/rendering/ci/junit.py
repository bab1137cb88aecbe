"""Writes a run as JUnit XML, following junit-10.xsd of Jenkins' xUnit plugin.

Built without a library, for libraries pass on characters that XML 1.0 cannot have; here every
invisible character is spelled out, and those are among them. Only `failure` is used, never `error`:
readers do not agree on what an error is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from fsm_orchestrator.constants import PRODUCT
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.rendering.ci.cases import Case, Suite, Verdict, cases_of
from fsm_orchestrator.text.hidden import printable


def junit_xml(view: InspectedRun) -> str:
    """Return the document: a suite each for the run, its gates, its stages and its verifications.

    Every execution of a stage is a case, named with its attempt: readers do not agree on retries.
    """
    cases = cases_of(view)
    report = view.report
    facts = {
        "run_id": report.run_id,
        "lifecycle": "" if report.lifecycle is None else report.lifecycle.name,
        "terminal_state": "" if report.terminal_state is None else report.terminal_state.value,
        "closure_ready": str(report.closure_ready).lower(),
        **_spent(report),
    }
    properties = "".join(f"<property{_keys(name=k, value=v)}/>" for k, v in facts.items())
    # Without its zone: the schemas of most readers have a time of day without one.
    at = {"timestamp": report.started_at.removesuffix("Z")}
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    lines.append(f"<testsuites{_keys(name=PRODUCT, **_counts(cases))}>")
    for suite in Suite:
        of_suite = [one for one in cases if one.suite is suite]
        if of_suite:
            skipped = str(sum(one.verdict is Verdict.SKIPPED for one in of_suite))
            named = _keys(name=suite.value, **_counts(of_suite), skipped=skipped, **at)
            lines.append(f"<testsuite{named}><properties>{properties}</properties>")
            lines += [_case(one, facts["lifecycle"] or PRODUCT) for one in of_suite]
            lines.append("</testsuite>")
    return "\n".join((*lines, "</testsuites>", ""))


def _spent(report: Report) -> dict[str, str]:
    """Return the spent amount of each unit, and the allowed amount."""
    units = () if report.budget is None else report.budget.units
    spent = {f"spent.{one.unit}": one.spent for one in units}
    return spent | {f"budget.{one.unit}": one.allowed for one in units if one.allowed is not None}


def _counts(cases: Iterable[Case]) -> dict[str, str]:
    counted = list(cases)
    failed = sum(one.verdict is Verdict.FAILED for one in counted)
    took = sum(one.duration_ms for one in counted)
    numbers = {"tests": str(len(counted)), "failures": str(failed), "errors": "0"}
    return {**numbers, "time": _seconds(took)}


def _case(case: Case, lifecycle: str) -> str:
    of = f"{lifecycle}.{case.suite.value}"
    inner = "".join(_inner(case))
    head = f"<testcase{_keys(name=case.name, classname=of, time=_seconds(case.duration_ms))}"
    return f"{head}>{inner}</testcase>" if inner else f"{head}/>"


def _inner(case: Case) -> Iterator[str]:
    match case.verdict:
        case Verdict.SKIPPED:
            yield f"<skipped{_keys(message=case.message)}/>"
        case Verdict.FAILED:
            # Some systems show people the text of a failure, others its message.
            said = "\n".join(filter(None, (case.message, case.stderr or case.stdout)))
            keys = _keys(type=case.kind, message=case.message)
            yield f"<failure{keys}>{escape(printable(said))}</failure>"
        case Verdict.PASSED:
            pass
    for name, text in (("system-out", case.stdout), ("system-err", case.stderr)):
        if text:
            yield f"<{name}>{escape(printable(text))}</{name}>"


def _keys(**values: str) -> str:
    whole = {"\n": "&#10;", "\t": "&#9;"}
    return "".join(f" {key}={quoteattr(printable(value), whole)}" for key, value in values.items())


def _seconds(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"
