"""A stage that writes to the run's own files: the run trusts none of it, and fails."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.support.command import (
    CHECKPOINT,
    COMMAND,
    EVENTS,
    PASSING,
    REPORT,
    checkpoint_of,
    environment,
    events_of,
    orchestrate,
    report_of,
    stages,
    statuses,
)

ONCE: Final = (
    'test "$ORCHESTRATOR_ATTEMPT" = 1 || exit 0; '
    f"until grep -q '\"pid\":[1-9]' out/{CHECKPOINT}; do sleep 0.01; done; "
)
"""The start of a script that acts in its first attempt only, once its start is recorded."""
EDITS: Final = {
    "edited": "sed -i 's/executor/exekutor/' {file}",
    "edited at its size in place": "printf X | dd of={file} bs=1 seek=40 conv=notrunc 2>/dev/null",
    "edited with its time put back": "touch -r {file} t; printf X | dd of={file} bs=1 seek=40"
    " conv=notrunc 2>/dev/null; touch -r t {file}",
    "emptied": ": > {file}",
    "appended to": "echo '{{}}' >> {file}",
    "of another time": "cp {file}.old {file} 2>/dev/null || echo old > {file}",
    "replaced": "echo '{{}}' > new; mv new {file}",
    "removed": "rm {file}",
    "moved": "mv {file} taken",
    "a link": "mv {file} taken; ln -s ../taken {file}",
    "a directory": "rm {file}; mkdir {file}; echo kept > {file}/inside",
    "a pipe": "rm {file}; mkfifo {file}",
    "too large to be read": "truncate -s 65M {file}",
}


def tampered(directory: Path) -> dict[str, bytes | None]:
    """Return the foreign content that was kept, by path; None for anything but a regular file."""
    place = directory / "out" / "tampered"
    entries = sorted(place.iterdir()) if place.exists() else []
    return {
        one.name: one.read_bytes() if one.is_file() and not one.is_symlink() else None
        for one in entries
    }


@pytest.mark.one_in(2)
@pytest.mark.parametrize("file", [CHECKPOINT, REPORT])
@pytest.mark.parametrize("edit", EDITS)
def test_what_a_stage_writes_is_not_believed(edit: str, file: str, tmp_path: Path) -> None:
    """The attempt is kept and the run fails with the file's name; the run's content is restored."""
    script = ONCE + EDITS[edit].format(file=f"out/{file}")
    ended = orchestrate("./out", *PASSING, *stages(executor=script), cwd=tmp_path)
    assert ended.code == 1
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert statuses(report) == [
        *(("manager", "success"), ("executor", "success"), ("control", "failed"))
    ]
    failure = report["stage_executions"][-1]
    assert (failure["command"], failure["ending"]) == ("control.verify", "control_tampered")
    assert f"{tmp_path}/out/{file} was " in failure["error"]
    assert checkpoint_of(tmp_path / "out")["current_state"] == "failed"
    kept = tampered(tmp_path)
    if edit in {"removed", "moved"}:
        assert kept == {}
    else:
        assert [*kept] == [f"{file}.1"]
        assert f"kept in {tmp_path}/out/tampered/{file}.1" in failure["error"]
    resumed = orchestrate("./out", "--resume", cwd=tmp_path)
    assert resumed.code == 0, resumed.stderr
    assert report_of(tmp_path / "out")["closure_ready"]


@pytest.mark.parametrize(
    "edit",
    [
        "sed -i '1s/run/nur/' out/{file}",
        "printf X | dd of=out/{file} bs=1 seek=80 conv=notrunc 2>/dev/null",
        (
            "touch -r out/{file} t; printf X | dd of=out/{file} bs=1 seek=80 conv=notrunc"
            " 2>/dev/null; touch -r t out/{file}"
        ),
        "echo '{{\"seq\": 99}}' >> out/{file}",
        "truncate -s -20 out/{file}",
        ": > out/{file}",
        "rm out/{file}",
    ],
)
def test_events_of_this_invocation_cannot_be_changed(edit: str, tmp_path: Path) -> None:
    """Logged events are compared with what was written, at the end of the invocation at latest."""
    command = (*COMMAND, "./out", *PASSING, *stages(executor=ONCE + edit.format(file=EVENTS)))
    ended = subprocess.run(command, cwd=tmp_path, env=environment(), check=False)
    assert ended.returncode == 1
    report = json.loads((tmp_path / "out" / REPORT).read_text())
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    failed = report["stage_executions"][-1]["command"]
    assert failed in {"control.verify", "events.persist"}


def test_same_bytes_are_no_tampering(tmp_path: Path) -> None:
    """A backup by links, or the same bytes written again, is no change."""
    files = " ".join(f"out/{one}" for one in (CHECKPOINT, REPORT, EVENTS))
    script = (
        f"sleep 0.2; touch {files}; cp -al out copy; for one in out/{CHECKPOINT} out/{REPORT}; do"
        " cp $one same; mv same $one; done"
    )
    ended = orchestrate("./out", *PASSING, *stages(executor=script), cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    assert tampered(tmp_path) == {}


def test_what_was_kept_goes_to_the_archive_with_its_run(tmp_path: Path) -> None:
    """A new run begins without the kept file, which is not lost."""
    script = f"sleep 0.2; echo forged > out/{CHECKPOINT}"
    orchestrate("./out", *PASSING, *stages(executor=script), cwd=tmp_path)
    run_id = report_of(tmp_path / "out")["run_id"]
    assert orchestrate("./out", *PASSING, *stages("true"), cwd=tmp_path).code == 0
    kept = tmp_path / "out" / "archive" / run_id / "tampered" / f"{CHECKPOINT}.1"
    assert kept.read_text() == "forged\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert not (tmp_path / "out" / "tampered").exists()


def test_forged_end_is_not_the_runs_end(tmp_path: Path) -> None:
    """A forged record that says done does not make the run done."""
    forge = (
        "import json; path = 'out/" + CHECKPOINT + "'; record = json.load(open(path));"
        " record['current_state'] = 'done'; json.dump(record, open(path, 'w'))"
    )
    script = f'{ONCE}python3 -c "{forge}"; exit 7'
    ended = orchestrate("./out", *PASSING, *stages(executor=script), cwd=tmp_path)
    assert ended.code == 1
    assert checkpoint_of(tmp_path / "out")["current_state"] == "failed"
    (forged,) = tampered(tmp_path).values()
    assert forged is not None
    assert json.loads(forged)["current_state"] == "done"
    assert any(
        one["event"] == "recording.failed" and one["operation"] == "control.verify"
        for one in events_of(tmp_path / "out")
    )
