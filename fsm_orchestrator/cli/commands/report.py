"""`report`: the report as JSON, as a page of HTML, as test cases, or as a Markdown summary."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.formatting import shown_path
from fsm_orchestrator.cli.screen import prose_width, shown
from fsm_orchestrator.cli.written import Document, write_document
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.inspected_run import InspectedRun, inspect_run
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.vocabulary import ExitCode


def _told(view: InspectedRun) -> ExitCode:
    """Report what is wrong with the files of a run that is not at work; return the exit code."""
    if view.trouble is None or view.holder is not None:
        return ExitCode.DONE
    console.complain(view.trouble, "")
    return ExitCode.DONE if view.is_archived else ExitCode.FAILED


def report_command(parameters: Mapping[str, Any]) -> int:
    """Print or write the report; one that cannot be read or written is an error."""
    typed, run_id = parameters["output_directory"], parameters["run_id"]
    asked = [one for one in _FORMS if parameters[one] is not None]
    if len(asked) + parameters["as_json"] > 1:
        first, second = [*asked, "json"][:2]
        raise UsageError(f"--{first} and --{second} exclude each other", remedy="give one of them")
    output = output_directory_of(typed)
    if asked:
        (form,) = asked
        document = _FORMS[form](inspect_run(output, run_id), shown_path(typed))
        return write_document(document, parameters[form])
    view, out = inspect_run(output, run_id), console.stdout()
    if parameters["as_json"] or not out.is_terminal:
        out.write(view.report.to_json().decode())
    else:
        from fsm_orchestrator.cli.report_screen import lines_of

        earlier = () if run_id is None else ("--run-id", run_id)
        out.show(shown(lines_of(view, shown_path(typed), earlier, prose_width(out))))
    return _told(view)


def _page(view: InspectedRun, typed: str) -> Document:
    from fsm_orchestrator.rendering.html.page import page_of

    return Document(page_of(view, typed), ", self-contained", is_page=True)


def _junit(view: InspectedRun, _typed: str) -> Document:
    from fsm_orchestrator.rendering.ci.junit import junit_xml

    return Document(junit_xml(view))


def _markdown(view: InspectedRun, typed: str) -> Document:
    from fsm_orchestrator.rendering.ci.markdown import markdown_of

    return Document(markdown_of(view, typed))


_FORMS: Final[Mapping[str, Callable[[InspectedRun, str], Document]]] = {
    "html": _page,
    "junit": _junit,
    "markdown": _markdown,
}
"""The forms that are written to a file, by the option that asks for them."""
