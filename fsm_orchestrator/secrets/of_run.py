"""The values of a run that may not be shown: those that its private file still holds.

Used by everything that shows output of stages. If the checkpoint cannot be understood, every value
that the run may have had counts as lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fsm_orchestrator.disk import peek
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.masking import Masker


class KnownSecrets(NamedTuple):
    """The environment values of a run that are still known.

    Attributes:
        values: the values themselves, and the lines of those that have several.
        keys: by stage, the names of the variables whose values they are.
        are_lost: true if the run may have had such values and none is known any more.
    """

    values: frozenset[str]
    keys: Mapping[str, frozenset[str]]
    are_lost: bool

    @property
    def masker(self) -> Masker:
        """A masker of the values."""
        return Masker(self.values)


NONE_KNOWN = KnownSecrets(frozenset(), {}, are_lost=True)


def known_secrets(directory: Path) -> KnownSecrets:
    """Return the environment values of the run in a directory, as far as they are still known."""
    name = peek.private_file_name(directory)
    return secrets_in(name.ref) if name.is_known else NONE_KNOWN


def secrets_in(ref: str | None) -> KnownSecrets:
    """Return the environment values in the private file `ref`; None for a run without one."""
    private = None if ref is None else private_file.load(ref)
    stages = {} if private is None else private.stages
    values = {value for one in stages.values() for value in one.env.values()}
    return KnownSecrets(
        values=frozenset(values | {line for value in values for line in value.splitlines()}),
        keys={stage: frozenset(one.env) for stage, one in stages.items()},
        are_lost=ref is not None and private is None,
    )
