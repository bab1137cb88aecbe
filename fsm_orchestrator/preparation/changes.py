"""The differences between a completed stage now and when it completed. Pure comparison.

Command, arguments, directory, environment, expected artifacts and the artifacts themselves count;
the stage's time limits do not. No environment value is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.config.hidden_text import HiddenText, Hider, Place, texts_of
from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.constants import TRACE_VARIABLES
from fsm_orchestrator.record.closure import content_difference
from fsm_orchestrator.vocabulary import Compared

_SET: Final = "set"
_TEXTS: Final = (
    *(Compared.COMMAND, Compared.ARGS, Compared.CWD, Compared.EXPECTED_ARTIFACTS),
    Compared.VERIFICATION,
)


class Change(NamedTuple):
    """One difference.

    Attributes:
        field: the field that differs.
        old: its old value, as it may be shown; None if there was nothing that can be shown.
        new: its new value, as it may be shown; None if there is nothing that can be shown.
        key: the name of the environment variable, or the path of an artifact, a schema or an
            input whose content differs, as it may be shown; empty for everything else.
    """

    field: Compared
    old: str | None
    new: str | None
    key: str = ""

    @property
    def sentence(self) -> str:
        """The difference, as a sentence."""
        return f"{self.field.value}: {self._difference}"

    @property
    def is_of_content(self) -> bool:
        """True if an artifact is there and good, but has other bytes: `old` and `new` digests."""
        return self.field is Compared.ARTIFACTS and self.old is not None

    @property
    def _difference(self) -> str:
        match self.field:
            case Compared.ENVIRONMENT if self.old is None:
                return f"{self.key} was not set when it completed"
            case Compared.ENVIRONMENT if self.new is None:
                return f"{self.key} was set when it completed and is not now"
            case Compared.ENVIRONMENT:
                return f"{self.key} has another value, or one that cannot be compared"
            case Compared.ARTIFACTS if self.is_of_content:
                return content_difference(self.key, self.old or "", self.new or "")
            case Compared.ARTIFACTS:
                return self.new or ""
            case Compared.CONTRACTS if self.key:
                return f"{self.key} had the sha256 {self.old} when it completed, now {self.new}"
            case Compared.INPUTS if self.key:
                return f"{self.key} was {self.old} when it completed, is {self.new} now"
            case Compared.CONTRACTS | Compared.PROTECTED | Compared.INPUTS:
                return f"completed with {self.old}, now {self.new}"
            case (
                Compared.COMMAND
                | Compared.ARGS
                | Compared.CWD
                | Compared.EXPECTED_ARTIFACTS
                | Compared.VERIFICATION
            ):
                if self.new is None:
                    return "not what it completed with, in a part that is not shown"
                if self.old is None:
                    return "it had none, and was passed over"
                preposition = "in" if self.field is Compared.CWD else "with"
                return f"completed {preposition} {self.old}, now {self.new}"
            case field:
                assert_never(field)


class Version(NamedTuple):
    """The settings of a stage, as exactly as they are known, with their record."""

    settings: StageSettings
    record: StageRecord


def differences(
    then: Version, now: Version, hider: Hider, *, key_is_lost: bool
) -> Iterator[Change]:
    """Compare the settings of a stage with those it completed with.

    Nothing masked is compared: a text that holds a secret is compared as it is used or, if that is
    not known, by its parts or by a keyed digest. Another value of a secret is no difference,
    because secrets are replaced now and then.

    Args:
        then: what it completed with.
        now: what it has now.
        hider: knows what is secret now.
        key_is_lost: True if values that were given again cannot be compared, and are accepted.
    """
    yield from text_differences(then.settings, now.settings, hider)
    yield from _variables(then.record, now.record, key_is_lost=key_is_lost)


def text_differences(then: StageSettings, now: StageSettings, hider: Hider) -> Iterator[Change]:
    """Compare the texts of a stage's settings, as `differences` does."""
    before, after = _by_place(then), _by_place(now)
    for field in _TEXTS:
        old = {place: one for place, one in before.items() if place.field is field}
        new = {place: one for place, one in after.items() if place.field is field}
        are_same = old.keys() == new.keys() and all(
            _is_same(one, new[place], hider) for place, one in old.items()
        )
        if not are_same:
            yield _shown(field, then, now, hider)


def replaced_secrets(then: StageRecord, now: StageRecord) -> tuple[str, ...]:
    """Return the secrets that have other values than when the stage completed, where known."""
    before, after = then.secret_digests, now.secret_digests
    return tuple(key for key, one in before.items() if one and after.get(key) and after[key] != one)


class _Text(NamedTuple):
    """A text of settings, with its kept form if it is known only masked."""

    shown: str
    hidden: HiddenText | None


def _by_place(settings: StageSettings) -> dict[Place, _Text]:
    hidden = {Place(one.field, one.index): one for one in settings.hidden}
    texts = texts_of(
        settings.command,
        settings.args,
        settings.cwd,
        settings.expected_artifacts,
        settings.verify,
    )
    return {place: _Text(text, hidden.get(place)) for place, text in texts}


def _is_same(old: _Text, new: _Text, hider: Hider) -> bool:
    if old.hidden is not None and new.hidden is not None:
        return old.hidden.is_same(new.hidden)
    if old.hidden is not None:
        return old.hidden.digest == hider.digest(new.shown)
    if new.hidden is not None:
        return new.hidden.digest == hider.digest(old.shown)
    return old.shown == new.shown


def _shown(field: Compared, then: StageSettings, now: StageSettings, hider: Hider) -> Change:
    """Return a difference as it may be shown: without the texts if only a secret differs."""
    old, new = (_words(field, one, hider) for one in (then, now))
    return Change(field, None, None) if old == new else Change(field, old, new)


def _words(field: Compared, settings: StageSettings, hider: Hider) -> str:
    texts = {place: hider.masker.mask(one.shown) for place, one in _by_place(settings).items()}
    listed = [text for place, text in texts.items() if place.field is field]
    is_one = field in {Compared.COMMAND, Compared.CWD}
    return repr(listed[0] if is_one else listed)


def _variables(then: StageRecord, now: StageRecord, *, key_is_lost: bool) -> Iterator[Change]:
    secret = then.secret_digests.keys() | now.secret_digests.keys()
    before = {**then.env_digests, **then.secret_digests}
    after = {**now.env_digests, **now.secret_digests}
    for key in sorted((before.keys() | after.keys()) - TRACE_VARIABLES):
        if key in before and key in after:
            is_same = key in secret or key_is_lost or before[key] == after[key]
        else:
            is_same = False
        if not is_same:
            was_set = _SET if key in before else None
            is_set = _SET if key in after else None
            yield Change(Compared.ENVIRONMENT, was_set, is_set, key)
