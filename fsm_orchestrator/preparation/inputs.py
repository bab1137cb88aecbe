"""The current config and lifecycle files of a run, compared with what it kept of them.

A resume goes by what was kept. What a changed file says is shown, with the option that uses it.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from fsm_orchestrator.config.config_file import ConfigFile, with_file
from fsm_orchestrator.config.config_reading import CONFIG_BYTES_MAX, load
from fsm_orchestrator.config.file_texts import named_lifecycle
from fsm_orchestrator.config.origins import RUN_KEYS, InputFile, InputKind, keys_given
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_settings import (
    StageSettings,
    declared_secrets,
    given_settings,
)
from fsm_orchestrator.disk import files
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import OrchestratorError
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.model.option_kinds import Kind
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.preparation.decision import ResumableRun
from fsm_orchestrator.preparation.preparation import secret_values, with_known_gates
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.secrets.masking import NO_SECRETS, Masker
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import Compared

_SHOWN_MAX: Final = 8
_VALUE_CHARACTERS_MAX: Final = 80
_KEYS: Final = {
    Compared.COMMAND: "bin",
    Compared.ARGS: "args",
    Compared.CWD: "cwd",
    Compared.EXPECTED_ARTIFACTS: "expected_artifacts",
    Compared.VERIFICATION: "verify",
}
"""The keys of the settings that may hold a secret."""
_NOUNS: Final = {InputKind.CONFIG: "config file", InputKind.LIFECYCLE: "lifecycle file"}
_OPTIONS: Final = {InputKind.CONFIG: "--config", InputKind.LIFECYCLE: "--lifecycle"}

if TYPE_CHECKING:
    from fsm_orchestrator.gates.sources.base import SourceModel


class InputState(StrEnum):
    """The present state of a file that an invocation was given."""

    CHANGED = "changed"
    OTHER_RELATION = "other_relation"
    """A lifecycle that declares another relation: no resume can follow it."""
    UNUSABLE = "unusable"
    GONE = "gone"


class InputChange(StrictModel):
    """A file that has changed since an invocation was given it."""

    kind: InputKind = Field(description="What the file is.")
    path: str = Field(description="Its absolute path.")
    invocation: int = Field(description="Number of the invocation that it was given to.")
    state: InputState = Field(description="What has become of it.")
    differences: tuple[str, ...] = Field(
        description="What it says now that the run does not go by, or why it cannot be used."
    )
    words: tuple[str, ...] | None = Field(
        description="The option that has a resume use it; null when none does."
    )

    @property
    def sentence(self) -> str:
        """The change, what follows from it, and how to use the file, as a sentence."""
        noun = f"{_NOUNS[self.kind]} {copyable(self.path)}"
        told = "; ".join(self.differences[:_SHOWN_MAX])
        if len(self.differences) > _SHOWN_MAX:
            told += f"; and {len(self.differences) - _SHOWN_MAX} more"
        kept = "a resume goes by what was kept of it"
        match self.state:
            case InputState.GONE:
                return f"{noun}, given to invocation {self.invocation}, is gone: {kept}"
            case InputState.UNUSABLE:
                return f"{noun} has changed and cannot be used as it is: {told}; {kept}"
            case InputState.OTHER_RELATION:
                return (
                    f"{noun} has changed since invocation {self.invocation} and declares another"
                    f" relation: {kept}, and only a new run, without --resume, can follow it"
                )
            case InputState.CHANGED:
                use = "" if self.words is None else f"; {shlex.join(self.words)} uses the file"
                return (
                    f"{noun} has changed since invocation {self.invocation}, and {kept}: {told}"
                    f"{use}"
                )
            case _:
                assert_never(self.state)


def input_warnings(run: ResumableRun) -> Iterator[str]:
    """Yield what is adopted of a lifecycle, and which files have changed."""
    if run.replaced_lifecycle is not None:
        now = adopted_settings(run.replaced_lifecycle, run.checkpoint.lifecycle)
        lifecycle = copyable(str(run.config.lifecycle))
        yield f"settings of the lifecycle {lifecycle} are adopted: {'; '.join(now)}"
    for change in input_changes(run):
        yield change.sentence


def input_changes(run: ResumableRun) -> tuple[InputChange, ...]:
    """Return the files that have changed, except those that are given again now."""
    given = run.config.config_file
    found = []
    for file in run.checkpoint.origins.files:
        is_given = (
            run.config.lifecycle is not None
            if file.kind is InputKind.LIFECYCLE
            else given is not None and given.path == file.path
        )
        change = None if is_given else _change_of(run, file)
        if change is not None:
            found.append(change)
    return tuple(found)


def adopted_settings(old: Lifecycle, new: Lifecycle) -> tuple[str, ...]:
    """Return the differences between two lifecycles of one relation."""
    return tuple(_lifecycle_differences(old, new))


def _change_of(run: ResumableRun, file: InputFile) -> InputChange | None:
    try:
        data = files.read_bounded(Path(file.path), CONFIG_BYTES_MAX, is_link_good=True)
    except (FileNotFoundError, NotADirectoryError):
        return _changed(file, InputState.GONE)
    except OSError as error:
        return _changed(file, InputState.UNUSABLE, (files.reason(error),))
    if hashlib.sha256(data).hexdigest() == file.sha256:
        return None
    try:
        match file.kind:
            case InputKind.CONFIG:
                return _config_change(run, file)
            case InputKind.LIFECYCLE:
                return _lifecycle_change(run.checkpoint, file)
            case _:
                assert_never(file.kind)
    except OrchestratorError as error:
        return _changed(file, InputState.UNUSABLE, (str(error),))


def _changed(file: InputFile, state: InputState, differences: tuple[str, ...] = ()) -> InputChange:
    option = (_OPTIONS[file.kind], file.path) if state is InputState.CHANGED else None
    return InputChange(
        kind=file.kind,
        path=file.path,
        invocation=file.invocation,
        state=state,
        differences=differences,
        words=option,
    )


def _lifecycle_change(checkpoint: Checkpoint, file: InputFile) -> InputChange | None:
    old, new = checkpoint.lifecycle, reading.find(file.path, Path())
    if old.relation_sha256 != new.relation_sha256:
        return _changed(file, InputState.OTHER_RELATION)
    differences = adopted_settings(old, new)
    return _changed(file, InputState.CHANGED, differences) if differences else None


def _lifecycle_differences(old: Lifecycle, new: Lifecycle) -> Iterator[str]:
    for name, state in new.states.items():
        before = old.states[name]
        for key in (*LIMIT_FIELDS, "retry"):
            was, now = getattr(before, key), getattr(state, key)
            if was != now:
                yield f"{name}.{key} was {_shown(was)}, is {_shown(now)}"
    for gate, rule in new.gates.items():
        if old.gates[gate].title != rule.title:
            yield f"the title of gate {gate} is {rule.title!r}"
    if old.title != new.title:
        yield f"the title is {new.title!r}"
    reasons = sum(was.why != now.why for was, now in zip(old.edges, new.edges, strict=True))
    if reasons:
        yield f"the reasons of {counted(reasons, 'edge')} have changed"


class _Said(NamedTuple):
    """A setting of a stage or the run, as a config file has it now, next to the run's."""

    key: str
    kept: Any
    now: Any
    is_secret: bool = False


