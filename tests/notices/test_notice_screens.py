"""Notices as operators type and see them: config files, fleets, `notify`, `status`, `explain`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import environment, orchestrate
from tests.support.patience import PATIENCE_SECONDS

FILE = """
allow_empty = true
[gates]
policy = "allow"
ci = "success"
[[notify]]
on = ["waiting", "done"]
command = ["./tell.sh"]
[[notify]]
on = ["waiting"]
webhook = "http://127.0.0.1:1/hook"
timeout = "400ms"
"""
SCRIPT = "#!/bin/sh\ncat > notice.json\necho $ORCHESTRATOR_NOTICE_EVENT >> told\n"
UNTOLD = "waiting was not delivered: webhook http://127.0.0.1:1: Connection refused"


def prepared(folder: Path) -> Path:
    """Write a config file and its script into a separate directory."""
    place = folder / "settings"
    place.mkdir()
    (place / "run.toml").write_text(FILE)
    (place / "tell.sh").write_text(SCRIPT)
    (place / "tell.sh").chmod(0o755)
    return place


def test_what_was_not_told_is_seen_where_one_looks(tmp_path: Path) -> None:
    """A failed notice is on stderr after the run, then in status and explain, not in the record."""
    place, env = prepared(tmp_path), {"no_proxy": "127.0.0.1"}
    done = orchestrate("./out", "--config", "settings/run.toml", cwd=tmp_path, env=env)
    assert done.code == 3
    (said,) = [one for one in done.events if one["event"] == "notice_undelivered"]
    assert said["cause"] == UNTOLD
    assert (place / "told").read_text() == "waiting\n"
    text = orchestrate(
        "./out", "--resume", "--log-format", "text", cwd=tmp_path, env=env
    ).stderr.splitlines()
    assert text[-1] == f"! {UNTOLD}"
    shown = orchestrate("status", "./out", cwd=tmp_path).stdout
    assert f"  note: {UNTOLD}\n" in shown
    assert shown.count(UNTOLD) == 1
    status = json.loads(orchestrate("status", "./out", "--json", cwd=tmp_path).stdout)
    assert status["untold"] == [UNTOLD]
    assert status["report"]["warnings"] == []
    assert UNTOLD in orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout
    shown = json.loads(orchestrate("config", "show", "./out", "--json", cwd=tmp_path).stdout)
    (notify,) = [one["value"] for one in shown if one["key"] == "notify"]
    assert notify == [
        f"waiting, done: command {place}/tell.sh",
        "waiting: webhook http://127.0.0.1:1",
    ]
    orchestrate("./out", "--resume", "--review-status", "approved", cwd=tmp_path)
    assert (place / "told").read_text() == "waiting\ndone\n"
    assert "not sent" not in orchestrate("status", "./out", cwd=tmp_path).stdout


def test_typos_are_found_with_their_lines_and_no_url_is_shown(tmp_path: Path) -> None:
    """`config check` names line, key and likely meaning, and shows no credential."""
    (tmp_path / "run.toml").write_text(
        '[[notify]]\non = ["waitting"]\ncomand = ["x"]\n'
        '[[notify]]\non = ["done"]\nwebhook = "https://hooks.slack.com/services/T/B/xyz"\n'
    )
    said = orchestrate("config", "check", "run.toml", cwd=tmp_path).stderr
    assert "run.toml:2: key 'notify.0.on.0'" in said
    assert "did you mean 'waiting'?" in said
    assert "run.toml:3: unknown key 'notify.0.comand'; did you mean 'command'?" in said
    assert "run.toml:6: key 'notify.1.webhook': is a credential" in said
    assert "xyz" not in said
    assert "at least" not in said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            'on = []\ncommand = ["x"]',
            "2: key 'notify.0.on': needs at least one, and is an empty list",
        ),
        ('on = "failed"\ncommand = ["x"]', "2: key 'notify.0.on': should be a list, not 'failed'"),
        ('on = ["failed"]\ncommand = []', "3: key 'notify.0.command': needs at least one,"),
        ('on = ["failed"]', "1: key 'notify.0': needs one of command, webhook, webhook_env and"),
    ],
)
def test_refusal_is_plain_english(written: str, said: str, tmp_path: Path) -> None:
    """A refusal uses no names of Python types, and suggests no word that is already right."""
    (tmp_path / "run.toml").write_text(f"[[notify]]\n{written}\n")
    refused = orchestrate("config", "check", "run.toml", cwd=tmp_path).stderr
    assert f"run.toml:{said}" in refused
    assert "did you mean" not in refused
    assert ", not a table" not in refused


def test_printed_config_tells_the_same(tmp_path: Path) -> None:
    """`--print-config` writes the notices, with absolute paths, and the retention of archives."""
    place = prepared(tmp_path)
    printed = orchestrate(
        "./out", "--config", "settings/run.toml", "--keep-archived", "7", "--print-config",
        cwd=tmp_path,
    )  # fmt: skip
    (tmp_path / "again.toml").write_text(printed.stdout)
    assert orchestrate("config", "check", "again.toml", cwd=tmp_path).code == 0
    assert "keep_archived = 7" in printed.stdout
    assert orchestrate("./out", "--config", "again.toml", cwd=tmp_path).code == 3
    assert (place / "told").read_text() == "waiting\n"


def test_trying_tells_a_pretended_end(tmp_path: Path) -> None:
    """Each way to notify, of a file or a run, has a line; the exit code says if all succeeded."""
    place, env = prepared(tmp_path), {"no_proxy": "127.0.0.1"}
    tried = orchestrate("notify", "settings/run.toml", cwd=tmp_path, env=env)
    assert tried.code == 1
    assert " ".join(tried.stdout.split()) == (
        f"✓ waiting: command {place}/tell.sh: delivered"
        " ✗ waiting: webhook http://127.0.0.1:1: not delivered: Connection refused"
    )
    notice = json.loads((place / "notice.json").read_text())
    assert (notice["is_test"], notice["event"], notice["run_id"]) == (True, "waiting", "test")
    tried = orchestrate("notify", "settings/run.toml", "--event", "done", "--json", cwd=tmp_path)
    (one,) = json.loads(tried.stdout)["notices"]
    assert (tried.code, one["is_delivered"], one["event"]) == (0, True, "done")
    none = orchestrate("notify", "settings/run.toml", "--event", "failed", cwd=tmp_path)
    assert none.code == 2
    assert "has no [[notify]] for failed" in none.stderr
    assert not (tmp_path / "out").exists()


def test_runs_of_a_fleet_tell_too(tmp_path: Path) -> None:
    """`[[defaults.notify]]` is for all runs, relative to the file, and each sends its own."""
    place = prepared(tmp_path)
    (place / "tell.sh").write_text("#!/bin/sh\ncat > told.$ORCHESTRATOR_RUN_ID\n")
    runs = '[[run]]\nname = "first"\n[[run]]\nname = "second"\n'
    defaults = '[[defaults.notify]]\non = ["waiting"]\ncommand = ["./tell.sh"]\n'
    text = f'[defaults]\ngates = {{ policy = "allow", ci = "success" }}\n{defaults}{runs}'
    (place / "fleet.toml").write_text(text)
    assert orchestrate("fleet", "settings/fleet.toml", "-j", "1", cwd=tmp_path).code == 3
    told = [json.loads(one.read_text()) for one in place.glob("told.*")]
    named = sorted(Path(one["output_directory"]).name for one in told)
    assert named == ["first", "second"]


def test_fleet_shows_what_was_not_delivered(tmp_path: Path) -> None:
    """A failed notice is beside the run, on stderr and in fleet.json, not in the exit code."""
    place = prepared(tmp_path)
    (place / "tell.sh").write_text("#!/bin/sh\nexit 7\n")
    gates = 'gates = { policy = "allow", ci = "success", review = "approved" }'
    defaults = '[[defaults.notify]]\non = ["done"]\ncommand = ["./tell.sh"]\n'
    stages = '[defaults.stage.manager]\nbin = "true"\n[defaults.stage.executor]\nbin = "true"\n'
    text = f'[defaults]\n{gates}\n{defaults}{stages}[[run]]\nname = "first"\n'
    (place / "fleet.toml").write_text(text)
    ended = orchestrate("fleet", "settings/fleet.toml", cwd=tmp_path)
    assert ended.code == 0, ended
    (line,) = [one for one in ended.stderr.splitlines() if "exited with code 7" in one]
    assert line.startswith("! first: "), line
    (report,) = [json.loads(one.read_text()) for one in tmp_path.rglob("fleet.json")]
    assert ["exited with code 7" in one for one in report["runs"][0]["untold"]] == [True]


def test_runs_without_notices_load_nothing_of_them(tmp_path: Path) -> None:
    """Such a run loads no code for notices and reads no files but the directory's own."""
    script = (
        "import sys; from fsm_orchestrator import RunConfig, run; run(RunConfig("
        "output_directory='out')); print(*(one for one in sys.modules if one.startswith(("
        "'fsm_orchestrator.notices', 'fsm_orchestrator.retention', 'urllib.request',"
        " 'fsm_orchestrator.config.notice', 'fsm_orchestrator.engine.archiving',"
        " 'fsm_orchestrator.disk.taken_along', 'fsm_orchestrator.disk.restoring'))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=environment(XDG_STATE_HOME=str(tmp_path / "state")),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert done.stdout.strip() == ""
    assert b"notify" not in (tmp_path / "out" / "orchestrator_checkpoint.json").read_bytes()
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        ".gitignore",
        "orchestrator.lock",
        "orchestrator_checkpoint.json",
        "orchestrator_events.jsonl",
        "orchestrator_run_report.json",
    ]
