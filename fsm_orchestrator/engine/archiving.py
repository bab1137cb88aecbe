"""Archives the earlier run in the directory of a new one, together with its artifacts.

Files that the new run uses are copied and also stay: its declared inputs, its programs, the files
of its gates, and artifacts that may be stale (`allow_stale`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.constants import CHECKPOINT_FILE
from fsm_orchestrator.disk import archive, files, peek
from fsm_orchestrator.disk.taken_along import Along, artifacts_in
from fsm_orchestrator.text.hidden import copyable

if TYPE_CHECKING:
    from fsm_orchestrator.disk.held import HeldDirectory
    from fsm_orchestrator.preparation.preparation import Preparation


def archived_before(
    preparation: Preparation, home: HeldDirectory, earlier: tuple[Path, ...]
) -> Preparation:
    """Archive the files of an earlier run, `earlier`; warn of artifacts that cannot be moved.

    Raises:
        OSError: a file of the run cannot be moved.
    """
    record = peek.document(home.path / CHECKPOINT_FILE) if earlier else {}
    named = artifacts_in(record)
    along = _along(named, home.path, _gone_by(preparation)) if named else None
    staying = archive.archive_run(home, earlier, along, peek.run_id_in(record))
    if not staying:
        return preparation
    warnings = preparation.masker.mask_all(
        f"the artifact {copyable(home.path / one.path)} of the earlier run is not archived with it:"
        f" {files.reason(one.why)}"
        for one in staying
    )
    draft = preparation.checkpoint
    known = draft.invocation.warnings
    return preparation._replace(checkpoint=draft.with_invocation(warnings=(*known, *warnings)))


def _along(named: Iterable[str], home: Path, gone_by: Iterable[str]) -> Along:
    """Return which artifacts are moved to the archive, and which are copied."""
    needed = tuple(dict.fromkeys(gone_by))
    copied = tuple(one for one in named if any(_is_needed(home / one, other) for other in needed))
    return Along(tuple(one for one in named if one not in copied), copied)


def _is_needed(path: Path, needed: str) -> bool:
    other = Path(needed)
    is_inside = path.is_relative_to(other) or other.is_relative_to(path)
    return is_inside or fnmatch(str(path), needed)


def _gone_by(preparation: Preparation) -> Iterator[str]:
    """Yield the paths, and patterns of paths, that the new run uses."""
    for one in preparation.settings.values():
        yield one.command
        yield from one.inputs
        yield from (first for first, *_ in one.verify)
        yield from (each.json_schema for each in one.contracts if each.json_schema is not None)
        if one.allow_stale:
            yield from one.artifact_paths
    for source in preparation.checkpoint.sources.values():
        yield from (*source.files, *source.authorities)
    given = preparation.config.subject
    yield from () if given is None else given.files
