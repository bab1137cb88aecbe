"""A done run with a stage passed over, or none run: its messages, and how to accept it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm_orchestrator.text.toml import table_of
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    after_a_power_cut,
    checkpoint_of,
    events_of,
    orchestrate,
    report_of,
    shell,
    tree_of,
)

MANAGER = shell("manager", "exit 0")
BOTH = (*MANAGER, *shell("executor", "exit 0"))
WHY = "stage executor had no binary and was passed over, so the run may not be closed"


@pytest.mark.parametrize(
    ("options", "unrun", "nothing_ran"),
    [
        (MANAGER, ["executor"], None),
        ((), ["manager", "executor"], True),
        (("--skip-stage", "executor"), ["manager"], True),
        ((*MANAGER, "--skip-stage", "executor"), None, None),
        ((*MANAGER, "--allow-empty"), None, None),
        (("--allow-empty",), None, None),
        (("--skip-stage", "executor", "--skip-stage", "manager"), None, None),
        (BOTH, None, None),
    ],
    ids=["one", "none", "one of two", "skipped", "allowed", "empty", "both skipped", "all ran"],
)
def test_run_may_be_closed_only_if_all_ran_or_that_was_asked_for(
    tmp_path: Path, options: tuple[str, ...], unrun: list[str] | None, nothing_ran: bool | None
) -> None:
    """The run is done with exit code 0 in any case, and a plan announces the result."""
    planned = orchestrate("plan", "out", *PASSING, *options, "--json", cwd=tmp_path)
    assert json.loads(planned.stdout)["unrun_stages"] == (unrun or [])
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 0
    report = report_of(tmp_path / "out")
    is_ready = unrun is None
    assert (report["terminal_state"], report["exit_code"]) == ("done", 0)
    assert (report["closure_ready"], report.get("unrun_stages")) == (is_ready, unrun)
    assert report.get("nothing_ran") == nothing_ran
    last = events_of(tmp_path / "out")[-1]
    assert (last["closure_ready"], last.get("unrun_stages")) == (is_ready, unrun)
    assert last.get("nothing_ran") == nothing_ran
    if not options or options == BOTH:
        settings = checkpoint_of(tmp_path / "out")
        assert not settings.keys() & {"allow_empty", "skip_stages"}


def test_every_screen_says_why_it_may_not_be_closed_and_what_to_do(tmp_path: Path) -> None:
    """`--quiet` prints it too, but nothing about a run that may be closed."""
    plan = orchestrate("plan", "out", *PASSING, *MANAGER, cwd=tmp_path).stdout
    assert "would end: done, but not ready to close, as executor has no binary" in plan
    ended = orchestrate("out", *PASSING, *MANAGER, "--quiet", cwd=tmp_path)
    accept = "fsm-orchestrator out --resume --skip-stage executor"
    for shown in (ended.stdout, orchestrate("status", "out", cwd=tmp_path).stdout):
        assert shown.startswith("! done, but not ready to close: run ")
        assert f"  {WHY}\n" in shown
        assert "  first    only if the run was meant to do without\n" in shown
        assert f"  accept   {accept}\n" in shown
    told = json.loads(orchestrate("explain", "out", "--json", cwd=tmp_path).stdout)
    assert (told["standing"], told["causes"][0]["sentence"]) == ("not_closable", WHY)
    assert " ".join(told["next_step"]["words"]) == accept
    assert "start a new run with a binary for each stage" in told["next_step"]["remedies"][0]
    seen = json.loads(orchestrate("status", "out", "--json", cwd=tmp_path).stdout)
    assert seen["report"]["unrun_stages"] == ["executor"]
    assert "no binary: executor" in orchestrate("status", ".", cwd=tmp_path).stdout
    orchestrate("report", "out", "--html", "page.html", cwd=tmp_path)
    page = (tmp_path / "page.html").read_text()
    assert WHY in page
    assert "it must not be closed" in page
    cases = orchestrate("report", "out", "--junit", "junit.xml", cwd=tmp_path)
    assert (cases.code, WHY in (tmp_path / "junit.xml").read_text()) == (0, True)
    quiet = orchestrate("ran", *PASSING, *BOTH, "--quiet", cwd=tmp_path)
    assert (quiet.code, quiet.stdout) == (0, "")


def test_done_run_is_accepted_as_it_is_by_a_resume(tmp_path: Path) -> None:
    """The resume runs nothing, and the acceptance holds from then on."""
    orchestrate("out", *PASSING, *MANAGER, cwd=tmp_path)
    plain = orchestrate("out", "--resume", cwd=tmp_path)
    assert (plain.code, WHY in plain.stdout) == (0, True)
    assert report_of(tmp_path / "out")["closure_ready"] is False
    for words in (("--skip-stage", "executor"), ()):
        assert orchestrate("out", "--resume", *words, cwd=tmp_path).code == 0
        report = report_of(tmp_path / "out")
        assert (report["closure_ready"], report.get("unrun_stages")) == (True, None)
    assert orchestrate("status", "out", cwd=tmp_path).stdout.startswith(("✓ done:", "ok done:"))


def test_what_was_accepted_is_found_again_in_the_events(tmp_path: Path) -> None:
    """A torn checkpoint is restored with the acceptance, and without a withdrawn one."""
    orchestrate("out", *PASSING[:4], *MANAGER, "--allow-empty", cwd=tmp_path)
    (tmp_path / "run.toml").write_text("allow_empty = false\n")
    again = ("out", "--resume", "--config", "run.toml", "--skip-stage", "executor")
    assert orchestrate(*again, cwd=tmp_path).code == 3
    checkpoint = tmp_path / "out" / CHECKPOINT
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    after_a_power_cut(tmp_path)
    assert orchestrate("out", "--resume", *PASSING, cwd=tmp_path).code == 0
    kept = checkpoint_of(tmp_path / "out")
    assert ("allow_empty" in kept, kept["skip_stages"]) == (False, ["executor"])
    assert report_of(tmp_path / "out")["closure_ready"] is True


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((*BOTH, "--skip-stage", "executor"), "the stage has a binary, and is not passed over"),
        (("--skip-stage", "executer"), "has no such stage; did you mean 'executor'?"),
    ],
    ids=["has a binary", "unknown"],
)
def test_senseless_skip_is_refused(tmp_path: Path, options: tuple[str, ...], why: str) -> None:
    """Nothing is written, and no stage that could run is skipped."""
    refused = orchestrate("out", *PASSING, *options, cwd=tmp_path)
    assert (refused.code, why in refused.stderr) == (2, True), refused.stderr
    assert tree_of(tmp_path) == {}


def test_config_file_says_it_and_is_printed_so(tmp_path: Path) -> None:
    """Both keys have the names of the options."""
    (tmp_path / "run.toml").write_text('skip_stages = ["executor"]\nallow_empty = true\n')
    printed = orchestrate("out", "--config", "run.toml", "--print-config", cwd=tmp_path)
    table = table_of(printed.stdout.encode())
    assert (table["skip_stages"], table["allow_empty"]) == (["executor"], True)
    assert orchestrate("out", *PASSING, *MANAGER, "--config", "run.toml", cwd=tmp_path).code == 0
    assert report_of(tmp_path / "out")["closure_ready"] is True
    shown = orchestrate("config", "show", "out", cwd=tmp_path).stdout
    assert "skip_stages" in shown
