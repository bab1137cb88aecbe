from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fsm_orchestrator import run
from fsm_orchestrator.cli.request import request_from
from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.config.stage_record import (
    StageRecord,
    env_digest,
    record_of,
    settings_of,
)
from fsm_orchestrator.config.stage_settings import StageSettings, given_settings
from fsm_orchestrator.errors import CheckpointError, UsageError
from fsm_orchestrator.lifecycle.reading import shipped
from fsm_orchestrator.model.limits import GivenLimits
from fsm_orchestrator.preparation.changes import differences
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.preparation.prepare import prepare, prepare_run
from fsm_orchestrator.preparation.resume import prepare_resume
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import (
    DEFAULT_TIMEOUT_MS,
    MILLISECONDS_MAX,
    ExecutionMode,
    Gate,
    GateSource,
    OnChangedStage,
    Trigger,
)
from tests.support.command import tree_of

LIFECYCLE = shipped("governed_run")
GATES = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
PLAIN = Masker(())
KEY = b"k" * 32
VALUE = "open-sesame-1"
REFUSED = (UsageError, ValidationError)
"""What a whole configuration is refused with, and what a part of it is."""
KEPT = StageSettings(
    command="/bin/old",
    args=("old", "arguments"),
    cwd="/old",
    env={"KEPT": "kept value", "CHANGED": "old value"},
    expected_artifacts=("/old/one", "/old/two"),
    limits=GivenLimits(timeout_ms=1000),
    allow_stale=True,
)


def config(**given_now: Any) -> RunConfig:
    """What was given for the manager, from the directory /here."""
    return RunConfig(
        output_directory="out",
        directory="/here",
        stages={"manager": StageGiven(**given_now)},
    )


def merged(kept: StageSettings | None, **given_now: Any) -> StageSettings:
    """The manager's settings: `kept` ones, overlaid by those given now."""
    known = {} if kept is None else {"manager": kept}
    return given_settings(config(**given_now), LIFECYCLE, known)["manager"]


def recorded(of: StageSettings, masker: Masker = PLAIN) -> StageRecord:
    """What the checkpoint keeps."""
    return record_of(of, masker, KEY, None)


# -- what counts: given now, else kept, else the default ------------------------------------


def test_what_is_not_given_is_kept() -> None:
    """Nothing given: the kept settings stand, and a stage without any has none."""
    found = given_settings(
        RunConfig(output_directory="out", directory="/here"), LIFECYCLE, {"executor": KEPT}
    )
    assert found == {"executor": KEPT}


