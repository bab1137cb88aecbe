"""The values of a run that may not be shown: those that its private file still holds.

Used by everything that shows output of stages. If the checkpoint cannot be understood, every value
that the run may have had counts as lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.disk import peek
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateFile


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


NONE_KNOWN: Final = KnownSecrets(frozenset(), {}, are_lost=True)
"""Known of a run whose checkpoint cannot be understood."""


def known_secrets(directory: Path) -> KnownSecrets:
    """Return the environment values of the run in a directory, as far as they are still known."""
    name = peek.private_file_name(directory)
    if not name.is_known:
        return NONE_KNOWN
    private = None if name.ref is None else private_file.load(name.ref)
    return secrets_in(private, is_expected=name.ref is not None)


def secrets_in(private: PrivateFile | None, *, is_expected: bool) -> KnownSecrets:
    """Return the environment values in a private file; `is_expected`: whether the run had one."""
    stages = {} if private is None else private.stages
    values = {value for one in stages.values() for value in one.env.values()}
    return KnownSecrets(
        values=frozenset(values | {line for value in values for line in value.splitlines()}),
        keys={stage: frozenset(one.env) for stage, one in stages.items()},
        are_lost=is_expected and private is None,
    )
