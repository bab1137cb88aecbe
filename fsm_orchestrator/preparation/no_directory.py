"""Refuses an output directory that does not exist and cannot be made."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.text.hidden import copyable


def refuse_output(output: Path) -> None:
    """Raise an error that says why there can be no such directory; return if it exists by now.

    Raises:
        UsageError: there can be none.
    """
    try:
        os.lstat(output)
    except OSError as error:
        if error.errno in {errno.ENAMETOOLONG, errno.ELOOP}:
            raise UsageError(
                f"the output directory {copyable(output)} cannot be made: {files.reason(error)}",
                remedy="name a path where a directory can be made",
            ) from error
    if not (os.path.islink(output) or os.path.exists(output)):
        above = next(parent for parent in output.parents if os.path.exists(parent))
        if not os.path.isdir(above):
            raise UsageError(
                f"the output directory {copyable(output)} cannot be made: {copyable(above)} is a"
                " file",
                remedy="name a path where a directory can be made",
            )
        if not os.access(above, os.W_OK | os.X_OK):
            raise UsageError(
                f"the output directory {copyable(output)} cannot be made: {copyable(above)} may"
                " not be written to",
                remedy="name a directory that you may write to",
            )
        return
    if os.path.isdir(output):
        return  # another run has made it since
    what = "a file" if os.path.exists(output) else "a link to nothing"
    raise UsageError(
        f"the output directory {copyable(output)} is {what}",
        remedy="name a directory, or a path where one can be made",
    )