@pytest.mark.parametrize(
    ("given_now", "expected"),
    [
        ({"args": ("new",)}, {"args": ("new",)}),
        ({"args": ()}, {"args": ()}),
        (
            {"env": {"CHANGED": "new value", "ADDED": ""}},
            {"env": {"KEPT": "kept value", "CHANGED": "new value", "ADDED": ""}},
        ),
        ({"expected_artifacts": ("a",)}, {"expected_artifacts": ("/here/a",)}),
        ({"expected_artifacts": ()}, {"expected_artifacts": ()}),
        ({"timeout_ms": 5}, {"limits": GivenLimits(timeout_ms=5)}),
        ({"slow_after_ms": 5}, {"limits": GivenLimits(timeout_ms=1000, slow_after_ms=5)}),
        ({"cwd": "there"}, {"cwd": "/here/there"}),
        ({"allow_stale": False}, {"allow_stale": False}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_each_setting_given_now_replaces_its_own(
    given_now: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Lists are replaced whole, environment by key, and nothing else changes."""
    assert merged(KEPT, **given_now) == replace(KEPT, **expected)


def test_a_binary_redeclares_its_stage_whole() -> None:
    """With a binary given, nothing kept counts any more; what is given beside it does."""
    assert merged(KEPT, bin="/bin/new", args=("x",)) == StageSettings(
        command="/bin/new", args=("x",), cwd="/here"
    )
    assert merged(KEPT, bin="/bin/old") == StageSettings(command="/bin/old", args=(), cwd="/here")


def test_settings_of_one_stage_leave_the_other_alone() -> None:
    """Each stage is merged by itself."""
    found = given_settings(config(timeout_ms=7), LIFECYCLE, {"manager": KEPT, "executor": KEPT})
    assert found == {"manager": replace(KEPT, limits=GivenLimits(timeout_ms=7)), "executor": KEPT}


@pytest.mark.parametrize(
    "given_now",
    [{"args": ()}, {"env": {"A": "b"}}, {"timeout_ms": 1}, {"cwd": "x"}, {"allow_stale": True}],
    ids=lambda value: next(iter(value)),
)
def test_settings_without_a_binary_are_refused(given_now: dict[str, Any]) -> None:
    """A stage that is configured but cannot run is a mistake; the remedy names the option."""
    with pytest.raises(UsageError, match="manager") as caught:
        merged(None, **given_now)
    assert "--manager-bin" in caught.value.remedy


def test_an_unknown_stage_is_refused() -> None:
    """Settings for a stage that the lifecycle does not have name it, and those it has."""
    wrong = RunConfig(output_directory="out", stages={"reviewer": StageGiven(bin="true")})
    with pytest.raises(UsageError, match="reviewer") as caught:
        given_settings(wrong, LIFECYCLE, {})
    assert "manager, executor" in caught.value.remedy


# -- paths ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("true", "true"),
        ("./true", "/here/true"),
        ("tools/true", "/here/tools/true"),
        ("/bin/true", "/bin/true"),
    ],
)
def test_a_binary_with_a_slash_is_made_absolute_and_a_bare_name_stays(
    typed: str, expected: str
) -> None:
    """A path is the operator's, a bare name is looked up on PATH when it is started."""
    assert merged(None, bin=typed).command == expected


def test_paths_are_relative_to_the_operators_directory() -> None:
    """OUT, artifacts and directory of a stage become absolute; an artifact counts once."""
    found = merged(None, bin="true", cwd="w", expected_artifacts=("b", "/x/a", "./b", "b"))
    assert (found.cwd, found.expected_artifacts) == ("/here/w", ("/here/b", "/x/a"))
    assert config().output_path == Path("/here/out")
    assert RunConfig(output_directory="out").output_path == Path.cwd() / "out"


def test_a_path_through_a_link_names_the_file_that_the_stage_names(tmp_path: Path) -> None:
    """`link/../file` is what the operating system says it is, not what the text looks like."""
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/deep")
    (tmp_path / "far" / "file").write_text("the one meant")
    here = RunConfig(output_directory="out", directory=str(tmp_path))
    meant = os.path.join(tmp_path, "link/../file")
    assert os.path.samefile(meant, tmp_path / "far" / "file")
    assert os.path.realpath(here.absolute("link/../file")) == os.path.realpath(meant)


# -- what the checkpoint keeps --------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@settings(deadline=None)
@given(
    args=st.lists(TEXT, max_size=4),
    artifacts=st.lists(TEXT, max_size=3),
    timeout_ms=st.none() | st.integers(1, MILLISECONDS_MAX),
    allow_stale=st.booleans(),
)
def test_settings_without_environment_come_back_from_the_checkpoint_as_they_were(
    args: list[str], artifacts: list[str], timeout_ms: int | None, *, allow_stale: bool
) -> None:
    """Record, JSON, record, settings: nothing is lost or changed."""
    before = StageSettings(
        command="/bin/x",
        args=tuple(args),
        cwd="/w",
        expected_artifacts=tuple(artifacts),
        limits=GivenLimits(timeout_ms=timeout_ms),
        allow_stale=allow_stale,
    )
    text = recorded(before).model_dump_json()
    assert settings_of(StageRecord.model_validate_json(text)) == before


def test_a_record_holds_no_environment_value() -> None:
    """Only a keyed digest of each pair is kept: not the value, not a digest anybody can repeat."""
    of = replace(KEPT, args=("-t", f"x{VALUE}y"), env={"TOKEN": VALUE})
    kept = recorded(of, Masker([VALUE]))
    assert VALUE not in kept.model_dump_json()
    assert (kept.args, kept.is_masked) == (("-t", "x***y"), True)
    plain = {hashlib.sha256(text.encode()).hexdigest() for text in (VALUE, f"TOKEN={VALUE}")}
    assert set(kept.env_digests.values()).isdisjoint(plain)
    again = settings_of(kept)
    assert (again.missing_values, again.is_complete) == (("TOKEN",), False)


def test_digests_tell_equal_pairs_and_nothing_more() -> None:
    """Equal under the same key; another value, name or key gives another digest."""
    one = env_digest(KEY, "A", "1")
    assert env_digest(KEY, "A", "1") == one
    others = [env_digest(KEY, "A", "2"), env_digest(KEY, "B", "1"), env_digest(b"l" * 32, "A", "1")]
    assert one not in others
    assert len(set(others)) == 3


def test_a_lost_value_keeps_its_digest() -> None:
    """Where only the key of a pair is known, the recorded digest stands: no change is invented."""
    before = recorded(KEPT)
    after = record_of(settings_of(before), PLAIN, b"another key" * 3, before)
    assert after == before


# -- differences ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"command": "/bin/new"}, ("command", "/bin/old", "/bin/new")),
        ({"args": ("new",)}, ("args", "'arguments'", "'new'")),
        ({"args": ("arguments", "old")}, ("args", "['old', 'arguments']")),
        ({"cwd": "/new"}, ("cwd", "/old", "/new")),
        ({"expected_artifacts": ("/new",)}, ("expected artifacts", "/old/two", "/new")),
        ({"env": {**KEPT.env, "ADDED": VALUE}}, ("environment", "ADDED", "not set")),
        ({"env": {"KEPT": "kept value"}}, ("environment", "CHANGED", "is not now")),
        ({"env": {**KEPT.env, "CHANGED": VALUE}}, ("environment", "CHANGED", "another value")),
    ],
)
def test_each_difference_is_told_in_one_line(
    change: dict[str, Any], shown: tuple[str, ...]
) -> None:
    """What differs is named with both sides; environment values are not shown."""
    (found,) = differences(recorded(KEPT), recorded(replace(KEPT, **change)), PLAIN)
    line = found.sentence
    for words in shown:
        assert words in line
    assert VALUE not in line
    assert "old value" not in line


def test_all_differences_are_told() -> None:
    """Everything that differs is in one list, and nothing else."""
    changed = replace(KEPT, command="/n", args=(), cwd="/n", env={}, expected_artifacts=())
    found = differences(recorded(KEPT), recorded(changed), PLAIN)
    assert [change.field for change in found] == [
        *("command", "args", "cwd", "expected artifacts", "environment", "environment")
    ]


def test_how_long_a_stage_may_take_is_no_difference() -> None:
    """Equal settings do not differ, and neither do those that change nothing of the result."""
    longer = replace(KEPT, limits=GivenLimits(timeout_ms=2000), allow_stale=False)
    assert differences(recorded(KEPT), recorded(KEPT), PLAIN) == ()
    assert differences(recorded(KEPT), recorded(longer), PLAIN) == ()


def test_an_argument_that_is_secret_only_now_is_no_difference_and_not_shown() -> None:
    """Arguments are compared and shown as masked by what is known now."""
    before = recorded(replace(KEPT, args=(VALUE, "x")))
    masker = Masker([VALUE])
    now = recorded(replace(KEPT, args=(VALUE, "x")), masker)
    assert differences(before, now, masker) == ()
    (found,) = differences(before, recorded(replace(KEPT, args=(VALUE, "y")), masker), masker)
    assert VALUE not in found.sentence


# -- RunConfig ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "build",
    [
        lambda text: StageGiven(bin=text),
        lambda text: StageGiven(args=("fine", text)),
        lambda text: StageGiven(env={"KEY": text}),
        lambda text: StageGiven(env={text: "fine"}),
        lambda text: StageGiven(expected_artifacts=(text,)),
        lambda text: StageGiven(cwd=text),
        lambda text: RunConfig(output_directory=text),
        lambda text: RunConfig(output_directory="out", directory=text),
        lambda text: RunConfig(output_directory="out", lifecycle=text),
    ],
    ids=["bin", "args", "env", "env key", "artifact", "cwd", "OUT", "directory", "lifecycle"],
)
def test_text_that_no_process_could_be_given_is_refused(build: Callable[[str], object]) -> None:
    """NUL and what is not UTF-8 are refused everywhere; anything else is somebody's text."""
    for wrong in ("a\0b", "\0", "a\udcffb"):
        with pytest.raises(REFUSED):
            build(wrong)
    for fine in (" ", "-c", "--", "a\nb\n", "ünïcode 🙂", "\x01\x7f"):
        build(fine)


def test_empty_text_is_refused_where_it_names_something() -> None:
    """An empty argument or value is one; an empty path or key is a mistake."""
    StageGiven(args=("",), env={"KEY": ""})
    for wrong in ({"bin": ""}, {"cwd": ""}, {"expected_artifacts": ("",)}, {"env": {"": "x"}}):
        with pytest.raises(ValidationError):
            StageGiven.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_ms": VALUE},
        {"kill_grace_ms": VALUE},
        {"run_id": f"-{VALUE}"},
        {"run_id": f"{VALUE}\n"},
        {"run_id": f"{VALUE}{'x' * 64}"},
        {"gates": {"policy": VALUE}},
        {"on_changed_stage": VALUE},
        {"fixed_clock": VALUE},
        {"rerun": (VALUE.upper(),)},
        {"stages": {"manager": {"timeout_ms": VALUE}}},
        {"stages": {"manager": {"env": {"KEY": f"{VALUE}\0"}}}},
        {"stages": {"manager": {"args": VALUE}}},
        {"stages": {"manager": {"env": [f"TOKEN={VALUE}"]}}},
        {"stages": {"manager": {"env": {f"TOKEN={VALUE}": ""}}}},
    ],
    ids=str,
)
def test_a_bad_value_is_refused_and_not_echoed(wrong: dict[str, Any]) -> None:
    """What is wrong is said without the value: it may be a secret in the wrong place."""
    with pytest.raises(UsageError) as caught:
        RunConfig.model_validate({"output_directory": "out", **wrong})
    assert VALUE.lower() not in f"{caught.value}{caught.value!r}".lower()