def _config_change(run: ResumableRun, file: InputFile) -> InputChange | None:
    read = load(Path(file.path), file.path)
    # OUT is relative to where this command is, not to where the file was given.
    asked = RunConfig(
        output_directory=str(run_of(run.config.output_path)), directory=file.directory
    )
    content = read.content
    config = with_file(asked, content, file.path, read.sha256)
    config = with_known_gates(config, run.checkpoint.lifecycle)
    said = set(keys_given(config.model_dump(mode="json", exclude_none=True)))
    keys = said | set(run.checkpoint.origins.keys_of(file))
    kept = run.kept.stages
    if config.has_tables:
        from fsm_orchestrator.config.asked_texts import with_asked_texts  # noqa: PLC0415 - rare

        config = with_asked_texts(config, run.checkpoint.run_id, declared_secrets(kept))
    settings = given_settings(config, run.checkpoint.lifecycle, kept, run.checkpoint.run_id)
    masker = Masker((*run.kept.secrets.values(), *secret_values(settings).values()))
    differences = []
    for one in (*_run_settings(run.checkpoint, config, content), *_stages(kept, settings)):
        if one.key not in keys or one.kept == one.now:
            continue
        if one.key not in said:
            differences.append(f"{one.key} is no longer in it")
        elif one.is_secret:
            differences.append(f"{one.key} has other values")
        else:
            was, now = (_shown(value, masker) for value in (one.kept, one.now))
            differences.append(f"{one.key} was {was}, is {now}")
    return _changed(file, InputState.CHANGED, tuple(differences)) if differences else None


