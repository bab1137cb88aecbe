"""The values of a configuration: what is refused, and what a run or a resume does with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fsm_orchestrator import run
from fsm_orchestrator.cli.parser.names import gate_parameter
from fsm_orchestrator.cli.request import request_from
from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.constants import DEFAULT_TIMEOUT_MS, MILLISECONDS_MAX
from fsm_orchestrator.errors import CheckpointError, UsageError
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.preparation.prepare import prepare, prepare_run
from fsm_orchestrator.preparation.resume import prepare_resume
from fsm_orchestrator.vocabulary import ExecutionMode, Gate, GateSource, OnChangedStage, Trigger
from tests.config.config_cases import REFUSED, VALUE, config
from tests.support.command import tree_of

GATES = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}


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
    """NUL and invalid UTF-8 are refused everywhere; any other text is accepted."""
    for wrong in ("a\0b", "\0", "a\udcffb"):
        with pytest.raises(REFUSED):
            build(wrong)
    for fine in (" ", "-c", "--", "a\nb\n", "ünïcode 🙂", "\x01\x7f"):
        build(fine)


def test_empty_text_is_refused_where_it_names_something() -> None:
    """An empty argument or value is accepted; an empty path or key is refused."""
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
    """A bad value is refused without showing it, as it may be a misplaced secret."""
    with pytest.raises(UsageError) as caught:
        RunConfig.model_validate({"output_directory": "out", **wrong})
    assert VALUE.lower() not in f"{caught.value}{caught.value!r}".lower()


def test_a_bad_value_of_a_stage_alone_is_not_echoed() -> None:
    """A bad value is not shown even if the caller gets pydantic's own error."""
    with pytest.raises(ValidationError) as caught:
        StageGiven.model_validate({"timeout_ms": VALUE, "env": {"KEY": f"{VALUE}\0"}})
    assert VALUE not in f"{caught.value}{caught.value!r}"


@pytest.mark.parametrize(
    ("wrong", "name"),
    [({"resumed": True}, "resumed"), ({"stages": {"manager": {"argumens": ("x",)}}}, "argumens")],
)
def test_an_unknown_key_is_refused_by_name(wrong: dict[str, Any], name: str) -> None:
    """An unknown key is refused by name, never ignored."""
    with pytest.raises(UsageError, match=name):
        RunConfig.model_validate({"output_directory": "out", **wrong})


def test_milliseconds_have_their_bounds() -> None:
    """A timeout is 1 to 2147483647 whole milliseconds; a grace can be 0."""
    for right in (1, MILLISECONDS_MAX):
        assert RunConfig(output_directory="o", timeout_ms=right).timeout_ms == right
    for wrong in (0, -1, MILLISECONDS_MAX + 1, 1.5):
        with pytest.raises(UsageError, match="timeout_ms"):
            RunConfig.model_validate({"output_directory": "o", "timeout_ms": wrong})
        with pytest.raises(ValidationError):
            StageGiven.model_validate({"timeout_ms": wrong})
    assert RunConfig(output_directory="o", kill_grace_ms=0).kill_grace_ms == 0


def test_a_configuration_cannot_be_changed() -> None:
    """A configuration is immutable."""
    with pytest.raises(ValidationError, match="frozen"):
        config().resume = True  # type: ignore[misc]  # its refusal is what is tested


def test_options_become_a_configuration_value_by_value() -> None:
    """A missing option is None; pairs become a mapping in which the last value of a key wins."""
    absent: dict[str, Any] = {
        "timeout_ms": None,
        "rerun": (),
        "resume": False,
        gate_parameter("ci"): None,
    }
    given_now = {"output_directory": "out", gate_parameter("policy"): "deny"}
    stage = {"stage_bin__manager": "x", "stage_env__manager": (("A", "1"), ("A", "2"))}
    found = request_from({**absent, **given_now, **stage}).config
    assert (found.timeout_ms, found.rerun, found.resume) == (None, (), False)
    assert found.gates == {Gate.POLICY: "deny"}
    assert found.stages == {"manager": StageGiven(bin="x", env={"A": "2"})}


def test_a_grace_of_nothing_is_a_value_that_was_given() -> None:
    """`--kill-grace-ms 0` means SIGKILL at once, and differs from no grace given."""
    found = request_from({"output_directory": "out", "kill_grace_ms": 0}).config
    assert found.kill_grace_ms == 0


# -- what a resume would do -----------------------------------------------------------------


def half_done(directory: Path, **executor: Any) -> RunConfig:
    """Make a run whose executor failed after its manager; return the configuration to resume it."""
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
    """Return the decision on a resume; nothing is written for it."""
    before = tree_of(Path(resume.directory))
    try:
        return prepare_resume(resume.model_copy(update=given_now))
    finally:
        assert tree_of(Path(resume.directory)) == before


def test_a_resume_is_decided_from_the_checkpoint_and_what_is_given(tmp_path: Path) -> None:
    """Kept signals come from the checkpoint, given ones from the flag, and history is kept."""
    resume = half_done(tmp_path)
    found = prepared(resume, gates={Gate.CI: "pending"}, kill_grace_ms=0)

    draft = found.checkpoint
    assert (found.first_trigger, found.leftovers, found.archives) == (Trigger.RESUME, (), False)
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
    """A stage's own timeout counts, else the run's, else the default; kept ones count as well."""
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
    """A rerun removes the completions from its stage on and notes only those as run again."""
    draft = prepared(half_done(tmp_path), rerun=asked).checkpoint
    assert tuple(one.stage for one in draft.completions) == completed
    assert draft.invocation.rerun == noted


def test_a_kept_stage_keeps_what_it_completed_with(tmp_path: Path) -> None:
    """`keep` leaves settings and record of a completed stage unchanged and warns of the change."""
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
    """The refusal names the contradiction and what to do instead."""
    with pytest.raises(UsageError, match=words) as caught:
        prepared(half_done(tmp_path), **given_now)
    assert caught.value.remedy


def test_a_resume_of_nothing_is_refused(tmp_path: Path) -> None:
    """Without a checkpoint a resume is refused, and no directory is made."""
    missing = RunConfig(output_directory="none", directory=str(tmp_path), resume=True)
    with pytest.raises(CheckpointError, match=r"none/orchestrator_checkpoint\.json"):
        prepare(missing)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", [GateSource.DEFAULT, GateSource.CHECKPOINT])
def test_signal_that_is_given_comes_from_who_gives_it(source: GateSource) -> None:
    """A source that would make an invalid record is refused right away."""
    with pytest.raises(UsageError, match=f"policy is given by flag or config, not by {source}"):
        RunConfig(
            output_directory="out",
            gates={Gate.POLICY: "allow"},
            gate_sources={Gate.POLICY: source},
        )
