"""The artifacts of a request as a person reads them, and the copies that a later one is shown by.

A text is shown only where it is what the request names. Copies are masked, small and private; they
prove nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.approvals.request import ApprovalPredicate, RequestedFile, StoredRequest
from fsm_orchestrator.constants import APPROVALS_DIRECTORY
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory

SHOWN_BYTES_MAX: Final = 1024**2
COPIES_BYTES_MAX: Final = 4 * 1024**2
"""How much is kept of the artifacts of one request."""


class ArtifactText(NamedTuple):
    """An artifact as it can be shown.

    Attributes:
        lines: its lines, masked; None where it cannot be shown, and `why` says why.
        is_other: whether the file is there, and is not what the request names.
    """

    file: RequestedFile
    lines: tuple[str, ...] | None
    why: str = ""
    is_other: bool = False


def text_of(file: RequestedFile, mask: Callable[[str], str]) -> ArtifactText:
    """Read an artifact that a request names."""
    if file.sha256 is None:
        return ArtifactText(file, None, "it could not be read when this was asked")
    try:
        raw = files.read_bounded(Path(file.path), SHOWN_BYTES_MAX, is_link_good=True)
    except (OSError, ValueError) as error:
        why = files.reason(error) if isinstance(error, OSError) else "it has no such name here"
        return ArtifactText(file, None, why)
    if hashlib.sha256(raw).hexdigest() != file.sha256:
        return ArtifactText(file, None, "it is not what the request names", is_other=True)
    if b"\0" in raw:
        return ArtifactText(file, None, "it is no text")
    return ArtifactText(file, tuple(mask(raw.decode(errors="replace")).splitlines()))


def keep_copies(home: HeldDirectory, request: StoredRequest, mask: Callable[[str], str]) -> None:
    """Keep what the artifacts say, to compare a later request with; what fails is left out."""
    left = COPIES_BYTES_MAX
    with contextlib.suppress(OSError), files.below(home, APPROVALS_DIRECTORY) as place:
        for number, file in enumerate(request.predicate.artifacts, start=1):
            found = text_of(file, mask)
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
    """Yield, as lines of a diff, what artifacts and commands say that they did not say before."""
    before = _kept(output, was)
    digests = {one.path: one.sha256 for one in was.predicate.artifacts}
    for file in now.artifacts:
        if digests.get(file.path) != file.sha256:
            after = list(text_of(file, mask).lines or ())
            yield from _diff(file.path, before.get(file.path, []), after)
    old = {one.stage: one for one in was.predicate.commands}
    for command in now.commands:
        lines = [] if command.stage not in old else old[command.stage].lines
        yield from _diff(f"command of {command.stage}", list(lines), list(command.lines))


def _diff(name: str, was: list[str], now: list[str]) -> Iterator[str]:
    yield from difflib.unified_diff(was, now, f"{name} (before)", f"{name} (now)", lineterm="")
