"""The facts of one run by which it is compared with another. Pure.

Paths below the run's output directory begin with `OUT`, those below the directory that it was
started in with `.`: the place of a run makes no difference. Of variables there are only names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from fsm_orchestrator.config.origins import RUN_KEYS
from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.explanation.comparison import Aspect, Value
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.home import Home
from fsm_orchestrator.text.json_output import json_value
from fsm_orchestrator.vocabulary import Standing

_COMMAND_KEYS: Final = frozenset({"command", "args", "cwd", "verify"})
_OTHERWISE_TOLD: Final = frozenset({"hidden", "env_digests", "secret_digests", "pins"})
"""The keys of a stage's record that are not settings: digests under a key of their own run."""
_EMPTY: Final[tuple[Any, ...]] = ("", [], {}, ())
_OUT: Final = "OUT"
_HERE: Final = "."


class Key(NamedTuple):
    """The identity of a fact; aspects are in the order in which they are shown."""

    aspect: Aspect
    part: str | None
    what: str
    name: str | None = None


Facts = Mapping[Key, Value]


class Looked(NamedTuple):
    """A run to compare.

    Attributes:
        source: the absolute path where it was found.
        checkpoint: its record, as it was written.
        standing: where it stands.
        trouble: what is wrong with its files, as a sentence; None if nothing is.
    """

    source: str
    checkpoint: Checkpoint
    standing: Standing
    trouble: str | None = None


def facts_of(run: Looked) -> Facts:
    """Return the facts of a run; empty values are left out."""
    in_place = _places(run.checkpoint.home)
    found = dict(_facts(run))
    return {
        key._replace(name=None if key.name is None else in_place(key.name)): _placed(
            value, in_place
        )
        for key, value in found.items()
        if not (value is None or value is False or value in _EMPTY)
    }


def _placed(value: Any, in_place: Callable[[str], str]) -> Value:
    match value:
        case bool() | int():
            return value
        case str():
            return in_place(value)
        case tuple() | list() if all(isinstance(one, str) for one in value):
            return tuple(map(in_place, value))
        case _:
            return in_place(json_value(value))


def _places(home: Home) -> Callable[[str], str]:
    """Return a function that replaces a run's own directories in a text by `OUT` and `.`."""
    known = [(home.directory, _OUT), (home.started_in, _HERE)]
    patterns = [
        (re.compile(rf"(?<![\w./-]){re.escape(path)}(?=/|[^\w.-]|$)"), name)
        for path, name in known
        if path.strip("/")
    ]

    def in_place(text: str) -> str:
        for pattern, name in patterns:
            text = pattern.sub(name, text)
        return text

    return in_place


def _facts(run: Looked) -> Iterator[tuple[Key, Any]]:
    checkpoint = run.checkpoint
    yield Key(Aspect.OUTCOME, None, "standing"), run.standing.words
    yield Key(Aspect.OUTCOME, None, "exit code"), _coded(checkpoint.invocation.exit_code)
    yield Key(Aspect.WAY, None, "states"), tuple(one.dest for one in checkpoint.transitions)
    for stage in checkpoint.lifecycle.stages:
        yield from _stage_facts(checkpoint, stage)
    lifecycle = checkpoint.lifecycle
    yield Key(Aspect.LIFECYCLE, None, "lifecycle"), lifecycle.name
    yield Key(Aspect.LIFECYCLE, None, "lifecycle sha256"), checkpoint.lifecycle_sha256
    yield from _subject_facts(checkpoint)
    yield from _gate_facts(checkpoint)
    yield from _settings(Aspect.SETTINGS, None, {key: getattr(checkpoint, key) for key in RUN_KEYS})
    if checkpoint.budget is not None:
        budget = checkpoint.budget.model_dump(mode="json")
        yield from _settings(Aspect.SETTINGS, None, budget)
    for file in checkpoint.origins.files:
        yield Key(Aspect.INPUTS, None, f"{file.kind.value} file", file.path), file.sha256
    yield Key(Aspect.VERSIONS, None, "version"), checkpoint.invocation.version
    yield from _host_facts(checkpoint)


def _coded(code: int | None) -> str | None:
    """Return an exit code as a text: 0 is a value like any other, and None stays None."""
    return None if code is None else str(code)


def _settings(aspect: Aspect, part: str | None, given: Mapping[str, Any]) -> Iterator[Any]:
    for key, value in given.items():
        yield Key(aspect, part, key), value


def _stage_facts(checkpoint: Checkpoint, stage: str) -> Iterator[tuple[Key, Any]]:
    attempts = checkpoint.attempts_of(stage)
    if attempts:
        yield from _attempt_facts(stage, attempts[-1])
        yield Key(Aspect.STAGES, stage, "attempts"), attempts[-1].attempt
    yield Key(Aspect.STAGES, stage, "sent back"), checkpoint.cycle_of(stage) - 1 or None
    if stage in checkpoint.stages:
        yield from _given_facts(stage, checkpoint.stages[stage])
    completion = checkpoint.completion_of(stage)
    for artifact in () if completion is None else completion.artifacts:
        yield Key(Aspect.ARTIFACTS, stage, "artifact", artifact.path), artifact.sha256


