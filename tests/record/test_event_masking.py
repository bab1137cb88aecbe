"""Text from outside is masked in the log, whichever part logs it; names never are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.clock import SystemClock
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.held import HeldDirectory
from fsm_orchestrator.record.chain import Chain, genesis
from fsm_orchestrator.record.event_file import EventFile
from fsm_orchestrator.record.event_log import build_logger
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import EventName
from tests.support.command import events_of

HIDDEN = "executor-7c2f"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (EventName.WARNING, "message"),
        (EventName.RECORDING_FAILED, "error"),
        (EventName.STAGE_STARTED, "reason"),
    ],
)
def test_sentences_are_masked_in_file_and_listener_alike(
    tmp_path: Path, name: EventName, key: str
) -> None:
    """A sentence that quotes a secret is masked in file and listener, and a stage's name is not."""
    heard: list[Any] = []
    home = HeldDirectory(tmp_path, files.open_directory(tmp_path))
    event_file = EventFile(home, Chain(genesis("run", None)))
    log = build_logger(SystemClock(), Masker([HIDDEN]), event_file, heard.append)
    log.bind(stage=HIDDEN).emit(name, **{key: f"cannot write /srv/{HIDDEN}/report: no room"})
    event_file.close()
    (written,) = events_of(tmp_path)
    assert written == dict(heard[0])
    assert written[key] == "cannot write /srv/***/report: no room"
    assert written["stage"] == HIDDEN
