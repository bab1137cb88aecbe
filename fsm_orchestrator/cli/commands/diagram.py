"""`diagram`: draws a lifecycle, a run on it, or the difference of two, as text or a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.commands.renames import renames
from fsm_orchestrator.cli.formatting import command_line, shown_path
from fsm_orchestrator.cli.screen import prose_width, shown
from fsm_orchestrator.cli.style import plain
from fsm_orchestrator.cli.summary import UNBOUNDED
from fsm_orchestrator.constants import CHECKPOINT_FILE, DEFAULT_LIFECYCLE
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.kinds import refuse_odd_place
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.inspection.followed_lifecycle import followed_lifecycle
from fsm_orchestrator.inspection.inspected_run import InspectedRun, inspect_run
from fsm_orchestrator.inspection.run_directories import output_directory_of
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.diff import DiffVerdict, LifecycleDiff, diff
from fsm_orchestrator.lifecycle.diff_text import diff_markdown, diff_text
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.record.report import LifecycleName, Report
from fsm_orchestrator.rendering.diagram import image
from fsm_orchestrator.rendering.diagram.change_marks import both_of, marks_of_change
from fsm_orchestrator.rendering.diagram.dot import dot_text
from fsm_orchestrator.rendering.diagram.mermaid import (
    ARROWS_MAX,
    CHARACTERS_MAX,
    is_too_large,
    mermaid_text,
)
from fsm_orchestrator.rendering.diagram.picture import Picture, picture_of
from fsm_orchestrator.rendering.diagram.run_marks import marks_of_run
from fsm_orchestrator.rendering.diagram.simple import simple
from fsm_orchestrator.text.hidden import copyable, printable
from fsm_orchestrator.vocabulary import ExitCode

_SUFFIXES: Final[Mapping[str, str]] = {
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
    ".dot": "dot",
    ".gv": "dot",
    ".svg": "svg",
    ".png": "png",
    ".md": "markdown",
    ".txt": "text",
}
"""The format for each suffix of a file name."""
SIMPLE: Final = "simple"
_OF_DIFF_ONLY: Final = "markdown"


def diagram_command(parameters: Mapping[str, Any]) -> int:
    """Draw what was asked for; return 1 if a change loosens a lifecycle."""
    name, output, pair = (parameters[key] for key in ("lifecycle", "run", "pair"))
    if pair is not None:
        if parameters["style"] == SIMPLE:
            raise UsageError(
                "--style simple leaves out conditions, which a difference may be about",
                remedy="leave it out, or draw OLD and NEW one by one",
            )
        if output is not None:
            raise UsageError("--run and --diff exclude each other", remedy="give one of them")
        if name is not None:
            raise UsageError(
                f"unexpected {name!r}: --diff takes no LIFECYCLE", remedy="leave it out"
            )
        return _diff_command(parameters)
    if parameters["rename"]:
        raise UsageError("--rename needs --diff OLD NEW", remedy="give it, or leave --rename out")
    report = None
    if output is not None:
        picture, report = _picture_of_run(output, name)
    else:
        picture = picture_of(reading.find(name or DEFAULT_LIFECYCLE, Path()))
    full = picture
    picture = simple(full) if parameters["style"] == SIMPLE else full
    form = _format(parameters, "text" if console.stdout().is_terminal else "mermaid")
    if form == _OF_DIFF_ONLY:
        raise UsageError(
            f"the format {form} is for --diff", remedy="choose mermaid, dot, svg, png or text"
        )
    if form == "text":
        _show(parameters, full, report)
        return ExitCode.DONE
    _deliver(parameters, form, lambda: _drawing(picture, form))
    if form == "mermaid" and is_too_large(picture):
        _warn_of_size(is_simple_enough=picture is full and not is_too_large(simple(full)))
    return ExitCode.DONE


def _show(parameters: Mapping[str, Any], picture: Picture, report: Report | None) -> None:
    """Write the states as lines of text: on a terminal painted, followed by what to type next."""
    from fsm_orchestrator.cli.diagram_screen import text_of

    out = console.stdout()
    if parameters["output"] is not None or not out.is_terminal:
        text = shown(text_of(picture, UNBOUNDED, (), report))
        _deliver(parameters, "text", lambda: plain(text).encode())
        return
    name, output = parameters["lifecycle"], parameters["run"]
    of = [] if name is None else [shown_path(name)]
    if output is not None:
        of += ["--run", output]
        rows = [("why", command_line("explain", shown_path(output)))]
    else:
        rows = [("prove", command_line("verify", *(of or [DEFAULT_LIFECYCLE])))]
    drawn = command_line("diagram", *of, "-o", f"{picture.name}.svg")
    out.show(shown(text_of(picture, prose_width(out), [("draw", drawn), *rows], report)))


def _warn_of_size(*, is_simple_enough: bool) -> None:
    """Warn that code hosts will not draw the diagram, and name a form that they will."""
    svg = "take --format svg"
    console.complain(
        f"warning: code hosts draw Mermaid of up to {CHARACTERS_MAX:,} characters and"
        f" {ARROWS_MAX} arrows; this has more",
        f"take --style simple; or {svg}" if is_simple_enough else svg,
    )


def _diff_command(parameters: Mapping[str, Any]) -> int:
    """Print or draw the difference of two lifecycles."""
    old, new = (reading.read(name, Path()) for name in parameters["pair"])
    found = diff(old, new, renames(parameters["rename"], old, new))
    form = _format(parameters, "text")
    _deliver(parameters, form, lambda: _change(found, form))
    picture = picture_of(both_of(found), marks_of_change(found))
    if form in {"mermaid", "markdown"} and is_too_large(picture):
        _warn_of_size(is_simple_enough=False)
    return ExitCode.FAILED if found.verdict is DiffVerdict.LOOSENS else ExitCode.DONE


def _change(found: LifecycleDiff, form: str) -> bytes:
    if form == "text":
        return printable(diff_text(found)).encode()
    picture = picture_of(both_of(found), marks_of_change(found))
    if form == "markdown":
        return f"{diff_markdown(found)}\n```mermaid\n{mermaid_text(picture)}```\n".encode()
    return _drawing(picture, form)


def _picture_of_run(output: str, name: str | None) -> tuple[Picture, Report]:
    view = inspect_run(output_directory_of(output))
    report = view.report
    has_checkpoint = os.path.lexists(view.directory / CHECKPOINT_FILE)  # a report needs none
    if view.trouble is not None and view.holder is None and has_checkpoint:
        console.complain(view.trouble, "the picture is of what is believed")
    if report.lifecycle is None:
        raise UsageError(
            f"the report in {copyable(run_of(Path(output)))} does not say which lifecycle the run"
            " follows",
            remedy="its checkpoint could not be used; see the report's warnings",
        )
    followed = _followed(view, report.lifecycle, name)
    return picture_of(followed, marks_of_run(followed, report)), report


def _followed(view: InspectedRun, wanted: LifecycleName, name: str | None) -> Lifecycle:
    """Return the lifecycle of a run: the named, kept or built-in one, if it is the run's."""
    if name is not None:
        found = reading.find(name, Path())
        if found.sha256 != wanted.sha256:
            raise UsageError(
                f"run {view.report.run_id} does not follow the lifecycle {name!r}",
                remedy="leave the name out: the run keeps its lifecycle",
            )
        return found
    followed = followed_lifecycle(view.report, view.checkpoint)
    if followed is None:
        raise UsageError(
            f"the lifecycle {wanted.name!r} of run {view.report.run_id} is not kept in"
            f" {copyable(run_of(view.directory))}",
            remedy="name its file: diagram LIFECYCLE --run OUT",
        )
    return followed


