"""An output directory that is lost in mid-run is noticed at the next write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import RunConfig, StageGiven, run
from fsm_orchestrator.record.events import parse_event
from fsm_orchestrator.record.record_events import ReportUnplaced
from fsm_orchestrator.vocabulary import EventName
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    REPORT,
    Ended,
    orchestrate,
    report_of,
    tree_of,
)
from tests.support.soak import SOAK

GATES: Final = {"policy": "allow", "ci": "success", "review": "approved"}
GONE: Final = "gone"
LOG: Final = "logs/manager.1.stdout.log"


def _nothing(_out: Path) -> None:
    """Leave the name free."""


def _directory(out: Path) -> None:
    out.mkdir()
    (out / "mine").write_text("mine")
    for name in (CHECKPOINT, REPORT, "orchestrator_events.jsonl", "orchestrator.lock"):
        (out / name).write_text("mine")


def _link(out: Path) -> None:
    victim = out.parent / "victim"
    victim.mkdir()
    out.symlink_to(victim)


def _file(out: Path) -> None:
    out.write_text("mine")


def _dangling(out: Path) -> None:
    out.symlink_to(out.parent / "nowhere")


PUT: Final[Mapping[str, Callable[[Path], None]]] = {
    "nothing": _nothing,
    "directory": _directory,
    "link": _link,
    "file": _file,
    "dangling link": _dangling,
}
"""The things that are put in the directory's place."""
SHELL: Final = {
    "nothing": ":",
    "directory": f"mkdir -p out/logs; echo mine | tee out/mine > out/{LOG}",
    "link": "mkdir victim; ln -s victim out",
    "file": "echo mine > out",
    "dangling link": "ln -s nowhere out",
}


def seen(out: Path) -> Any:
    """Return everything under the directory's name, and behind a link."""
    if out.is_symlink():
        return (
            out.readlink(),
            list(out.parent.glob("victim/*")),
            (out.parent / "nowhere").exists(),
        )
    return out.read_text() if out.is_file() else tree_of(out) if out.exists() else None


def lost_at(number: int, what: str, place: Path) -> tuple[Any, list[dict[str, Any]], Any]:
    """Run and remove the directory at an event; return report, events and what was put there.

    If the number exceeds that of the events, the directory stays.
    """
    place.mkdir()
    out, events, put = place / "out", list[dict[str, Any]](), [None]

    def listen(event: Mapping[str, Any]) -> None:
        events.append(dict(event))
        if len(events) == number:
            out.rename(place / GONE)
            PUT[what](out)
            put[0] = seen(out)

    stages = {"manager": StageGiven(bin="true"), "executor": StageGiven(bin="true")}
    config = RunConfig(
        output_directory=str(out), directory=str(place), gates=GATES, stages=stages, run_id="lost"
    )
    return run(config, listener=listen), events, put[0]


def moments(what: str, last: int) -> list[int]:
    """Return the events to try: all of them for a directory, some for the others."""
    step = 1 if SOAK or what == "directory" else 4
    return list(range(1 + len(what) % step, last + 1, step))


@pytest.mark.parametrize("what", PUT)
def test_lost_at_any_event(what: str, tmp_path: Path) -> None:
    """The replacement is untouched, nothing more begins, and the report says what happened."""
    _, events, _ = lost_at(1000, what, tmp_path / "0")
    last = len(events)
    assert events[-1]["event"] == EventName.RUN_ENDED
    for number in moments(what, last):
        place = tmp_path / str(number)
        report, told, put = lost_at(number, what, place)
        out, names = place / "out", [one["event"] for one in told]
        if number >= last - 1:  # they are reported together, once all is written
            assert (report.closure_ready, seen(out)) == (True, put), number
            continue
        assert (report.terminal_state, report.closure_ready) == ("failed", False), number
        assert EventName.REPORT_UNPLACED in names[number:], (number, names)
        begun = names[number:].count(EventName.STAGE_STARTED)
        assert begun <= 1, (number, names)  # one whose attempt was already durable
        if what == "nothing":
            assert sorted(tree_of(out)) == ["orchestrator.lock", REPORT], number
            assert (out / "orchestrator.lock").read_bytes() == b"", number
            assert report_of(out)["terminal_state"] == "failed", number
        else:
            assert seen(out) == put, number
        own = [one for one in report.stage_executions if one.operation is not None]
        assert str(out) in (own[0].error or ""), number


