"""`explain`: a stranger to the run learns what happened, why, and what to type."""

from __future__ import annotations

import re
import shlex
import signal
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.explanation.explanation import Fact, StageFate
from fsm_orchestrator.explanation.facts import FactName
from fsm_orchestrator.inspection.inspected_run import inspect_run
from fsm_orchestrator.rendering.html.environment import page_environment
from fsm_orchestrator.vocabulary import Standing
from tests.explanation.explain_cases import (
    CASES,
    ONCE,
    SCREEN_COLUMNS,
    SCREEN_LINES,
    begun,
    explained,
    typed,
)
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    orchestrate,
    report_of,
    shell,
    spawned,
    stages,
    start,
)
from tests.support.patience import PATIENCE_SECONDS, wait_until


@pytest.mark.parametrize("name", CASES)
def test_first_screen_says_what_happened_why_and_what_to_type(name: str, tmp_path: Path) -> None:
    """A dozen lines of 80 columns suffice, and the command in them works."""
    case = CASES[name]
    case.arrange(tmp_path)
    screen, explanation = explained(tmp_path)
    first = screen.splitlines()[:SCREEN_LINES]
    assert explanation.standing is case.standing
    text = re.sub(r"\s+", " ", " ".join(first))
    for words in case.says:
        assert words in text, screen
    long_words = [line for line in first if len(line) > SCREEN_COLUMNS and " " in line.strip()]
    assert [line for line in long_words if str(tmp_path) not in line] == [], screen
    command = typed(screen)
    assert tuple(command) == (explanation.next_step.words or ())[1:]
    case.repair(tmp_path)
    again = orchestrate(*command, cwd=tmp_path)
    assert again.code == case.code_then, again.stdout
    assert tuple(spawned(report_of(tmp_path / "out"))) == case.runs_then
    would_run = re.findall(r"^run (.*?) \(", "\n".join(explanation.next_step.would), re.MULTILINE)
    would_run = [name for one in would_run for name in one.split(" and ")]
    would_fail = [one for one in explanation.next_step.would if one.startswith("fail in ")]
    if case.would_fail_in is None:
        assert (tuple(would_run), would_fail) == (case.runs_then, [])
    else:
        assert [one.split()[2] for one in would_fail] == [case.would_fail_in]


def test_done_run_needs_nothing(tmp_path: Path) -> None:
    """A run that may be closed needs no command."""
    begun(*PASSING, *stages(), code=0)(tmp_path)
    screen, explanation = explained(tmp_path)
    assert explanation.standing is Standing.DONE
    assert explanation.next_step.words is None
    assert "nothing is left to do" in screen
    assert [one.fate for one in explanation.stages] == [StageFate.SUCCEEDED] * 2


def test_done_run_without_its_artifact_is_not_called_closable(tmp_path: Path) -> None:
    """An artifact that went missing since is noticed despite the report, until it is put back."""
    options = (*stages("echo {} > a.json"), "--manager-expected-artifact", "a.json")
    begun(*PASSING, *options, code=0)(tmp_path)
    (tmp_path / "a.json").rename(tmp_path / "b.json")
    screen, explanation = explained(tmp_path)
    assert explanation.standing is Standing.NOT_CLOSABLE
    assert "a.json" in screen
    (tmp_path / "b.json").rename(tmp_path / "a.json")
    again = orchestrate("out", "--resume", cwd=tmp_path)
    assert again.code == 0
    assert report_of(tmp_path / "out")["closure_ready"] is True


def test_artifact_with_other_bytes_is_told(tmp_path: Path) -> None:
    """A valid artifact other than the recorded one is reported, and keeps the run open."""
    options = (*stages("echo {} > a.json"), "--manager-expected-artifact", "a.json")
    begun(*PASSING, *options, code=0)(tmp_path)
    (tmp_path / "a.json").write_text("[]")
    screen, explanation = explained(tmp_path)
    assert explanation.next_step.words is not None
    assert "changed: " in re.sub(r"\s+", " ", screen)


