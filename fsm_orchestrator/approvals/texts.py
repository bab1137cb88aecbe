"""The artifacts of a request as a person reads them, and copies to compare later ones with.

A text is shown only if it is what the request names. Copies are masked, small and private; they
prove nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.approvals.judging import changed_words
from fsm_orchestrator.approvals.request import (
    ApprovalPredicate,
    Part,
    RequestedCommand,
    RequestedFile,
    StoredRequest,
    differences,
)
from fsm_orchestrator.constants import APPROVALS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory

SHOWN_BYTES_MAX: Final = 1024**2
COPIES_BYTES_MAX: Final = 4 * 1024**2
"""The largest number of bytes kept of the artifacts of one request."""


class ArtifactText(NamedTuple):
    """An artifact as it can be shown.

    Attributes:
        path: where it is looked for.
        lines: its lines, masked; None if it cannot be shown, and `why` says why.
        is_other: True if the file is there, but is not what the request names.
    """

    file: RequestedFile
    path: Path
    lines: tuple[str, ...] | None
    why: str = ""
    is_other: bool = False


def text_of(file: RequestedFile, output: Path, mask: Callable[[str], str]) -> ArtifactText:
    """Read an artifact that is named by a request of the run in the directory `output`."""
    path = output / file.path
    if file.sha256 is None:
        return ArtifactText(file, path, None, "it could not be read when this was asked")
    try:
        raw = files.read_bounded(path, SHOWN_BYTES_MAX, is_link_good=True)
    except (OSError, ValueError) as error:
        why = files.reason(error) if isinstance(error, OSError) else "it has no such name here"
        return ArtifactText(file, path, None, why)
    if hashlib.sha256(raw).hexdigest() != file.sha256:
        return ArtifactText(file, path, None, "it is not what the request names", is_other=True)
    if b"\0" in raw:
        return ArtifactText(file, path, None, "it is no text")
    return ArtifactText(file, path, tuple(mask(raw.decode(errors="replace")).splitlines()))


def keep_copies(home: HeldDirectory, request: StoredRequest, mask: Callable[[str], str]) -> None:
    """Keep the artifacts' text to compare a later request with; whatever fails is left out."""
    left = COPIES_BYTES_MAX
    with contextlib.suppress(OSError), files.below(home, APPROVALS_DIRECTORY) as place:
        for number, file in enumerate(request.predicate.artifacts, start=1):
            found = text_of(file, home.path, mask)
            raw = "\n".join((*(found.lines or ()), "")).encode(errors="replace")
            if found.lines is None or len(raw) > left:
                continue
            left -= len(raw)
            path = home.path / APPROVALS_DIRECTORY / _copy_name(request, number)
            files.replace_file(path, raw, mode=0o600, within=place)


def _copy_name(request: StoredRequest, number: int) -> str:
    return f"{request.predicate.gate}.{request.number}.artifact.{number}.txt"


def _kept(output: Path, request: StoredRequest) -> dict[str, list[str]]:
    found = {}
    for number, file in enumerate(request.predicate.artifacts, start=1):
        path = output / APPROVALS_DIRECTORY / _copy_name(request, number)
        with contextlib.suppress(OSError):
            text = files.read_bounded(path, COPIES_BYTES_MAX).decode(errors="replace")
            found[file.path] = text.splitlines()
    return found


def changes(
    output: Path, was: StoredRequest, now: ApprovalPredicate, mask: Callable[[str], str]
) -> Iterator[str]:
    """Yield each change as a sentence, with the lines of a diff if there are lines.

    No difference is left out, even if its lines are the same or cannot be shown.
    """
    before = _kept(output, was)
    artifacts = {one.path: one for one in now.artifacts}
    old, new = ({one.stage: one for one in part.commands} for part in (was.predicate, now))
    for one in differences(was.predicate, now):
        lines: tuple[list[str], list[str]] = ([], [])
        if one.part is Part.ARTIFACT and one.name in artifacts:
            after = list(text_of(artifacts[one.name], output, mask).lines or ())
            lines = before.get(one.name, []), after
        elif one.part is Part.COMMAND:
            lines = _lines(old.get(one.name)), _lines(new.get(one.name))
        yield changed_words((one,))
        if all(lines) or one.was is None:
            yield from difflib.unified_diff(*lines, "before", "now", lineterm="")


def _lines(command: RequestedCommand | None) -> list[str]:
    return [] if command is None else list(command.lines)
