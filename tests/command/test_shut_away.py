"""Files that a stage removes the permissions of: an ordinary user gets a message and no crash."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.command import COMMAND, PASSING, Ended, environment, report_of, stages
from tests.support.patience import PATIENCE_SECONDS

OUT = '"$ORCHESTRATOR_OUTPUT_DIR"'
SHUT = {
    "directory": f"chmod 000 {OUT}",
    "directory to write": f"chmod 555 {OUT}",
    "directory above": "chmod 000 .",
    "logs": f"chmod 000 {OUT}/logs",
    "checkpoint": (
        f"until grep -q '\"pid\":[1-9]' {OUT}/orchestrator_checkpoint.json; do sleep 0.01; done;"
        f" chmod 000 {OUT}/orchestrator_checkpoint.json"
    ),
    "report": f"chmod 000 {OUT}/orchestrator_run_report.json",
}
LOOKS = (
    ("explain", "./out"),
    ("status", "."),
    ("report", "./out", "--html", "-"),
    ("./out", "--resume"),
)


def without_rights(*words: str, cwd: Path) -> Ended:
    """Run the command as a user bound by permissions, or as root without that privilege."""
    setpriv = shutil.which("setpriv")
    if os.getuid() == 0 and setpriv is None:
        pytest.skip("root may do everything, and there is no setpriv")
    bound = (str(setpriv), "--bounding-set=-all", "--inh-caps=-all", "--")
    # Opened from above: the directory itself may be shut when the command begins.
    script = 'cd "$0"; exec "$@"'
    done = subprocess.run(
        [*(bound if os.getuid() == 0 else ()), "/bin/sh", "-c", script, str(cwd), *COMMAND, *words],
        env=environment(
            XDG_STATE_HOME=str(cwd.parent / "state"), FSM_ORCHESTRATOR_LOG_FORMAT="text"
        ),
        cwd=cwd.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def opened(place: Path) -> None:
    """Restore the permissions."""
    for path in (place, place / "out", place / "out" / "logs"):
        path.chmod(0o755)


@pytest.mark.one_in(2)
@pytest.mark.parametrize("what", SHUT)
def test_what_a_stage_has_shut_is_no_crash(tmp_path: Path, what: str) -> None:
    """The run ends as its report says, every command has an answer, and printed paths exist."""
    place = tmp_path / "place"
    place.mkdir()
    ended = without_rights("./out", *PASSING, *stages("exit 0", SHUT[what]), cwd=place)
    try:
        looks = [without_rights(*words, cwd=place) for words in LOOKS]
    finally:
        opened(place)
    assert ended.code in {0, 1}, ended.stderr
    for one in (ended, *looks):
        assert one.code not in {70, 124}, one.stderr
        assert "Traceback" not in one.stderr
    for path in re.findall(r"^  report +(/.*)$", ended.stdout, re.MULTILINE):
        assert Path(path).is_file()
    report = report_of(place / "out")
    if what in {"checkpoint", "report"}:  # restored: a resume continues from it
        assert (ended.code, looks[-1].code) == (1, 0)
        assert [one.suffix for one in (place / "out" / "tampered").iterdir()] == [".1"]
    if 0 in {ended.code, looks[-1].code}:
        assert report["closure_ready"]
    else:
        assert report["terminal_state"] in {None, "failed"}
        assert not report["closure_ready"]
    for entry in (place / "out").iterdir():
        if entry.is_file():
            entry.chmod(0o600)
    resumed = without_rights("explain", "./out", cwd=place)
    assert resumed.code == 0, resumed.stderr