def test_values_that_are_gone_are_asked_for_by_name(tmp_path: Path) -> None:
    """Without the private file the command has a placeholder for each value, and works with it."""
    script = ONCE + "exit 1; }; test ${#MODE} = 12"
    begun(*PASSING, *stages(script), "--manager-env", "MODE=secret-value", code=1)(tmp_path)
    for path in (tmp_path / "state").rglob("*.json"):
        path.unlink()
    screen, _ = explained(tmp_path)
    assert "secret-value" not in screen
    command = typed(screen)
    assert command[-2:] == ["--manager-env", "MODE=VALUE"]
    again = orchestrate(*command[:-1], "MODE=secret-value", cwd=tmp_path)
    assert again.code == 0, again.stdout


def test_checkpoint_that_cannot_be_used_offers_no_resume(tmp_path: Path) -> None:
    """A damaged checkpoint is named with the reason, and no command that would fail is offered."""
    begun(*PASSING, *stages("exit 1"), code=1)(tmp_path)
    (tmp_path / "out" / CHECKPOINT).write_text("{}")  # no power cut leaves this
    screen, explanation = explained(tmp_path)
    assert explanation.next_step.words is None
    assert CHECKPOINT in screen
    assert "restore a good checkpoint" in re.sub(r"\s+", " ", screen)


def test_run_of_which_nothing_could_be_kept(tmp_path: Path) -> None:
    """A run whose first checkpoint could not be written has to begin again."""
    (tmp_path / "out" / CHECKPOINT).mkdir(parents=True)
    begun(*PASSING, *stages(), code=1)(tmp_path)
    screen, explanation = explained(tmp_path)
    assert explanation.next_step.words is None
    assert "checkpoint.persist" in screen
    assert "type the whole command" in re.sub(r"\s+", " ", screen)


def test_refused_resume_is_explained_from_its_report(tmp_path: Path) -> None:
    """A directory with only the report of a refusal explains what was refused and why."""
    (tmp_path / "out").mkdir()
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
    screen, explanation = explained(tmp_path)
    assert explanation.standing is Standing.FAILED
    assert "there is nothing to resume" in re.sub(r"\s+", " ", screen)
    assert explanation.next_step.words is None


def test_earlier_run_is_explained_and_not_resumed(tmp_path: Path) -> None:
    """An archived run explains its end with its own files, and has to be restored first."""
    begun(*PASSING, *stages("echo why >&2; exit 9"), "--run-id", "first", code=1)(tmp_path)
    begun(*PASSING, *stages(), "--run-id", "second", code=0)(tmp_path)
    screen, explanation = explained(tmp_path, "--run-id", "first")
    assert explanation.run_id == "first"
    assert explanation.next_step.words == ("fsm-orchestrator", "restore", "out", "first")
    assert "out/archive/first/logs/manager.1.stderr.log" in screen
    assert "| why" in screen
    assert orchestrate("explain", "out", "--run-id", "third", cwd=tmp_path).code == 2


def test_archived_run_is_not_held_against_later_artifacts(tmp_path: Path) -> None:
    """An artifact that a later run changed does not count against an archived one."""
    for run_id in ("first", "second"):
        options = (*stages(f"echo {{}} > a.json; echo {run_id} > b"), "--run-id", run_id)
        expected = ("--manager-expected-artifact", "a.json", "--manager-expected-artifact", "b")
        begun(*PASSING, *options, *expected, code=0)(tmp_path)
    _, explanation = explained(tmp_path, "--run-id", "first")
    assert explanation.standing is Standing.DONE


def test_directory_named_like_a_command_is_typed_so_that_it_is_none(tmp_path: Path) -> None:
    """The next command of a run in `./status` resumes it, and does not ask for a status."""
    assert orchestrate("./status", *stages(), cwd=tmp_path).code == 3
    screen = orchestrate("explain", "status", cwd=tmp_path).stdout
    assert orchestrate(*typed(screen), cwd=tmp_path).code == 0