# Through the command, by what runs in it


RECORDED: Final = f"until grep -q '\"pid\": *[0-9]' out/{CHECKPOINT}; do :; done"
"""Shell words after which nothing is written until the stage ends."""
PHASES: Final = {"before the first stage": 0, "while a stage runs": 1, "at the end": 2}
"""The phases, and the number of stages that have begun by then."""


def lost_in(phase: str, what: str, place: Path) -> Ended:
    """Run with a gate or a stage that takes the directory away."""
    recorded = RECORDED if PHASES[phase] else ":"
    script = f"{recorded}; mv out {GONE}; {SHELL[what]}; exit 0"
    by = [script if begun == PHASES[phase] else ":" for begun in range(3)]
    (place / "run.toml").write_text(
        f"[gate.ci]\ncommand = ['sh', '-c', '''{by[0]}''']\n"
        f"[stage.manager]\nbin = 'sh'\nargs = ['-c', '''echo 1 >> ran; {by[1]}''']\n"
        f"[stage.executor]\nbin = 'sh'\nargs = ['-c', '''echo 2 >> ran; {by[2]}''']\n"
    )
    gates = [one for pair in zip(PASSING[::2], PASSING[1::2], strict=True) for one in pair]
    given = [*gates[:2], *gates[4:]]
    return orchestrate("./out", "--config", "run.toml", *given, cwd=place)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("what", SHELL)
@pytest.mark.parametrize("phase", PHASES)
def test_lost_in_each_phase(phase: str, what: str, tmp_path: Path) -> None:
    """The run fails with its last report on stderr; the directory can be resumed elsewhere."""
    ended = lost_in(phase, what, tmp_path)
    assert ended.code == 1, ended
    out, ran = tmp_path / "out", tmp_path / "ran"
    begun = len(ran.read_text().splitlines()) if ran.exists() else 0
    assert begun == PHASES[phase]
    (told,) = [one for one in ended.events if one["event"] == EventName.REPORT_UNPLACED]
    assert isinstance(parse_event(json.dumps(told).encode()), ReportUnplaced)
    assert told["directory"] == str(out)
    assert (told["report"]["terminal_state"], told["report"]["closure_ready"]) == ("failed", False)
    assert told["is_written"] is (what == "nothing")
    if what == "nothing":
        assert sorted(tree_of(out)) == ["orchestrator.lock", REPORT]
        assert report_of(out) == told["report"]
    elif what == "directory":
        names = (LOG, "mine")
        assert sorted(tree_of(out)) == list(names)
        assert {(out / name).read_text() for name in names} == {"mine\n"}
    elif what == "link":
        assert list((tmp_path / "victim").iterdir()) == []
    # The moved directory still has its record, which continues there.
    goes_on = orchestrate(
        f"./{GONE}", "--resume", "--manager-arg=-c", "--manager-arg=true", "--executor-arg=-c",
        "--executor-arg=true", "--on-changed-stage", "rerun", "--ci-status", "success",
        cwd=tmp_path,
    )  # fmt: skip
    assert "moved here from" in goes_on.stderr, goes_on
    assert report_of(tmp_path / GONE)["run_id"] == told["report"]["run_id"]


def test_last_report_is_shown_whole_in_text(tmp_path: Path) -> None:
    """Without JSON lines the last report is a separate document, below the reason."""
    script = f"mv out {GONE}; echo mine > out"
    ended = orchestrate(
        "./out", *PASSING, "--log-format", "text", "--manager-bin", "sh",
        "--manager-arg=-c", f"--manager-arg={script}", cwd=tmp_path,
    )  # fmt: skip
    assert ended.code == 1, ended
    said, brace, document = ended.stderr.partition("\n{\n")
    assert said.splitlines()[-1].startswith(f"error: the output directory {tmp_path / 'out'} was")
    report, _ = json.JSONDecoder().raw_decode(brace.lstrip() + document)
    assert report["terminal_state"] == "failed"
