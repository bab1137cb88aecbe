"""The error about a changed file says whether this program's version was restored."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from fsm_orchestrator.constants import TAMPERED_DIRECTORY
from fsm_orchestrator.disk.lock import OutputLock
from fsm_orchestrator.errors import OperationError
from fsm_orchestrator.record.anchor import KEPT_MAX, Anchor

LEFT = b"left by this program"


@pytest.mark.parametrize("is_full", [False, True], ids=["room to keep it", "no room to keep it"])
def test_error_says_whether_the_file_is_restored(tmp_path: Path, *, is_full: bool) -> None:
    """A directory in the file's place that cannot be moved away cannot be replaced either."""
    path = tmp_path / "file"
    (path / "below").mkdir(parents=True)
    (tmp_path / TAMPERED_DIRECTORY).mkdir()
    for number in range(1, KEPT_MAX + 1) if is_full else ():
        (tmp_path / TAMPERED_DIRECTORY / f"file.{number}").touch()
    with contextlib.ExitStack() as stack:
        home = OutputLock.acquire(tmp_path)
        stack.callback(home.release)
        anchor = Anchor(home)
        anchor.left(path, LEFT)
        with pytest.raises(OperationError) as raised:
            anchor.confirm()
    assert ("and is restored; the other version is kept in" in str(raised.value)) is not is_full
    assert ("and cannot be restored: a directory is in" in str(raised.value)) is is_full
    assert path.is_dir() is is_full