def test_stage_sent_back_for_rework_says_so(tmp_path: Path) -> None:
    """An attempt after requested rework is not called one after a failure."""
    reviewer = shell("reviewer", "test -e once || { touch once; exit 10; }")
    options = (*stages(), *reviewer, "--lifecycle", "reviewed_run")
    begun(*PASSING, *options, code=0)(tmp_path)
    _, explanation = explained(tmp_path)
    (executor,) = (one for one in explanation.stages if one.stage == "executor")
    reasons = [
        {fact.name.value: fact.value for fact in one.facts}["why"] for one in executor.attempts
    ]
    assert reasons == ["first attempt", "sent back for rework"]


def test_stage_is_explained_field_by_field(tmp_path: Path) -> None:
    """Each attempt of every invocation has its command, directory, end, artifacts and digests."""
    script = f"echo {{}} > a.json; {ONCE} exit 1; }}"
    options = (*stages("exit 0", script), "--executor-expected-artifact", "a.json")
    begun(*PASSING, *options, code=1)(tmp_path)
    begun("--resume", "--manager-bin", "/bin/sh", "--manager-arg", "-c", "--manager-arg", "exit 0",
          code=0)(tmp_path)  # fmt: skip
    brief, explanation = explained(tmp_path)
    manager, executor = explanation.stages
    assert (manager.fate, executor.fate) == (StageFate.SKIPPED, StageFate.SUCCEEDED)
    assert [(one.invocation, one.attempt) for one in executor.attempts] == [(1, 1), (2, 2)]
    facts = [{fact.name.value: fact.value for fact in one.facts} for one in executor.attempts]
    assert facts[0]["exit code"] == "1"
    assert facts[1]["why"] == "attempt 1 did not complete it"
    assert re.search(r"a\.json\n3 bytes, sha256 [0-9a-f]{64}", facts[1]["artifact"])
    assert "attempt 2: success" not in brief
    screen = orchestrate("explain", "out", "--all", cwd=tmp_path).stdout
    assert "invocation 2, attempt 2: success" in screen


def test_run_at_work_is_explained_while_it_works(tmp_path: Path) -> None:
    """While a stage runs the screen names it, its process and the commands to see and end it."""
    process = start("out", *PASSING, *stages("echo go; exec sleep 60"), cwd=tmp_path)
    try:
        log = tmp_path / "out" / "logs" / "manager.1.stdout.log"
        wait_until(lambda: log.exists() and log.stat().st_size)
        screen = orchestrate("explain", "out", cwd=tmp_path).stdout
        assert re.match("[→>] working: ", screen)
        assert "stage manager, attempt 1, is at work" in screen
        assert typed(screen) == ["logs", "out", "--follow"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE_SECONDS)


def test_hostile_output_cannot_drive_the_terminal(tmp_path: Path) -> None:
    """Output and paths of a stage are shown without their control characters."""
    script = "printf '\\033]0;owned\\007\\033[2J evil\\n' >&2; exit 1"
    begun(*PASSING, *stages(script), code=1)(tmp_path)
    screen, _ = explained(tmp_path)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", screen)
    assert "\\x1b]0;owned" in screen


def test_lifecycle_with_a_spent_loop_says_so(tmp_path: Path) -> None:
    """One request for rework too many is the cause, and its findings are named."""
    reviewer = shell("reviewer", "echo findings; exit 10")
    options = (*stages(), *reviewer, "--lifecycle", "reviewed_run")
    ended = orchestrate("out", *PASSING, *options, cwd=tmp_path)
    assert ended.code != 0
    screen, explanation = explained(tmp_path)
    assert explanation.standing in {Standing.FAILED, Standing.BLOCKED}
    assert "rework" in screen


