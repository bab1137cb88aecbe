"""Finds contradictions in where a run's settings came from, and in who gave the gates' signals.

A record says in several places what an invocation was given. They have to agree. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fsm_orchestrator.config.origins import RUN_KEYS, TIME_KEYS, InputKind, SettingOrigin
from fsm_orchestrator.config.run_config import StageGiven
from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.model.confine_options import CONFINE_KEYS
from fsm_orchestrator.model.invocation import SignalGiven
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.model.stage_options import TABLES
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.vocabulary import (
    GateSource,
    OnLeak,
    SettingSource,
)

_RUN_KEYS: Final = ("lifecycle", *RUN_KEYS, *TIME_KEYS)
_STAGE_KEYS: Final = (
    *(key for key in StageGiven.model_fields if key not in TABLES),
    *(f"retry.{key}" for key in RetryPolicy.model_fields),
    *(f"confine.{key}" for key in CONFINE_KEYS),
)


def origin_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Find origins of settings that the run does not have, and settings that have no origin."""
    origins, latest = checkpoint.origins, checkpoint.invocation.number
    units = () if checkpoint.budget is None else checkpoint.budget.units
    known = {
        *_RUN_KEYS,
        *(f"budget.{unit}" for unit in units),
        *(f"gates.{gate}" for gate in checkpoint.lifecycle.gates),
        *(f"gate.{gate}" for gate in checkpoint.lifecycle.gates),
        "subject",
        *(f"stage.{stage}.{key}" for stage in checkpoint.lifecycle.stages for key in _STAGE_KEYS),
    }
    files = {one.invocation for one in origins.files if one.kind is InputKind.CONFIG}
    for key, origin in origins.by_setting.items():
        at = f"origins.by_setting.{key}"
        if key not in known:
            yield f"{at}: there is no such setting"
        if origin.invocation > latest:
            yield f"{at}.invocation: is {origin.invocation}, of {latest}"
        if origin.source is SettingSource.CONFIG and origin.invocation not in files:
            yield f"{at}.source: that invocation was given no config file"
    yield from _file_problems(checkpoint)
    if origins.stages_since.keys() != checkpoint.stages.keys():
        yield "origins.stages_since: must name the stages that have a binary"
    for stage, invocation in origins.stages_since.items():
        if invocation > latest:
            yield f"origins.stages_since.{stage}: is {invocation}, of {latest}"
    yield from _run_setting_problems(checkpoint)
    for stage, record in checkpoint.stages.items():
        yield from _stage_setting_problems(checkpoint, stage, record)


def _file_problems(checkpoint: Checkpoint) -> Iterator[str]:
    origins, latest = checkpoint.origins, checkpoint.invocation.number
    from_files = {
        one.invocation for one in origins.by_setting.values() if one.source is SettingSource.CONFIG
    }
    given: set[tuple[InputKind, int]] = set()
    for index, file in enumerate(origins.files):
        at = f"origins.files[{index}]"
        if file.invocation > latest:
            yield f"{at}.invocation: is {file.invocation}, of {latest}"
        if (file.kind, file.invocation) in given:
            yield f"{at}: an invocation is given one file of a kind"
        given.add((file.kind, file.invocation))
        match file.kind:
            case InputKind.CONFIG:
                is_in_use = file.invocation in from_files
            case InputKind.LIFECYCLE:
                is_in_use = "lifecycle" in origins.by_setting
        if not is_in_use:
            yield f"{at}: nothing that the run has comes from it"


def _run_setting_problems(checkpoint: Checkpoint) -> Iterator[str]:
    given = checkpoint.origins.by_setting
    for key, value in (
        ("timeout_ms", checkpoint.timeout_ms),
        ("kill_grace_ms", checkpoint.kill_grace_ms),
        ("task_queue", checkpoint.task_queue),
        *_budget_settings(checkpoint),
    ):
        if (value is not None) is not (key in given):
            yield f"origins.by_setting: does not fit {key}, which is {value}"
    if checkpoint.on_leak is not OnLeak.WARN and "on_leak" not in given:
        yield "origins.by_setting: does not say what gave on_leak"
    if ("subject" in given) is not (checkpoint.subject is not None):
        yield "origins.by_setting: does not fit the subject"
    for gate in checkpoint.lifecycle.gates:
        if (f"gate.{gate}" in given) is not (gate in checkpoint.sources):
            yield f"origins.by_setting: does not fit the source of {gate}"
    for signal in checkpoint.gate_signals:
        key = f"gates.{signal.gate}"
        origin = given.get(key)
        if _invocation_of(signal.given) != _invocation_of(origin):
            yield f"origins.by_setting: {key} was not given to the invocation of its signal"


