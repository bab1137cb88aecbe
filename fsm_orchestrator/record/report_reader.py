"""Reads a report back. recorder.py writes it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.peek import (
    RECORD_BYTES_MAX,
    read_record,
    refuse_too_many_values,
)
from fsm_orchestrator.errors import ReportError
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.hidden import copyable

_EARLIER: Final = b'\n  "earlier_invocations": ['
"""The bytes at which the last field of a report begins. A JSON string contains no literal line
break, so they can be nowhere else in a file that is indented as reports are."""
_CHUNK_BYTES: Final = 64 * 1024


def read_report(file: Path, *, is_link_good: bool = False) -> Report:
    """Read the report in a file; if `is_link_good`, the file may be a link to one.

    Raises:
        ReportError: there is none, or it cannot be understood.
    """
    return _read(file, lambda: read_record(file, is_link_good=is_link_good))


def read_latest_invocation(file: Path) -> Report:
    """Read the report in a file up to its earlier invocations, which are not read.

    Raises:
        ReportError: there is none, or what was read of it cannot be understood.
    """
    return _read(file, lambda: _without_earlier(file))


def _read(file: Path, data: Callable[[], bytes | bytearray]) -> Report:
    try:
        return Report.model_validate_json(data())
    except FileNotFoundError:
        raise ReportError(
            f"no run has left a report in {copyable(file.parent)}", remedy="check the directory"
        ) from None
    except OSError as error:
        reason = files.reason(error)
    except ValidationError:
        reason = "it is not a report of this program"
    raise ReportError(
        f"cannot read {copyable(file)}: {reason}", remedy="a resume of the run writes it again"
    )


def _without_earlier(file: Path) -> bytearray:
    """Return the bytes of a report up to its earlier invocations, closed as if there were none."""
    data = bytearray()
    descriptor = files.open_regular(file)
    try:
        while len(data) <= RECORD_BYTES_MAX and (chunk := os.read(descriptor, _CHUNK_BYTES)):
            searched_from = max(0, len(data) - len(_EARLIER))
            data += chunk
            found = data.find(_EARLIER, searched_from)
            if found >= 0:
                data[found:] = _EARLIER + b"]}"
                break
    finally:
        os.close(descriptor)
    refuse_too_many_values(data, file)
    return data