def test_refusal_keeps_its_lines(tmp_path: Path) -> None:
    """A refusal of several lines is quoted line by line: the stage, and its differences below."""
    wanted = ("--manager-expected-artifact", "plan.json")
    begun(*PASSING, *stages("echo 1 > plan.json", "exit 1"), *wanted, code=1)(tmp_path)
    (tmp_path / "plan.json").unlink()
    screen, explanation = explained(tmp_path)
    refusal = explanation.next_step.remedies[-1].splitlines()
    assert len(refusal) > 2
    first, *others = refusal[:-1]
    assert "".join([f"  do    {first}\n", *(f"        {line}\n" for line in others)]) in screen
    in_full = orchestrate("explain", "out", "--all", cwd=tmp_path).stdout
    assert "".join(f"  {line}\n" for line in refusal[:-1]) in in_full


@pytest.mark.parametrize("words", [("explain", "nowhere"), ("explain", "."), ("explain",)])
def test_what_is_no_run_is_refused(words: tuple[str, ...], tmp_path: Path) -> None:
    """A directory that is missing or has no run is reported as such, and nothing is made."""
    ended = orchestrate(*words, cwd=tmp_path)
    assert ended.code in {1, 2}
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_view_of_a_run_counts_all_invocations(tmp_path: Path) -> None:
    """The number of invocations is that of the started commands."""
    begun(*PASSING, *stages("exit 1"), code=1)(tmp_path)
    begun("--resume", code=1)(tmp_path)
    assert len(inspect_run(tmp_path / "out").invocations) == 2


def test_plan_says_what_it_compared_and_what_to_type(tmp_path: Path) -> None:
    """A planned skip names what is unchanged and its artifacts, and the command does the plan."""
    options = (*stages("echo {} > a.json", f"{ONCE} exit 1; }}"),)
    begun(*PASSING, *options, "--manager-expected-artifact", "a.json", code=1)(tmp_path)
    ended = orchestrate("plan", "out", "--all", "--resume", cwd=tmp_path)
    assert re.search(
        r"unchanged +command, args, cwd, environment, expected artifacts", ended.stdout
    )
    assert re.search(r"artifact +\S+/a\.json, sha256 [0-9a-f]{12}", ended.stdout)
    command = re.search(r"to run this:\n +(.*)\n", ended.stdout)
    assert command is not None
    assert orchestrate(*shlex.split(command[1])[1:], cwd=tmp_path).code == 0


def test_plan_never_shows_a_secret(tmp_path: Path) -> None:
    """The command of a plan is left out if it would show a secret."""
    words = ("plan", "out", *PASSING, *stages(), "--manager-env", "TOKEN=secret-value")
    ended = orchestrate(*words, cwd=tmp_path)
    assert "secret-value" not in ended.stdout + ended.stderr
    assert "the same command with `run`" in ended.stdout


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        (FactName.BEGAN, "2026-01-31T09:05:00.250Z", "time"),
        (FactName.STDERR, "2026-01-31T09:05:00.250Z", "pre"),
        (FactName.SIGNAL, "2026-01-31T09:05:00.250Z", "code"),
        (FactName.WHY, "first attempt", None),
        (FactName.MISSING, "a\nb", "pre"),
    ],
)
def test_page_shows_a_fact_by_its_name(name: FactName, value: str, form: str | None) -> None:
    """A value is shown by its name and not by its look: a printed time is quoted."""
    parts: Any = page_environment().get_template("parts.html").module
    shown = re.sub(r"\s+", " ", parts.facts([Fact(name=name, value=value)]))
    found = re.search(rf"<dt>{name.value}</dt><dd>(?:<(\w+)[^>]*> ?)?([^<]*)<", shown)
    assert found is not None, shown
    text = "2026-01-31 09:05:00.250 UTC" if form == "time" else value.replace("\n", " ")
    assert (found[1], found[2]) == (form, text)
