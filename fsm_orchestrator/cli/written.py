"""Writes a page, or another document about a run, to the file that a person names."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote

from fsm_orchestrator.cli import console
from fsm_orchestrator.cli.console import Console
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.kinds import refuse_odd_place
from fsm_orchestrator.disk.where import absolute
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import ExitCode


class Document(NamedTuple):
    """A document about a run; `about` is a remark on it."""

    text: str
    about: str = ""
    is_page: bool = False


def write_document(document: Document, named: str, told: Console | None = None) -> int:
    """Write a document to the named file, or to stdout for `-`; confirm it on `told`, or on stdout.

    Raises:
        CommandError: it cannot be written.
    """
    out = console.stdout()
    if named == "-":
        out.write(document.text)
        return ExitCode.DONE
    content = document.text.encode()
    try:
        refuse_odd_place(absolute(named))
        files.replace_file(absolute(named), content, mode=0o600)
    except OSError as error:
        raise CommandError(
            f"cannot write {copyable(named)}: {files.reason(error)}",
            remedy="name a file in a directory that you may write to",
        ) from error
    told = told or out
    told.write(f"wrote {copyable(named)}: {len(content)} bytes{document.about}\n")
    if document.is_page and told.is_terminal:
        told.write(f"  open  {copyable(f'file://{quote(str(absolute(named)))}')}\n")
    return ExitCode.DONE
