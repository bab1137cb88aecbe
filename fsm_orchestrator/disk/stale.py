"""The temporary files of writers that were killed, removed by the next one."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Final

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.text.late_pattern import late_pattern

_TEMPORARY_NAME: Final = late_pattern(rf"\.(.+)\.[0-9a-f]{{16}}{re.escape(files.TEMPORARY_SUFFIX)}")


def remove_stale(directory: Path, *names: str, within: HeldDirectory | None = None) -> None:
    """Remove the temporary files that killed writers of `names` left, as far as possible.

    Without `names`, those of all names. Only the holder of the directory's lock, or the only writer
    of the names, may call this. Follows no link and removes no directory.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(directory if within is None else within.descriptor):
            match = _TEMPORARY_NAME.fullmatch(name)
            if match is not None and (not names or match[1] in names):
                files.StagedFile(directory / match[1], name, within).discard()