def _format(parameters: Mapping[str, Any], default: str) -> str:
    """Return the format that `--format` or the name of the file asks for."""
    form: str | None = parameters["format"]
    if form is not None:
        return form
    if parameters["output"] is None:
        return default
    suffix = Path(parameters["output"]).suffix.lower()
    if suffix not in _SUFFIXES:
        raise UsageError(
            f"the name {parameters['output']!r} does not say which format to write",
            remedy=f"give --format, or a name that ends in {', '.join(_SUFFIXES)}",
        )
    return _SUFFIXES[suffix]


def _drawing(picture: Picture, form: str) -> bytes:
    if form == "mermaid":
        return mermaid_text(picture).encode()
    dot = dot_text(picture)
    if form == "dot":
        return dot.encode()
    return image.png_bytes(dot) if form == "png" else image.svg_text(dot).encode()


def _deliver(parameters: Mapping[str, Any], form: str, draw: Callable[[], bytes]) -> None:
    """Write a drawing to the named file, or to stdout."""
    out = console.stdout()
    if parameters["output"] is None:
        if form != "png":
            out.write(draw().decode())
        elif out.is_terminal:
            raise UsageError(
                "a PNG cannot be shown on a terminal",
                remedy="name a file with -o, or redirect stdout",
            )
        else:
            out.send(draw())
        return
    path = Path(parameters["output"])
    data = draw()
    try:
        refuse_odd_place(path)
        files.replace_file(path, data)
    except OSError as error:
        raise UsageError(
            f"cannot write {copyable(path)}: {files.reason(error)}",
            remedy="name a file in an existing directory that you may write to",
        ) from error
