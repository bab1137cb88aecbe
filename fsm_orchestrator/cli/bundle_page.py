"""The page of a run, made from its bundle, with a seal that states what was verified."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from fsm_orchestrator.bundle.known import Known
from fsm_orchestrator.bundle.members import MemberKind
from fsm_orchestrator.bundle.opened import MemberFacts, OpenedBundle
from fsm_orchestrator.bundle.verified import Verification
from fsm_orchestrator.cli.console import Console
from fsm_orchestrator.cli.written import Document, write_document
from fsm_orchestrator.constants import LOGS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.inspection.inspected_run import InspectedRun
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.text.hidden import copyable

TAIL_BYTES: Final = 1024**2
"""The size of the end of a log that is unpacked: more than a page shows."""


def write_page(found: Verification, known: Known, typed: str, named: str, told: Console) -> None:
    """Write the page to the named file, or to stdout; confirm it on `told`.

    Raises:
        CommandError: it cannot be written, or the record of the run cannot be read.
    """
    if known.report is None or known.retelling is None:
        raise CommandError(
            f"there is no page of {copyable(typed)}: its record cannot be followed",
            remedy="ask for the bundle again; what is broken is shown above",
        )
    from fsm_orchestrator.rendering.html.page import page_of
    from fsm_orchestrator.rendering.html.seal import seal_of

    with tempfile.TemporaryDirectory(prefix="fsm-orchestrator-") as place:
        directory = Path(place)
        (directory / LOGS_DIRECTORY).mkdir(mode=0o700)
        for log in known.bundle.of_kind(MemberKind.LOG):
            _unpack_end(known.bundle, log, directory)
        checkpoint = known.retelling.onward
        saved = SavedRun(checkpoint, None, as_kept=checkpoint)
        bundle = copyable(found.bundle)
        view = InspectedRun(directory, known.report, saved, None, None, True, bundle)
        page = page_of(view, typed, seal=seal_of(found))
    write_document(Document(page, ", self-contained", is_page=True), named, told)


def _unpack_end(bundle: OpenedBundle, log: MemberFacts, directory: Path) -> None:
    """Unpack the end of a log; the part before it is a hole, so that the size is right.

    The reader admits no name that leads outside the directory.
    """
    path = directory / log.name
    descriptor = files.make_new(path, mode=0o600)
    try:
        os.lseek(descriptor, max(0, log.size_bytes - TAIL_BYTES), os.SEEK_SET)
        files.write_all(descriptor, bundle.end_of(log.name, TAIL_BYTES))
    finally:
        os.close(descriptor)
