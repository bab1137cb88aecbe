"""The current content of a request: read from the record and from the files that it names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from fsm_orchestrator.approvals.binding import confined_to, held_to, inside
from fsm_orchestrator.approvals.request import (
    ApprovalPredicate,
    RequestedCommand,
    RequestedFile,
    RequestedLifecycle,
    Requester,
)
from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.config.program_files import files_of
from fsm_orchestrator.config.stage_record import StageRecord, settings_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk.file_digest import digest_and_size
from fsm_orchestrator.gates.sources.approval import ApprovalTerms
from fsm_orchestrator.lifecycle.model import Lifecycle, State
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.vocabulary import StateKind, Trigger

if TYPE_CHECKING:
    from fsm_orchestrator.model.contracts import Contract


@dataclass(frozen=True)
class Asking:
    """A gate state that asks people for a gate.

    Attributes:
        settings: the settings of each stage, as exact as they are known.
        mask: hides secrets in what is shown.
        output: the output directory; paths in it are named relative to it, wherever it is.
    """

    checkpoint: Checkpoint
    settings: Mapping[str, StageSettings]
    gate: str
    state: State
    mask: Callable[[str], str]
    output: Path

    @property
    def cycle(self) -> int:
        """The cycle of the gate state: one more each time a loop led back before it."""
        checkpoint, name = self.checkpoint, self.state.name
        return 1 + sum(
            checkpoint.times_taken(edge)
            for edge in checkpoint.lifecycle.loops
            if name in _onward(checkpoint.lifecycle, (edge.dest,))
        )

    def content(self, terms: ApprovalTerms, now: datetime) -> ApprovalPredicate:
        """Return the content of a request that is made now."""
        checkpoint = self.checkpoint
        begun = checkpoint.invocations[0].origin
        return ApprovalPredicate(
            gate=self.gate,
            state=self.state.name,
            runId=checkpoint.run_id,
            cycle=self.cycle,
            requester=Requester(
                principal=terms.requester,
                user=None if begun is None else begun.user,
                uid=None if begun is None else begun.uid,
                host=None if begun is None else begun.host,
            ),
            askedAt=timestamp(now),
            expiresAt=timestamp(now + timedelta(milliseconds=terms.expires)),
            subject=() if checkpoint.subject is None else checkpoint.subject.entries,
            artifacts=tuple(self._artifacts()),
            commands=tuple(self._commands()),
            lifecycle=RequestedLifecycle(
                name=checkpoint.lifecycle.name, sha256=checkpoint.lifecycle_sha256
            ),
        )

    def _artifacts(self) -> Iterator[RequestedFile]:
        """Yield the artifacts of the stages before the gate state, as they are now.

        A path that a released stage has written again belongs to that stage: the earlier artifact
        is taken from the record.
        """
        is_before: dict[str, bool] = {}
        sets: dict[str, Contract] = {}
        before: dict[str, RequestedFile] = {}
        for completion in self.checkpoint.completed:
            known = self.settings.get(completion.stage) or settings_of(
                completion.stage, completion.settings, {}
            )
            is_early = self.state.name in _onward(self.checkpoint.lifecycle, (completion.stage,))
            is_before |= dict.fromkeys(known.artifact_paths, is_early)
            sets |= {one.path: one for one in known.contracts if one.is_set}
            if is_early:
                for one in completion.artifacts:
                    path = self._named(one.path)
                    before[path] = RequestedFile(path=path, sha256=one.sha256, size=one.size_bytes)
        for path, is_ours in is_before.items():
            if is_ours:
                yield self._set(sets[path]) if path in sets else self._file(path)
            elif self._named(path) in before:
                yield before[self._named(path)]

    def _commands(self) -> Iterator[RequestedCommand]:
        """Yield the released commands; each may run files that those before it have made."""
        made: dict[str, str] = {}
        checkpoint = self.checkpoint
        place_of = checkpoint.lifecycle.place_of
        for stage in released_stages(checkpoint.lifecycle, self.state, self.gate):
            if stage in checkpoint.stages:
                record = checkpoint.stages[stage]
                known = self.settings.get(stage) or settings_of(stage, record, {})
                before = {path for path, place in made.items() if place != place_of(stage)}
                yield self._command(known, stage, record, before)
                paths = map(os.path.normpath, known.artifact_paths)
                made |= dict.fromkeys(paths, place_of(stage))

    def _command(
        self, known: StageSettings, stage: str, record: StageRecord, made: AbstractSet[str]
    ) -> RequestedCommand:
        return RequestedCommand(
            stage=stage,
            argv=(record.command, *record.args),
            masked=bool(record.hidden),
            directory=inside(record.cwd, self.output),
            environment=tuple(sorted(record.variable_names)),
            confinement=None if known.confine is None else confined_to(known.confine, self.output),
            held_to=held_to(record, self.output) if known.must_earn else None,
            files=tuple(map(self._file, dict.fromkeys(one.path for one in files_of(known, made)))),
        )

    def _set(self, contract: Contract) -> RequestedFile:
        """Return the files of a directory or a glob, by the digest of their list."""
        from fsm_orchestrator.stages.artifacts import judge  # noqa: PLC0415 - rare
        from fsm_orchestrator.stages.contracted import Contracted  # noqa: PLC0415 - rare

        by = Contracted([contract], None, None)
        found = judge([contract.path], None, allow_stale=True, contracts=by).good
        return RequestedFile(
            path=self._named(contract.path),
            sha256=found[0].sha256 if found else None,
            size=found[0].size_bytes if found else None,
        )

    def _file(self, path: str) -> RequestedFile:
        sha256, size = digest_and_size(path)
        return RequestedFile(path=self._named(path), sha256=sha256, size=size)

    def _named(self, path: str) -> str:
        return self.mask(inside(path, self.output))


def released_stages(lifecycle: Lifecycle, state: State, gate: str) -> tuple[str, ...]:
    """Return the stages that a run reaches from a gate state before the gate is judged again."""
    first = tuple(edge.dest for edge in lifecycle.edges_from(state.name, Trigger.GATES_PASSED))
    reached = _onward(lifecycle, first, until=gate)
    return tuple(name for name in lifecycle.stages if name in reached)


def _onward(
    lifecycle: Lifecycle, first: tuple[str, ...], until: str | None = None
) -> tuple[str, ...]:
    """Return states and all that can follow, except by loops and resumes or behind a gate.

    A group brings its stages with it; one of them leads where its group does.
    """
    reached = list(dict.fromkeys(map(lifecycle.place_of, first)))
    for name in reached:
        here = lifecycle.states[name]
        if until is not None and here.kind is StateKind.GATE and until in lifecycle.judged_in(here):
            continue
        for edge in lifecycle.edges:
            is_onward = edge.trigger is not Trigger.RESUME and edge.at_most is None
            if edge.source == name and is_onward and edge.dest not in reached:
                reached.append(edge.dest)
    return (*reached, *(one for name in reached for one in lifecycle.states[name].stages or ()))