def _attempt_facts(stage: str, last: StageExecution) -> Iterator[tuple[Key, Any]]:
    """Yield how the last attempt of a stage ended, what it ran, and its inputs."""

    def of(what: str) -> Key:
        return Key(Aspect.STAGES, stage, what)

    yield of("status"), last.status.value
    yield of("ending"), None if last.ending is None else last.ending.value
    yield of("exit code"), _coded(last.exit_code)
    yield of("signal"), last.signal
    yield of("missing"), last.missing_artifacts
    yield of("malformed"), last.malformed_artifacts
    yield of("stale"), last.stale_artifacts
    yield of("against its contract"), tuple(one.path for one in last.contract_violations)
    yield of("changed, and protected"), tuple(one.path for one in last.protected_changes)
    yield of("failed verification"), _words_of_failed(last)
    if last.limit_exceeded is not None:
        yield of("limit exceeded"), last.limit_exceeded.limit.value
    for file in last.program:
        yield Key(Aspect.PROGRAMS, stage, "program", file.path), file.sha256 or "not read"
    for given in last.inputs:
        yield Key(Aspect.INPUTS, stage, "input", given.path), given.sha256 or "not there"
    if last.confinement is not None:
        held = tuple(one.value for one in last.confinement.held)
        yield Key(Aspect.HOST, stage, "promises held"), held
        yield Key(Aspect.HOST, stage, "Landlock"), last.confinement.landlock_abi
    yield Key(Aspect.DURATIONS, stage, "duration_ms"), last.duration_ms


def _words_of_failed(last: StageExecution) -> tuple[str, ...]:
    failed = last.failed_verification
    return () if failed is None else (failed.command, *failed.args)


def _given_facts(stage: str, record: StageRecord) -> Iterator[tuple[Key, Any]]:
    """Yield the command, settings and variable names that a stage was given."""
    document = record.model_dump(mode="json")
    yield Key(Aspect.COMMANDS, stage, "command"), (record.command, *record.args)
    yield Key(Aspect.COMMANDS, stage, "cwd"), record.cwd
    for number, words in enumerate(record.verify, start=1):
        yield Key(Aspect.COMMANDS, stage, "verify", str(number)), words
    for file in () if record.pins is None else record.pins.files:
        which = "program" if file.argument is None else f"argument {file.argument}"
        yield Key(Aspect.PROGRAMS, stage, "pinned", which), file.sha256
    told = _COMMAND_KEYS | _OTHERWISE_TOLD
    rest = {key: value for key, value in document.items() if key not in told}
    yield from _settings(Aspect.SETTINGS, stage, rest)
    for name in record.env_digests:
        yield Key(Aspect.ENVIRONMENT, stage, "variable", name), True
    for name in record.secret_digests:
        yield Key(Aspect.ENVIRONMENT, stage, "secret", name), True


def _subject_facts(checkpoint: Checkpoint) -> Iterator[tuple[Key, Any]]:
    for entry in () if checkpoint.subject is None else checkpoint.subject.entries:
        for algorithm, digest in entry.digest.items():
            yield Key(Aspect.SUBJECT, None, f"subject {algorithm}", entry.name), digest


def _gate_facts(checkpoint: Checkpoint) -> Iterator[tuple[Key, Any]]:
    """Yield the signal, source and evidence of each gate, and the settings of its source."""
    for one in checkpoint.decisions_in_force(checkpoint.outcome):
        yield Key(Aspect.GATES, one.gate, "status"), one.status
        yield Key(Aspect.GATES, one.gate, "source"), one.source.value
        evidence = one.evidence
        if evidence is None:
            continue
        yield Key(Aspect.GATES, one.gate, "evidence"), evidence.source.value
        yield Key(Aspect.GATES, one.gate, "problem"), evidence.problem and evidence.problem.value
        yield Key(Aspect.GATES, one.gate, "issuer"), evidence.issuer
        yield Key(Aspect.GATES, one.gate, "signer"), evidence.signer
    for gate, source in checkpoint.sources.items():
        for key, value in source.model_dump(mode="json").items():
            yield Key(Aspect.SETTINGS, gate, f"source.{key}"), value


def _host_facts(checkpoint: Checkpoint) -> Iterator[tuple[Key, Any]]:
    """Yield where the latest invocation was started, by whom, and at which revision."""
    invocation = checkpoint.invocation
    if invocation.containment is not None:
        yield Key(Aspect.HOST, None, "containment"), invocation.containment.value
    origin = invocation.origin
    if origin is None:
        return
    yield Key(Aspect.HOST, None, "host"), origin.host
    yield Key(Aspect.HOST, None, "user"), origin.user or f"uid {origin.uid}"
    yield Key(Aspect.HOST, None, "displayed commit"), origin.displayed_commit
    yield Key(Aspect.HOST, None, "displayed branch"), origin.displayed_branch