def _budget_settings(checkpoint: Checkpoint) -> Iterator[tuple[str, object]]:
    """Yield the settings of the budget by their keys."""
    budget = checkpoint.budget
    yield "run_timeout_ms", None if budget is None else budget.run_timeout_ms
    yield "total_timeout_ms", None if budget is None else budget.total_timeout_ms
    for unit, amount in {} if budget is None else budget.units.items():
        yield f"budget.{unit}", amount


def _invocation_of(given: SignalGiven | SettingOrigin | None) -> int | None:
    return None if given is None else given.invocation


def _stage_setting_problems(
    checkpoint: Checkpoint, stage: str, record: StageRecord
) -> Iterator[str]:
    given = checkpoint.origins.by_setting
    binary = given.get(f"stage.{stage}.bin")
    if binary is None:
        yield f"origins.by_setting: does not say what gave {stage!r} its binary"
        return
    own = {key: one for key in _STAGE_KEYS if (one := given.get(f"stage.{stage}.{key}"))}
    for key, origin in own.items():
        if origin.invocation < binary.invocation:
            yield f"origins.by_setting.stage.{stage}.{key}: is older than the binary"
    # A binary that is given again resets the origins, even where a completed stage keeps the
    # settings that it had.
    missing = [keys[0] for keys in _settings_of(record) if own.keys().isdisjoint(keys)]
    if binary.invocation == 1 and missing:
        yield f"origins.by_setting: does not say what gave {stage!r} its {missing[0]}"


def _settings_of(record: StageRecord) -> Iterator[tuple[str, ...]]:
    """Yield, for each setting that a stage has, the keys by which it can have been given."""
    for key in (
        *("args", "expected_artifacts", "allow_stale", "protect", "inputs", "input_program"),
    ):
        if getattr(record, key):
            yield (key,)
    if record.contracts:
        yield ("artifact",)
    if record.env_digests:
        yield ("env",)
    if record.secret_digests:
        yield ("secrets", "env")
    yield from ((key,) for key in LIMIT_FIELDS if getattr(record, key) is not None)
    if record.retry is not None:
        yield tuple(f"retry.{key}" for key in RetryPolicy.model_fields)
    for key in ("env_inherit", "on_unmetered", "task_queue"):
        if getattr(record, key) is not None:
            yield (key,)
    if record.pins is not None:
        yield ("pin",)
    if record.confine is not None:
        yield tuple(f"confine.{key}" for key in CONFINE_KEYS)


def given_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Find signals that contradict another one of their invocation, and origins without sense."""
    found: dict[int, SignalGiven] = {}
    for at, given, latest in _signals_given(checkpoint):
        if given.invocation > latest:
            yield f"{at}.invocation: is {given.invocation}, of {latest}"
        if found.setdefault(given.invocation, given) != given:
            yield f"{at}: another signal says otherwise about invocation {given.invocation}"
    in_force = checkpoint.decisions_in_force(checkpoint.outcome)
    by_signal = (one for one in in_force if one.source is not GateSource.EVIDENCE)
    judged = {one.gate: one.given for one in by_signal}
    for index, signal in enumerate(checkpoint.gate_signals):
        if judged.get(signal.gate, signal.given) != signal.given:
            yield f"gate_signals[{index}].given: the gate was judged by another"
    for index, one in enumerate(checkpoint.invocations):
        origin = one.origin
        if origin is not None and (origin.displayed_commit is None) is not bool(
            origin.displayed_problem
        ):
            yield f"invocations[{index}].origin: has a commit or a problem, and not both"


def _signals_given(checkpoint: Checkpoint) -> Iterator[tuple[str, SignalGiven, int]]:
    """Yield each place that says who gave a signal, and the latest invocation that it can be of."""
    for index, signal in enumerate(checkpoint.gate_signals):
        if signal.given is not None:
            yield f"gate_signals[{index}].given", signal.given, checkpoint.invocation.number
    for position, invocation in enumerate(checkpoint.invocations):
        for index, decision in enumerate(invocation.gate_decisions):
            if decision.given is not None:
                at = f"invocations[{position}].gate_decisions[{index}].given"
                yield at, decision.given, invocation.number


def secret_problems(checkpoint: Checkpoint) -> Iterator[str]:
    """Find secrets of stages that are not among those of the run, or are settings as well."""
    records = [
        *((f"stages.{stage}", record) for stage, record in checkpoint.stages.items()),
        *(
            (f"completions[{index}].settings", one.settings)
            for index, one in enumerate(checkpoint.completions)
        ),
    ]
    declared = frozenset(checkpoint.secret_keys)
    for at, record in records:
        unknown = record.secret_digests.keys() - declared
        if unknown:
            yield f"secret_keys: does not have {min(unknown)!r}, a secret in {at}"
        if record.secret_digests.keys() & record.env_digests.keys():
            yield f"{at}.secret_digests: has a name that env_digests has as well"
