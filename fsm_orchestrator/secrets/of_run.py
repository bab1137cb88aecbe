"""The values of a run that must not be shown, as far as they are known here and now.

Used by everything that shows output of stages. Settings are known while the run's private file
holds them, secrets if the operator's environment has them or they are kept. If the checkpoint
cannot be understood, every value that the run may have had counts as lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from fsm_orchestrator.disk import peek
from fsm_orchestrator.secrets import private_file
from fsm_orchestrator.secrets.declared import known
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.private_file import PrivateFile


class KnownSecrets(NamedTuple):
    """The values of a run that are still known.

    Attributes:
        secrets: the values of secrets, by name.
        settings: the other values that stages got.
        keys: the names of those settings, by stage.
        unknown: the names of the secrets with no value known here.
        are_lost: true if the run may have had settings and none is known any longer.
    """

    secrets: Mapping[str, frozenset[str]]
    settings: frozenset[str]
    keys: Mapping[str, frozenset[str]]
    unknown: tuple[str, ...]
    are_lost: bool

    @property
    def masker(self) -> Masker:
        """A masker for what stages have printed."""
        values = (one for values in self.secrets.values() for one in values)
        return Masker(values).with_settings(self.settings)

    def cover(self, stage: str, names: Collection[str]) -> bool:
        """Return whether the values of all these variables of a stage are known."""
        return (self.keys.get(stage, frozenset()) | self.secrets.keys()).issuperset(names)

    def and_before(self, earlier: KnownSecrets) -> KnownSecrets:
        """Return these values together with those that were known earlier."""
        return self._replace(
            secrets={
                key: self.secrets.get(key, frozenset()) | earlier.secrets.get(key, frozenset())
                for key in self.secrets.keys() | earlier.secrets.keys()
            },
            settings=self.settings | earlier.settings,
            unknown=tuple(key for key in self.unknown if key not in earlier.secrets),
        )


NONE_KNOWN: Final = KnownSecrets({}, frozenset(), {}, (), are_lost=True)
"""The values known of a run whose checkpoint cannot be understood."""


def known_secrets(directory: Path, members: Mapping[str, Any] | None = None) -> KnownSecrets:
    """Return the values of the run in a directory that are still known.

    `members` are the leading members of its checkpoint, if the caller has read them.
    """
    facts = peek.private_facts(directory, members)
    if not facts.is_known:
        return NONE_KNOWN
    private = None if facts.ref is None else private_file.load(facts.ref, directory)
    found = secrets_in(private, facts.secret_keys, is_expected=facts.ref is not None)
    for ref in facts.refs_before:  # only to hide what is in the logs that were copied
        before = private_file.load(ref, directory)
        known_before = secrets_in(before, facts.secret_keys, is_expected=True)
        found = found.and_before(known_before)._replace(
            are_lost=found.are_lost or known_before.are_lost
        )
    return found


def secrets_in(
    private: PrivateFile | None, names: Collection[str], *, is_expected: bool
) -> KnownSecrets:
    """Return the values that are known of a run.

    Args:
        private: its private file, if that can be read.
        names: the names of its secrets.
        is_expected: true if the run had a private file.
    """
    stages = {} if private is None else private.stages
    found = {key: _values(key, private) for key in names}
    return KnownSecrets(
        secrets={key: values for key, values in found.items() if values},
        settings=frozenset(value for one in stages.values() for value in one.env.values()),
        keys={stage: frozenset(one.env) for stage, one in stages.items()},
        unknown=tuple(key for key, values in found.items() if not values),
        are_lost=is_expected and private is None,
    )


def _values(key: str, private: PrivateFile | None) -> frozenset[str]:
    """Return the values that a secret is known to have had."""
    stages = () if private is None else private.stages.values()
    values = {one.secrets[key] for one in stages if key in one.secrets}
    value = known(key)
    return frozenset(values if value is None else {*values, value})