def _run_settings(
    checkpoint: Checkpoint, config: RunConfig, content: ConfigFile
) -> Iterator[_Said]:
    for key in RUN_KEYS:
        yield _Said(key, getattr(checkpoint, key), getattr(content, key))
    budget, given = checkpoint.budget, content.budget or {}
    for key in ("run_timeout_ms", "total_timeout_ms"):
        yield _Said(key, getattr(budget, key, None), getattr(content, key))
    for unit, amount in {} if budget is None else budget.units.items():
        yield _Said(f"budget.{unit}", amount, given.get(unit))
    signals = {one.gate: one.status for one in checkpoint.gate_signals}
    for gate in checkpoint.lifecycle.gates:
        yield _Said(f"gates.{gate}", signals[gate], content.gates.get(gate))
    for gate in checkpoint.lifecycle.gates:
        kept, now = checkpoint.sources.get(gate), config.sources.get(gate)
        yield _Said(f"gate.{gate}", kept and _source(kept), now and _source(now))
    subject = None if checkpoint.subject is None else checkpoint.subject.given
    now_about = None if config.subject is None else config.subject.places
    yield _Said("subject", subject, now_about)
    named = named_lifecycle(config)
    followed = checkpoint.lifecycle
    is_same = named.relation_sha256 == followed.relation_sha256
    yield _Said("lifecycle", followed.name, followed.name if is_same else named.name)


def _source(source: SourceModel) -> dict[str, Any]:
    return source.model_dump(mode="json", exclude_defaults=True)


def _stages(kept: Mapping[str, StageSettings], now: Mapping[str, StageSettings]) -> Iterator[_Said]:
    for stage in {**kept, **now}:
        before, after = _said_of(kept.get(stage)), _said_of(now.get(stage))
        hidden = () if stage not in kept else kept[stage].hidden
        unknown = {_KEYS[one.field] for one in hidden}  # known only masked: cannot be compared
        for option in STAGE_OPTIONS:
            key = ".".join(option.path)
            if key in unknown:
                continue
            is_secret = option.kind in {Kind.PAIR, Kind.NAME}
            yield _Said(f"stage.{stage}.{key}", before.get(key), after.get(key), is_secret)
        yield _Said(f"stage.{stage}.artifact", before.get("artifact"), after.get("artifact"))


def _said_of(settings: StageSettings | None) -> dict[str, Any]:
    """Return the settings of a stage by their keys in a config file."""
    if settings is None:
        return {}
    retry = {f"retry.{key}": value for key, value in settings.retry}
    confine = {f"confine.{key}": value for key, value in settings.confine or ()}
    own = {
        option.key: getattr(settings, "command" if option.key == "bin" else option.key, None)
        for option in STAGE_OPTIONS
    }
    if settings.contracts:
        from fsm_orchestrator.config.given_contracts import words_of  # noqa: PLC0415 - rare

        own["artifact"] = tuple(map(words_of, settings.contracts))
    return {**own, **settings.limits._asdict(), **retry, **confine}


def _shown(value: Any, masker: Masker = NO_SECRETS) -> str:
    """Return a value as a sentence shows it, masked before it is cut."""
    if isinstance(value, tuple):
        value = [masker.mask(one) if isinstance(one, str) else one for one in value]
    text = "not set" if value is None else masker.mask(str(value))
    cut = _VALUE_CHARACTERS_MAX
    return text if len(text) <= cut else f"{text[:cut]}..."
