"""Decides whether a resume may believe the record it finds, and on whose word. Writes nothing.

A record that is not the one that was left is refused until a person accepts it by its digest. If
that cannot be known, the run continues with a warning, and cannot be closed before somebody does.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import TamperedError
from fsm_orchestrator.model.trust import Acceptance, Doubt, RecordFile
from fsm_orchestrator.preparation.preparation import Preparation
from fsm_orchestrator.record.checkpoint_reader import SavedRun
from fsm_orchestrator.record.record_check import Finding, checked, record_digest
from fsm_orchestrator.secrets.state_key import RecordKey, own_key, shared_key
from fsm_orchestrator.text.hidden import copyable


class Belief(NamedTuple):
    """The verdict of a resume on the record that it found.

    Attributes:
        doubt: set if it is not known whether the record is the one that was left.
        accepted: what somebody has accepted about it now.
        warnings: warnings for the operator about it.
    """

    doubt: Doubt | None = None
    accepted: Acceptance | None = None
    warnings: tuple[str, ...] = ()

    def on(self, preparation: Preparation) -> Preparation:
        """Return a prepared resume with this belief in its record."""
        draft = preparation.checkpoint
        if self == Belief() and draft.doubt is None:
            return preparation
        warned = preparation.masker.mask_all(self.warnings)
        begun = draft.with_invocation(
            accepted=self.accepted, warnings=(*draft.invocation.warnings, *warned)
        )
        return preparation._replace(checkpoint=begun.model_copy(update={"doubt": self.doubt}))

    def of(self, saved: SavedRun) -> SavedRun:
        """Return the part of a run that is believed: never a private file that was changed."""
        accepted = () if self.accepted is None else self.accepted.changes
        is_private_bad = any(one.file is RecordFile.PRIVATE for one in accepted)
        return saved._replace(private=None) if is_private_bad else saved


def key_for(output: Path, key_file: Path | None) -> RecordKey | None:
    """Return the key by which the records of a directory are proved, if there is one.

    Raises:
        UsageError: the file of a shared key cannot be used.
    """
    return own_key(output) if key_file is None else shared_key(key_file)


def believed_by(config: RunConfig, saved: SavedRun) -> Belief:
    """Return the verdict of a resume on the record that it finds, as `believed` does."""
    found = believed(saved, config.output_path, key_path(config), config.accept_record)
    is_spare = found.accepted is None and config.accept_record is not None and not config.adopt
    spare = ("--accept-record was given, and the record is the one that was left here",)
    return found._replace(warnings=(*found.warnings, *spare)) if is_spare else found


def key_path(config: RunConfig) -> Path | None:
    """Return the full path of the file with a shared key, or None without one."""
    named = config.state_key_file
    return None if named is None else Path(config.absolute(named))


def believed(
    saved: SavedRun, output: Path, key_file: Path | None, accept: str | None = None
) -> Belief:
    """Return the verdict on a record; `accept` is the digest that somebody accepts.

    Raises:
        TamperedError: it is not the one that was left, and nobody accepts it.
        UsageError: as `key_for`.
    """
    finding = checked(saved, output, key_for(output, key_file))
    standing = saved.checkpoint.doubt
    if finding.is_good and standing is None:
        return Belief()
    digest = record_digest(output)
    known = {digest} if standing is None or finding.changes else {digest, standing.sha256}
    if accept is not None:
        if accept not in known:
            raise _other_digest(output, accept, digest)
        return _accepted(accept, finding, standing, output)
    if finding.changes:
        raise _refusal(output, finding, digest)
    number = saved.checkpoint.invocation.last_number + 1
    doubt = standing if finding.doubt is None else None
    if finding.doubt is not None:
        doubt = Doubt(cause=finding.doubt, sha256=digest, invocation=number)
    return Belief(doubt=doubt, warnings=() if doubt is None else (_warning(output, doubt),))


def _accepted(accept: str, finding: Finding, standing: Doubt | None, output: Path) -> Belief:
    cause = finding.doubt
    if cause is None and not finding.changes and standing is not None:
        cause = standing.cause
    accepted = Acceptance(sha256=accept, changes=finding.changes, doubt=cause)
    said = f"the record in {copyable(run_of(output))} was accepted by its digest: {accepted.words}"
    return Belief(accepted=accepted, warnings=(said,))


def _warning(output: Path, doubt: Doubt) -> str:
    run = run_of(output)
    said = (
        f"it is not known whether the record in {copyable(run)} is the one that was left:"
        f" {doubt.cause.words}; the run may not be closed before somebody who knows accepts it:"
        f" --resume --accept-record {doubt.sha256}"
    )
    if run == output:
        return said
    return f"{said}; workers that share a --state-key-file know the record by that"


def _refusal(output: Path, finding: Finding, digest: str) -> TamperedError:
    changes = "; ".join(one.words for one in finding.changes)
    return TamperedError(
        f"the record in {copyable(run_of(output))} is not the one that was left: {changes}",
        remedy="find out who did that and put back what was there, or start a new run without"
        " --resume; if you know why it is so, accept it as it is: --resume --accept-record"
        f" {digest}",
    )


def _other_digest(output: Path, given: str, digest: str) -> TamperedError:
    return TamperedError(
        f"the record in {copyable(run_of(output))} is not the one that --accept-record names: it"
        f" has the digest {digest}, and {given} was given",
        remedy="look at it again, and accept the digest that it has now if you know why",
    )