def test_a_bad_value_of_a_stage_alone_is_not_echoed() -> None:
    """Also where pydantic's own error is what the caller sees."""
    with pytest.raises(ValidationError) as caught:
        StageGiven.model_validate({"timeout_ms": VALUE, "env": {"KEY": f"{VALUE}\0"}})
    assert VALUE not in f"{caught.value}{caught.value!r}"


@pytest.mark.parametrize(
    ("wrong", "name"),
    [({"resumed": True}, "resumed"), ({"stages": {"manager": {"argumens": ("x",)}}}, "argumens")],
)
def test_an_unknown_key_is_refused_by_name(wrong: dict[str, Any], name: str) -> None:
    """What is not understood is refused, never passed over."""
    with pytest.raises(UsageError, match=name):
        RunConfig.model_validate({"output_directory": "out", **wrong})


def test_milliseconds_have_their_bounds() -> None:
    """A time-out is 1 to 2147483647 whole milliseconds; a grace may be none at all."""
    for right in (1, MILLISECONDS_MAX):
        assert RunConfig(output_directory="o", timeout_ms=right).timeout_ms == right
    for wrong in (0, -1, MILLISECONDS_MAX + 1, 1.5):
        with pytest.raises(UsageError, match="timeout_ms"):
            RunConfig.model_validate({"output_directory": "o", "timeout_ms": wrong})
        with pytest.raises(ValidationError):
            StageGiven.model_validate({"timeout_ms": wrong})
    assert RunConfig(output_directory="o", kill_grace_ms=0).kill_grace_ms == 0


