"""The differences between two runs, and those between their bytes that do not count."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.explanation.compared_facts import Looked
from fsm_orchestrator.explanation.comparing import compare
from fsm_orchestrator.explanation.comparison import Aspect, Difference, Value
from fsm_orchestrator.lifecycle.diff import DiffVerdict
from fsm_orchestrator.lifecycle.reading import read
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.checkpoint_reader import load
from fsm_orchestrator.vocabulary import Standing
from tests.support.command import PASSING, orchestrate, stages

Change = Callable[[dict[str, Any]], Any]
OTHER = "0" * 64


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Return the record of one run, from which others are made."""
    cwd = tmp_path_factory.mktemp("compared")
    (cwd / "given").write_text("1")
    artifact = ("--manager-expected-artifact", "out/plan")
    given = (*artifact, "--manager-input", "given", "--manager-env", "REGION=eu")
    subject = ("--subject-file", "given")
    words = ("./out", *PASSING, *stages("echo 1 > out/plan"), *given, *subject)
    assert orchestrate(*words, cwd=cwd).code == 0
    return load(cwd / "out")


def looked(record: Checkpoint, change: Change, standing: Standing = Standing.DONE) -> Looked:
    """Return the run of that record with something changed in it."""
    document = record.model_dump(mode="json")
    change(document)
    changed = Checkpoint.model_validate_json(json.dumps(document))
    return Looked("/work/out", changed, standing)


def first(document: dict[str, Any]) -> dict[str, Any]:
    """Return the first stage's execution in a checkpoint's document."""
    one: dict[str, Any] = document["invocations"][0]["stage_executions"][0]
    return one


def origin(document: dict[str, Any]) -> dict[str, Any]:
    """Return the origin of the run in a checkpoint's document."""
    one: dict[str, Any] = document["invocations"][0]["origin"]
    return one


def attempted_again(document: dict[str, Any]) -> None:
    """Have the first stage succeed with its second attempt."""
    first(document)["attempt"] = 2
    document["completions"][0]["attempt"] = 2


Told = tuple[Aspect, str | None, str, str | None, Value | None, Value | None]
CASES: list[tuple[Change, Told]] = [
    (
        lambda one: one["invocations"][0].update(exit_code=1),
        (Aspect.OUTCOME, None, "exit code", None, "0", "1"),
    ),
    (
        lambda one: one["invocations"][0]["transitions"].pop(),
        (
            *(Aspect.WAY, None, "states", None),
            *(("gating", "manager", "executor", "done"), ("gating", "manager", "executor")),
        ),
    ),
    (
        lambda one: first(one).update(exit_code=0, status="failed"),
        (Aspect.STAGES, "manager", "status", None, "success", "failed"),
    ),
    (
        lambda one: first(one).update(signal="SIGSEGV"),
        (Aspect.STAGES, "manager", "signal", None, None, "SIGSEGV"),
    ),
    (
        lambda one: first(one).update(missing_artifacts=[first(one)["artifacts"][0]["path"]]),
        (Aspect.STAGES, "manager", "missing", None, None, ("OUT/plan",)),
    ),
    (attempted_again, (Aspect.STAGES, "manager", "attempts", None, 1, 2)),
    (
        lambda one: one["subject"]["entries"][0]["digest"].update(sha256=OTHER),
        (Aspect.SUBJECT, None, "subject sha256", "./given", "<sha256>", OTHER),
    ),
    (
        lambda one: one["invocations"][0]["gate_decisions"][1].update(status="pending"),
        (Aspect.GATES, "ci", "status", None, "success", "pending"),
    ),
    (
        lambda one: one["stages"]["executor"].update(args=["-c", "exit 1"]),
        (
            *(Aspect.COMMANDS, "executor", "command", None),
            *(("/bin/sh", "-c", "exit 0"), ("/bin/sh", "-c", "exit 1")),
        ),
    ),
    (
        lambda one: one["stages"]["executor"].update(cwd="/elsewhere"),
        (Aspect.COMMANDS, "executor", "cwd", None, ".", "/elsewhere"),
    ),
    (
        lambda one: first(one)["program"][0].update(sha256=OTHER),
        (Aspect.PROGRAMS, "manager", "program", "/bin/sh", "<sha256>", OTHER),
    ),
    (
        lambda one: one["stages"]["manager"].update(timeout_ms=5000),
        (Aspect.SETTINGS, "manager", "timeout_ms", None, None, 5000),
    ),
    (
        lambda one: one["stages"]["manager"].update(kill_grace_ms=0),
        (Aspect.SETTINGS, "manager", "kill_grace_ms", None, None, 0),
    ),
    (
        lambda one: one.update(on_leak="fail"),
        (Aspect.SETTINGS, None, "on_leak", None, "warn", "fail"),
    ),
    (
        lambda one: one["stages"]["manager"]["env_digests"].update(TOKEN=OTHER),
        (Aspect.ENVIRONMENT, "manager", "variable", "TOKEN", None, True),
    ),
    (
        lambda one: one["stages"]["manager"]["secret_digests"].update(TOKEN=OTHER),
        (Aspect.ENVIRONMENT, "manager", "secret", "TOKEN", None, True),
    ),
    (
        lambda one: first(one)["inputs"][0].update(sha256=OTHER),
        (Aspect.INPUTS, "manager", "input", "./given", "<sha256>", OTHER),
    ),
    (
        lambda one: one["completions"][0]["artifacts"][0].update(sha256=OTHER),
        (Aspect.ARTIFACTS, "manager", "artifact", "OUT/plan", "<sha256>", OTHER),
    ),
    (
        lambda one: one["invocations"][0].update(version="9.9.9"),
        (Aspect.VERSIONS, None, "version", None, "0.1.0", "9.9.9"),
    ),
    (
        lambda one: origin(one).update(user="somebody-else"),
        (Aspect.HOST, None, "user", None, "<user>", "somebody-else"),
    ),
    (
        lambda one: first(one).update(duration_ms=60_000),
        (Aspect.DURATIONS, "manager", "duration_ms", None, "<duration>", 60_000),
    ),
]
ANY = {"<sha256>": str, "<user>": str, "<duration>": int}
"""The run's values that this test cannot know, by type."""


