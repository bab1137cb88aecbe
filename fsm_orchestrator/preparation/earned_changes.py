"""The differences in the terms of a completed stage: contracts, protected paths, inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from fsm_orchestrator.config.given_contracts import words_of
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk.digests import shown_path
from fsm_orchestrator.model.contracts import Contract, InputDigest
from fsm_orchestrator.preparation.changes import Change
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.stages.artifacts import JudgingCutShortError, MayGoOn
from fsm_orchestrator.stages.declared_inputs import digests_of
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.vocabulary import Compared

_NONE: Final = "none"


def setting_changes(then: StageSettings, now: StageSettings) -> Iterator[Change]:
    """Yield the differences in contracts and lists of paths."""
    before, after = ({one.path: one for one in each.contracts} for each in (then, now))
    for path in dict.fromkeys((*before, *after)):
        if before.get(path) != after.get(path):
            yield _contract_change(path, before.get(path), after.get(path))
    for field, old, new in (
        (Compared.PROTECTED, then.protect, now.protect),
        (Compared.INPUTS, _inputs(then), _inputs(now)),
    ):
        if set(old) != set(new):
            yield Change(field, _listed(old), _listed(new))


def _contract_change(path: str, then: Contract | None, now: Contract | None) -> Change:
    if then is not None and now is not None and words_of(then) == words_of(now):
        return Change(
            Compared.CONTRACTS,
            then.json_schema_sha256,
            now.json_schema_sha256,
            now.json_schema or path,
        )
    old, new = (_NONE if one is None else words_of(one) for one in (then, now))
    return Change(Compared.CONTRACTS, old, new)


def _inputs(settings: StageSettings) -> tuple[str, ...]:
    return (*settings.inputs, *(("its program",) if settings.input_program else ()))


def _listed(paths: tuple[str, ...]) -> str:
    return ", ".join(paths) or _NONE


def input_changes(
    completion: Completion, settings: StageSettings, may_go_on: MayGoOn
) -> Iterator[Change]:
    """Yield the declared inputs that have changed since the stage completed.

    Raises:
        JudgingCutShortError: `may_go_on`, which is asked again and again, said no.
    """
    if not completion.inputs:
        return

    def ask(path: str) -> None:
        if not may_go_on(path):
            raise JudgingCutShortError

    then: Mapping[str, InputDigest] = {one.path: one for one in completion.inputs}
    now = {one.path: one for one in digests_of(settings, ask)}
    for path in dict.fromkeys((*then, *now)):
        old, new = then.get(path), now.get(path)
        if old is None or new is None or not _is_same(old, new):
            yield Change(Compared.INPUTS, _said(old), _said(new), shown_path(path))


def _is_same(old: InputDigest, new: InputDigest) -> bool:
    """Return whether two inputs are the same; one that could not be read is never the same."""
    return old.problem is new.problem is None and old.sha256 == new.sha256


def _said(one: InputDigest | None) -> str:
    if one is None:
        return "no input"
    if one.sha256 is None or one.problem is not None:
        return one.state
    files = "" if one.files == 1 else f"{counted(one.files, 'file')} of "
    return f"{files}sha256 {one.sha256}"