def test_a_configuration_cannot_be_changed() -> None:
    """What was given stays as it was given."""
    with pytest.raises(ValidationError, match="frozen"):
        config().resume = True  # type: ignore[misc]  # its refusal is what is tested


def test_options_become_a_configuration_value_by_value() -> None:
    """What was not given is None; pairs become a mapping in which the last of a key wins."""
    absent: dict[str, Any] = {"timeout_ms": None, "rerun": (), "resume": False, "gate_ci": None}
    given_now = {"output_directory": "out", "gate_policy": "deny"}
    stage = {"stage_bin__manager": "x", "stage_env__manager": (("A", "1"), ("A", "2"))}
    found = request_from({**absent, **given_now, **stage}).config
    assert (found.timeout_ms, found.rerun, found.resume) == (None, (), False)
    assert found.gates == {Gate.POLICY: "deny"}
    assert found.stages == {"manager": StageGiven(bin="x", env={"A": "2"})}


def test_a_grace_of_nothing_is_a_value_that_was_given() -> None:
    """`--kill-grace-ms 0` means SIGKILL at once; it is not the same as no grace given."""
    found = request_from({"output_directory": "out", "kill_grace_ms": 0}).config
    assert found.kill_grace_ms == 0


# -- what a resume would do -----------------------------------------------------------------


def half_done(directory: Path, **executor: Any) -> RunConfig:
    """A run whose manager completed and whose executor failed; the configuration to resume it."""
    failing = {"bin": "/bin/sh", "args": ("-c", "exit 1"), **executor}
    begun = RunConfig(
        output_directory="out",
        directory=str(directory),
        gates=GATES,
        stages={"manager": StageGiven(bin="true"), "executor": StageGiven(**failing)},
        timeout_ms=20_000,
    )
    assert run(begun).exit_code == 1
    return RunConfig(output_directory="out", directory=str(directory), resume=True)