def told(one: Difference) -> Told:
    """Return a difference in a comparable form."""
    return one.aspect, one.part, one.what, one.name, one.a, one.b


@pytest.mark.parametrize(("change", "expected"), CASES, ids=[one[1][2] for one in CASES])
def test_each_difference_is_named(record: Checkpoint, change: Change, expected: Told) -> None:
    """A difference has its kind, subject and both values; only one in time decides nothing."""
    found = compare(looked(record, lambda _: None), looked(record, change))
    (one,) = found.differences
    *place, a, b = expected
    assert [*told(one)[:4], one.b] == [*place, b]
    assert isinstance(one.a, ANY[a]) if a in ANY else one.a == a
    assert one.decides is (one.aspect is not Aspect.DURATIONS)
    assert found.is_same is not one.decides
    assert found.compared == len(found.same) + 1


def test_record_is_the_same_as_itself_elsewhere(record: Checkpoint) -> None:
    """Id, times, place, and digests under another key are no differences."""

    def moved(document: dict[str, Any]) -> None:
        home = document["home"]
        text = json.dumps(document).replace(home["started_in"], "/srv/builds/17")
        document.update(json.loads(text))
        document["home"].update(inode=1, boot="another")
        document["run_id"] = "another"
        document["stages"]["manager"]["env_digests"]["REGION"] = OTHER
        document["invocations"][0]["started_at"] = "2001-01-01T00:00:00.000Z"
        first(document)["duration_ms"] += 700

    found = compare(looked(record, lambda _: None), looked(record, moved))
    assert found.differences == ()
    assert found.is_same
    assert set(found.same_aspects) == set(Aspect)


def test_sibling_of_a_directory_is_not_below_it(record: Checkpoint) -> None:
    """A path that only begins like the output directory is another one."""
    beside = record.home.directory + "-2/tool"

    def used(document: dict[str, Any]) -> None:
        document["stages"]["executor"]["args"] = [f"--log={record.home.directory}/log", beside]

    found = compare(looked(record, lambda _: None), looked(record, used))
    (one,) = found.differences
    assert one.b == ("/bin/sh", "--log=OUT/log", "./out-2/tool")


def test_other_lifecycle_is_judged(record: Checkpoint) -> None:
    """The digest differs, and the verdict is that of `diagram --diff`."""
    closure = read("closure_gated", Path())

    def followed(document: dict[str, Any]) -> None:
        document["lifecycle"] = closure.model_dump(mode="json")
        document["lifecycle_sha256"] = closure.sha256

    found = compare(looked(record, lambda _: None), looked(record, followed))
    assert found.lifecycle_change is DiffVerdict.LOOSENS
    names = [one.what for one in found.differences_in(Aspect.LIFECYCLE)]
    assert names == ["lifecycle", "lifecycle sha256"]


def test_outcome_comes_first_and_durations_last(record: Checkpoint) -> None:
    """The worst differences come first, whatever comes first in the record."""

    def worse(document: dict[str, Any]) -> None:
        first(document).update(duration_ms=60_000, status="failed")
        document["invocations"][0].update(exit_code=1, version="9.9.9")

    found = compare(looked(record, lambda _: None), looked(record, worse, Standing.FAILED))
    aspects = [one.aspect for one in found.differences]
    assert aspects[:2] == [Aspect.OUTCOME, Aspect.OUTCOME]
    assert aspects[2:] == [Aspect.STAGES, Aspect.VERSIONS, Aspect.DURATIONS]
