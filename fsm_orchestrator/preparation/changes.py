"""The differences between a completed stage now and when it completed. Pure comparison.

Command, arguments, directory, environment, expected artifacts and the artifacts themselves count;
how long the stage may take does not. No environment value is shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, assert_never

from fsm_orchestrator.config.stage_record import StageRecord
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import Compared

_SET: Final = "set"


class Change(NamedTuple):
    """One difference.

    Attributes:
        field: what differs.
        old: what it was, as it may be shown; None where there was nothing that can be shown.
        new: what it is now, as it may be shown; None where there is nothing that can be shown.
        key: the name of the environment variable; empty for all else.
    """

    field: Compared
    old: str | None
    new: str | None
    key: str = ""

    @property
    def sentence(self) -> str:
        """The difference, for a person."""
        return f"{self.field.value}: {self._difference}"

    @property
    def _difference(self) -> str:
        match self.field:
            case Compared.ENVIRONMENT if self.old is None:
                return f"{self.key} was not set when it completed"
            case Compared.ENVIRONMENT if self.new is None:
                return f"{self.key} was set when it completed and is not now"
            case Compared.ENVIRONMENT:
                return f"{self.key} has another value, or one that cannot be compared"
            case Compared.ARTIFACTS:
                return self.new or ""
            case Compared.COMMAND | Compared.ARGS | Compared.CWD | Compared.EXPECTED_ARTIFACTS:
                if self.new is None:
                    return "not what it completed with, in a part that is not shown"
                if self.old is None:
                    return "it had none, and was passed over"
                preposition = "in" if self.field is Compared.CWD else "with"
                return f"completed {preposition} {self.old}, now {self.new}"
            case field:
                assert_never(field)


def differences(completed: StageRecord, now: StageRecord, masker: Masker) -> tuple[Change, ...]:
    """Compare the settings of a stage with those it completed with, as far as they are shown."""
    return tuple(_differences(completed, now, masker))


def _differences(completed: StageRecord, now: StageRecord, masker: Masker) -> Iterator[Change]:
    # What is secret now may not have been then: both are compared as they would be shown now.
    command, cwd = masker.mask_paths((completed.command, completed.cwd))
    args = list(masker.mask_all(completed.args))
    artifacts = list(masker.mask_paths(completed.expected_artifacts))
    for field, old, new in (
        (Compared.COMMAND, repr(command), repr(now.command)),
        (Compared.ARGS, repr(args), repr(list(now.args))),
        (Compared.CWD, repr(cwd), repr(now.cwd)),
        (Compared.EXPECTED_ARTIFACTS, repr(artifacts), repr(list(now.expected_artifacts))),
    ):
        if old != new:
            yield Change(field, old, new)
    digests, digests_now = completed.env_digests, now.env_digests
    for key in sorted(digests.keys() | digests_now.keys()):
        if digests.get(key) != digests_now.get(key):
            was_set = _SET if key in digests else None
            is_set = _SET if key in digests_now else None
            yield Change(Compared.ENVIRONMENT, was_set, is_set, key)


def hidden_differences(then: StageSettings, now: StageSettings) -> tuple[Change, ...]:
    """Compare exact settings that look alike where they are shown, for both are masked there."""
    pairs = {
        Compared.COMMAND: (then.command, now.command),
        Compared.ARGS: (then.args, now.args),
        Compared.CWD: (then.cwd, now.cwd),
        Compared.EXPECTED_ARTIFACTS: (then.expected_artifacts, now.expected_artifacts),
    }
    return tuple(Change(field, None, None) for field, (old, new) in pairs.items() if old != new)