def prepared(resume: RunConfig, **given_now: Any) -> Preparation:
    """The decision on a resume; nothing was written for it."""
    before = tree_of(Path(resume.directory))
    try:
        return prepare_resume(resume.model_copy(update=given_now))
    finally:
        assert tree_of(Path(resume.directory)) == before


def test_a_resume_is_decided_from_the_checkpoint_and_what_is_given(tmp_path: Path) -> None:
    """Kept signals are the checkpoint's, given ones the flag's; history is kept; it is resumed."""
    resume = half_done(tmp_path)
    found = prepared(resume, gates={Gate.CI: "pending"}, kill_grace_ms=0)

    draft = found.checkpoint
    assert (found.first_trigger, found.leftover, found.archives) == (Trigger.RESUME, None, False)
    assert [(one.status, one.source) for one in draft.gate_signals] == [
        ("allow", GateSource.CHECKPOINT),
        ("pending", GateSource.FLAG),
        ("approved", GateSource.CHECKPOINT),
    ]
    first, now = draft.invocations
    assert (first.number, now.number, now.execution_mode) == (1, 2, ExecutionMode.RESUME)
    assert (now.transitions, now.stage_executions, now.gate_decisions) == ((), (), ())
    assert (draft.timeout_ms, draft.kill_grace_ms) == (20_000, 0)
    assert [one.stage for one in draft.completions] == ["manager"]


def test_the_narrowest_time_out_counts(tmp_path: Path) -> None:
    """A stage's own, else the run's, else the default; kept ones count like given ones."""
    resume = half_done(tmp_path, timeout_ms=5_000)
    kept = prepared(resume)
    assert kept.limits_of("manager").timeout_ms == 20_000
    assert kept.limits_of("executor").timeout_ms == 5_000
    now = prepared(resume, timeout_ms=7_000)
    assert now.limits_of("manager").timeout_ms == 7_000
    new = RunConfig(
        output_directory="new",
        directory=str(tmp_path),
        stages={"manager": StageGiven(bin="true")},
    )
    assert prepare_run(new).limits_of("manager").timeout_ms == DEFAULT_TIMEOUT_MS


@pytest.mark.parametrize(
    ("asked", "completed", "noted"),
    [(("manager",), (), ("manager",)), (("executor",), ("manager",), ())],
    ids=["manager", "executor"],
)
def test_a_rerun_takes_back_the_completions_from_its_stage_on(
    tmp_path: Path, asked: tuple[str, ...], completed: tuple[str, ...], noted: tuple[str, ...]
) -> None:
    """Completions before it stay; noted as run again is only what had completed."""
    draft = prepared(half_done(tmp_path), rerun=asked).checkpoint
    assert tuple(one.stage for one in draft.completions) == completed
    assert draft.invocation.rerun == noted


def test_a_kept_stage_keeps_what_it_completed_with(tmp_path: Path) -> None:
    """`keep` leaves settings and record of the completed stage alone and warns of the change."""
    resume = half_done(tmp_path)
    changed = {"manager": StageGiven(bin="/bin/false")}
    found = prepared(resume, stages=changed, on_changed_stage=OnChangedStage.KEEP)
    assert found.settings["manager"].command == "true"
    assert found.checkpoint.stages["manager"].command == "true"
    (warning,) = found.checkpoint.invocation.warnings
    assert "manager" in warning
    assert "/bin/false" in warning


@pytest.mark.parametrize(
    ("given_now", "words"),
    [
        ({"stages": {"manager": StageGiven(args=("new",))}}, "manager"),
        ({"run_id": "other"}, "other"),
        ({"rerun": ("nobody",)}, "nobody"),
    ],
    ids=["changed", "run id", "rerun"],
)
def test_a_contradicting_resume_is_refused_before_anything_is_written(
    tmp_path: Path, given_now: dict[str, Any], words: str
) -> None:
    """The refusal names what contradicts, and says what to do instead."""
    with pytest.raises(UsageError, match=words) as caught:
        prepared(half_done(tmp_path), **given_now)
    assert caught.value.remedy


def test_a_resume_of_nothing_is_refused(tmp_path: Path) -> None:
    """Without a checkpoint there is nothing to decide, and no directory is made."""
    missing = RunConfig(output_directory="none", directory=str(tmp_path), resume=True)
    with pytest.raises(CheckpointError, match=r"none/orchestrator_checkpoint\.json"):
        prepare(missing)
    assert list(tmp_path.iterdir()) == []
