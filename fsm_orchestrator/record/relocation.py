"""The paths of a record that was moved or copied, as they are at its new place.

What was inside the output directory still is. What was below the directory that the run was started
in counts as moved along if it is there. Pure, except that it checks whether files exist.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, assert_never

from fsm_orchestrator.config.hidden_text import HiddenText
from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.disk.taken_along import artifacts_named
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.model.invocation import InvocationRecord
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.completion import Completion
from fsm_orchestrator.record.earlier import Earlier
from fsm_orchestrator.record.home import Home, Whereabouts, output_of
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.vocabulary import Compared

if TYPE_CHECKING:
    from fsm_orchestrator.model.confinement import Confine

_NO_PATHS: Final = frozenset({Compared.ARGS, Compared.VERIFICATION})
"""The fields whose texts are passed on unchanged."""


class Relocation(NamedTuple):
    """Directories whose paths have changed, and their new ones; the innermost first."""

    pairs: tuple[tuple[Path, Path], ...]

    def path(self, old: str) -> str:
        """Return the new form of a path; a name to look up is not a path."""
        for before, now in self.pairs:
            if Path(old).is_relative_to(before):
                return str(now / Path(old).relative_to(before))
        return old

    def paths(self, old: Iterable[str]) -> tuple[str, ...]:
        """Return the new forms of paths."""
        return tuple(map(self.path, old))

    def settings(self, one: StageRecord) -> StageRecord:
        """Return the settings of a stage with the new paths."""
        return one.model_copy(
            update={
                "hidden": tuple(map(self.hidden, one.hidden)),
                "command": self.path(one.command),
                "cwd": self.path(one.cwd),
                "expected_artifacts": self.paths(one.expected_artifacts),
                "confine": None if one.confine is None else self._confine(one.confine),
                **(self._earned(one) if one.contracts or one.protect or one.inputs else {}),
                "verify": tuple((self.path(first), *rest) for first, *rest in one.verify),
            }
        )

    def _confine(self, one: Confine) -> Confine:
        """Return the confinement of a stage with the new paths."""
        lists = {name: getattr(one, name) for name in ("write", "read")}
        changed = {name: self.paths(paths) for name, paths in lists.items() if paths is not None}
        return one.model_copy(update=changed)

    def _earned(self, one: StageRecord) -> dict[str, Any]:
        """Return protection, inputs and contracts with new paths; a directory keeps its slash."""
        return {
            "protect": self.paths(one.protect),
            "inputs": self.paths(one.inputs),
            "contracts": tuple(
                contract.model_copy(
                    update={
                        "path": self.artifact(contract.path),
                        "json_schema": contract.json_schema and self.path(contract.json_schema),
                    }
                )
                for contract in one.contracts
            ),
        }

    def artifact(self, old: str) -> str:
        """Return the new path of an artifact; a directory keeps its slash."""
        from fsm_orchestrator.model.contracts import is_directory  # noqa: PLC0415 - rare

        now = self.path(old)
        return f"{now}/" if is_directory(old) and not is_directory(now) else now

    def hidden(self, one: HiddenText) -> HiddenText:
        """Return a path that holds a secret in its new form; any other text stays unchanged."""
        if one.field in _NO_PATHS or not one.parts or not isinstance(one.parts[0], str):
            return one
        # With a letter appended, a slash at the end of the part is kept.
        first = self.path(f"{one.parts[0]}x").removesuffix("x")
        return one.model_copy(update={"parts": (first, *one.parts[1:])})

    def execution(self, one: StageExecution) -> StageExecution:
        """Return a stage execution with the new paths."""
        lists = ("missing_artifacts", "malformed_artifacts", "stale_artifacts")
        changes: dict[str, Any] = {name: self.paths(getattr(one, name)) for name in lists}
        for name in ("contract_violations", "protected_changes"):
            changes[name] = tuple(
                each.model_copy(update={"path": self.path(each.path)})
                for each in getattr(one, name)
            )
        if one.attempt > 0:  # else the command is the name of an operation
            changes |= {"command": self.path(one.command), "cwd": self.path(one.cwd)}
        if one.verifications:
            moved = (
                done.model_copy(update={"command": self.path(done.command)})
                for done in one.verifications
            )
            changes["verifications"] = tuple(moved)
        return one.model_copy(update={**changes, **self._artifacts(one)})

    def completion(self, one: Completion) -> Completion:
        """Return the completion of a stage with the new paths."""
        changes = {"settings": self.settings(one.settings), **self._artifacts(one)}
        return one.model_copy(update=changes)

    def invocation(self, one: InvocationRecord) -> InvocationRecord:
        """Return the record of an invocation with the new paths."""
        return one.model_copy(update=self._executions(one))

    def checkpoint(self, one: Checkpoint) -> Checkpoint:
        """Return a checkpoint with the new paths; `home` keeps the old directory."""
        home = one.home.model_copy(update={"started_in": self.path(one.home.started_in)})
        return one.model_copy(
            update={
                "home": home,
                "stages": {stage: self.settings(kept) for stage, kept in one.stages.items()},
                "completions": tuple(map(self.completion, one.completions)),
                "earlier": None if one.earlier is None else self.earlier(one.earlier),
                "invocations": tuple(map(self.invocation, one.invocations)),
            }
        )

    def earlier(self, one: Earlier) -> Earlier:
        """Return what is kept of old invocations with the new paths."""
        return one.model_copy(
            update={
                "completions": tuple(map(self.completion, one.completions)),
                "executions": tuple(map(self.execution, one.executions)),
            }
        )

    def report(self, one: Report) -> Report:
        """Return a report with the new paths."""
        earlier = tuple(map(self.invocation, one.earlier_invocations))
        return one.model_copy(update={**self._executions(one), "earlier_invocations": earlier})

    def _executions(self, one: InvocationRecord | Report) -> dict[str, Any]:
        return {"stage_executions": tuple(map(self.execution, one.stage_executions))}

    def _artifacts(self, one: StageExecution | Completion) -> dict[str, Any]:
        changed = (
            artifact.model_copy(update={"path": self.artifact(artifact.path)})
            for artifact in one.artifacts
        )
        inputs = (each.model_copy(update={"path": self.path(each.path)}) for each in one.inputs)
        return {"artifacts": tuple(changed), "inputs": tuple(inputs)}


def relocation_of(checkpoint: Checkpoint, directory: Path, where: Whereabouts) -> Relocation | None:
    """Return how the paths of a record in `directory` have changed, or None if none has."""
    home, output = checkpoint.home, run_of(output_of(directory))
    before_here = run_of(Path(home.directory))
    if where is Whereabouts.HOME or before_here == output:
        return None
    pairs = [(before_here, output)]
    base = _base(home, output)
    before = Path(home.started_in)
    was_left = where is not Whereabouts.COPIED and os.path.isdir(before)
    if base is not None and not was_left and _came_along(checkpoint, before, base):
        pairs.append((before, base))
    return Relocation(tuple(pairs))


def archived(checkpoint: Checkpoint, directory: Path, moved: Relocation | None) -> Relocation:
    """Return the relocation of an archived record: its artifacts in OUT came along.

    `moved` is how the paths of its output directory have changed; None if they have not.
    """
    home = Path(checkpoint.home.directory)
    along = tuple((home / one, directory / one) for one in artifacts_named(directory))
    return Relocation((*along, *(() if moved is None else moved.pairs)))


def _base(home: Home, output: Path) -> Path | None:
    """Return where the directory that the run was started in would be, had all of it come along."""
    before, directory = Path(home.started_in), run_of(Path(home.directory))
    if directory == before or not directory.is_relative_to(before):
        return None
    inner = directory.relative_to(before).parts
    base = output.parents[len(inner) - 1] if len(output.parts) > len(inner) else None
    return base if base is not None and output.parts[-len(inner) :] == inner else None


def _came_along(checkpoint: Checkpoint, before: Path, base: Path) -> bool:
    """Return whether everything that the run needs from a directory is in the new one as well."""
    needed = (path for path in _needed(checkpoint) if path.is_relative_to(before))
    return all(os.path.lexists(base / path.relative_to(before)) for path in needed)


def _needed(checkpoint: Checkpoint) -> Iterator[Path]:
    for record in checkpoint.stages.values():
        yield from (Path(record.command), Path(record.cwd))


def relocation_sentence(checkpoint: Checkpoint, where: Whereabouts) -> str:
    """Return a sentence on where a record came from that is not where it was written."""
    home, old = checkpoint.home, copyable(checkpoint.home.directory)
    match where:
        case Whereabouts.HOME | Whereabouts.MOVED | Whereabouts.HANDED_ON:
            return f"the output directory was moved here from {old}"
        case Whereabouts.CARRIED:
            return f"the output directory was moved here from {old}, on another file system"
        case Whereabouts.COPIED:
            return (
                f"the output directory is a copy of that of a run in {old}: processes and private"
                " values there are left alone"
            )
        case Whereabouts.BROUGHT:
            from_where = old if home.host == os.uname().nodename else f"{old} on {home.host}"
            return (
                f"the output directory was brought here from {from_where}: processes and private"
                " values there are left alone"
            )
        case _:
            assert_never(where)


def copy_sentence(home: Home) -> str | None:
    """Return a sentence on the run that a record was copied from, or None if it was not."""
    if not home.copied_from:
        return None
    last = home.copied_from[-1]
    return (
        f"this run continues in a copy of the run {last.run_id} in {copyable(last.directory)}, of"
        f" which it has invocations 1 to {last.invocations}"
    )
