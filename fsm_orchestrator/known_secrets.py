"""What may not be shown of a run: the values that its private file still holds.

For those who show what stages print. Reads no more of a checkpoint than its beginning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator import private_state
from fsm_orchestrator.masking import Masker
from fsm_orchestrator.vocabulary import CHECKPOINT_FILE

_BEGINNING_BYTES: Final = 4096
_REFERENCE: Final = re.compile(rb'"private_ref":"([0-9a-f]{32})"')


class KnownSecrets(NamedTuple):
    """The environment values of a run that are known still.

    Attributes:
        values: they themselves, and the lines of those that have several.
        keys: by stage, the names of the variables whose values they are.
        are_lost: whether the run had such values and none is known any more.
    """

    values: frozenset[str]
    keys: Mapping[str, frozenset[str]]
    are_lost: bool

    @property
    def masker(self) -> Masker:
        """Masks them."""
        return Masker(self.values)


def masker_of_run(directory: Path) -> Masker:
    """Masks the environment values of the run in a directory, as far as they are known still."""
    return known_secrets(directory).masker


def known_secrets(directory: Path) -> KnownSecrets:
    """What is known still of the environment values of the run in a directory."""
    try:
        with (directory / CHECKPOINT_FILE).open("rb") as file:
            found = _REFERENCE.search(file.read(_BEGINNING_BYTES))
    except OSError:
        found = None
    private = None if found is None else private_state.load(found[1].decode())
    stages = {} if private is None else private.stages
    values = {value for one in stages.values() for value in one.env.values()}
    return KnownSecrets(
        values=frozenset(values | {line for value in values for line in value.splitlines()}),
        keys={stage: frozenset(one.env) for stage, one in stages.items()},
        are_lost=found is not None and private is None,
    )
