"""The log of a run on its page: masked, bounded, and only text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.errors import OrchestratorError, UsageError
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.output_lines import GrowingLog
from fsm_orchestrator.web import run_events
from fsm_orchestrator.web.run_log import END_BYTES, LINES_MAX, LOGS_MAX, LOOK_BYTES_MAX, RunLog
from tests.support.command import PASSING, orchestrate, stages

SECRET = "s3cr3t-of-the-run"  # noqa: S105 - made up


@pytest.fixture(name="run")
def _run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a failed run with a secret; the test writes its logs."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TOKEN", SECRET)
    options = (*stages("exit 3"), "--manager-secret", "TOKEN", "--keep-secrets")
    orchestrate("./out", *PASSING, *options, cwd=tmp_path, env={"TOKEN": SECRET})
    monkeypatch.delenv("TOKEN")
    for one in (tmp_path / "out/logs").iterdir():
        one.write_bytes(b"")
    return tmp_path / "out"


def _log(run: Path, name: str = "manager.1.stdout.log") -> Path:
    return run / "logs" / name


def _texts(lines: list[dict[str, Any]]) -> list[str]:
    return ["".join(text for text, _, _ in line["parts"]) for line in lines]


def test_lines_are_masked_wherever_they_are_cut(run: Path) -> None:
    """No part of a value in two writes, across colors or at the end of a look is shown."""
    log = RunLog(run)
    file = _log(run)
    file.write_text(f"a {SECRET[:5]}")
    assert log.news(is_over=False) == []
    with file.open("a") as more:
        more.write(
            f"{SECRET[5:]} b\nnext {SECRET[:7]}\x1b[31m{SECRET[7:]}\x1b[0m\nrest {SECRET[:9]}"
        )
    assert _texts(log.news(is_over=False)) == ["a *** b", "next ***"]
    assert _texts(log.news(is_over=True)) == ["rest ***"]
    assert log.news(is_over=True) == []


@pytest.mark.parametrize("secret", [SECRET, "s3cr3t\nof-two-lines"], ids=["a word", "two lines"])
def test_end_of_a_log_begins_within_no_value(tmp_path: Path, secret: str) -> None:
    """If the end begins inside a value, no part of the value is shown; a whole one is masked."""
    masker, size, path = Masker([secret]), 20_000, tmp_path / "log"
    last = f"\nlast {secret}\n"
    for into in range(-2, len(secret) + 3):
        after = "y" * (size - len(secret) - len(last) + into)
        path.write_text("x" * 1000 + secret + after + last)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            end = GrowingLog.of_end(descriptor, size, masker, "surrogateescape")
            begun, texts = end.offset, list[str]()
            while data := end.chunk(descriptor):
                texts += [text for text, _ in end.pieces(data, masker)]
        finally:
            os.close(descriptor)
        shown = "".join(texts)
        assert not any(secret[i : i + 3] in shown for i in range(len(secret) - 2)), into
        assert texts[-1] == "last ***"
        assert begun <= 1000 or begun >= 1000 + len(secret)


def test_flood_is_cut_and_said_to_be(run: Path) -> None:
    """A log that is long, or grows too fast to show, is shown from a line near its end on."""
    file = _log(run)
    line = b"0123456789" * 9 + b"\n"
    file.write_bytes(line * 10_000)
    log = RunLog(run)
    first = _texts(log.news(is_over=False))
    assert first[0] == f"… {file.stat().st_size - (len(first) - 1) * len(line):,} bytes left out"
    assert {*first[1:]} == {line.decode().strip()}
    assert END_BYTES - len(line) <= (len(first) - 1) * len(line) <= END_BYTES
    with file.open("ab") as more:
        more.write(line * (LOOK_BYTES_MAX // len(line) + 2) + b"the last\n")
    again = _texts(log.news(is_over=False))
    assert again[0].endswith(" bytes left out")
    assert again[-1] == "the last"
    with file.open("ab") as more:
        more.write(b"\n" * (LINES_MAX + 10))
    many = _texts(log.news(is_over=False))
    assert (len(many), many[0]) == (LINES_MAX + 1, "10 lines left out")


def test_earlier_logs_are_counted(run: Path) -> None:
    """Of many attempts only the logs printed to last are shown."""
    for number in range(1, LOGS_MAX + 4):
        file = _log(run, f"manager.{number}.stdout.log")
        file.write_text(f"attempt {number}\n")
        os.utime(file, (number, number))
    said, *lines = RunLog(run).news(is_over=True)
    assert _texts([said]) == ["3 earlier logs are not shown here; `logs` prints them all"]
    assert [one["name"] for one in lines] == [f"manager.{n}" for n in range(4, LOGS_MAX + 4)]


def test_other_run_in_the_same_place_is_read_from_its_beginning(run: Path) -> None:
    """A log that is another file, or was cut short, is shown again from its beginning."""
    log, file = RunLog(run), _log(run)
    file.write_text("of the first run\n")
    assert _texts(log.news(is_over=True)) == ["of the first run"]
    file.unlink()
    file.write_text("of the second, which is longer\n")
    assert _texts(log.news(is_over=False)) == ["of the second, which is longer"]
    file.write_text("cut\n")
    assert _texts(log.news(is_over=False)) == ["cut"]


def test_links_and_odd_files_are_not_followed(run: Path, tmp_path: Path) -> None:
    """A stage cannot have other files shown in the place of its log."""
    (tmp_path / "private").write_text("not for the page\n")
    _log(run).unlink()
    _log(run).symlink_to(tmp_path / "private")
    os.mkfifo(_log(run, "manager.2.stdout.log"))
    assert RunLog(run).news(is_over=True) == []


@pytest.mark.parametrize("what", ["secret", "checkpoint"])
def test_output_is_not_shown_where_it_cannot_be_masked(
    run: Path, tmp_path: Path, what: str
) -> None:
    """If a value or the names of the values are unknown, nothing is shown."""
    _log(run).write_text(f"it is {SECRET}\n")
    assert _texts(RunLog(run).news(is_over=True)) == ["it is ***"]
    if what == "secret":
        for one in (tmp_path / "state").rglob("*"):
            if one.is_file():
                one.unlink()
    else:
        (run / "orchestrator_checkpoint.json").write_text("{")
        (run / "orchestrator_events.jsonl").write_text("{")
    with pytest.raises(OrchestratorError, match="cannot show what the stages printed") as refused:
        RunLog(run)
    assert isinstance(refused.value, UsageError) == (what == "secret")


def test_page_is_told_that_output_is_not_shown_and_when_it_is(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal comes once, with a remedy; later the output is shown from its end."""
    monkeypatch.setattr(run_events, "LOG_AGAIN_SECONDS", 0.0)
    _log(run).write_text("a line\n")
    checkpoint = (run / "orchestrator_checkpoint.json").read_bytes()
    events = (run / "orchestrator_events.jsonl").read_bytes()
    for name in ("orchestrator_checkpoint.json", "orchestrator_events.jsonl"):
        (run / name).write_text("{")
    output = run_events.Output()
    (refused,) = output.news(run, is_over=True)
    assert refused.startswith(b'event: refused\ndata: {"said":"cannot show what the stages printed')
    assert b"they are not masked" in refused
    assert output.news(run, is_over=True) == []
    (run / "orchestrator_checkpoint.json").write_bytes(checkpoint)
    (run / "orchestrator_events.jsonl").write_bytes(events)
    shown, lines = output.news(run, is_over=True)
    assert shown == b"event: shown\ndata: {}\n\n"
    assert b'"parts":[["a line","",""]]' in lines
    assert output.news(run, is_over=True) == []
