"""The states that `--rename` of `diagram --diff` names."""

from __future__ import annotations

from collections.abc import Iterable

from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.text.phrases import described, suggestion


def renames(given: Iterable[str], old: Lifecycle, new: Lifecycle) -> dict[str, str]:
    """Return the renamed states, old name to new.

    Raises:
        UsageError: a value is not a pair of names, or does not fit the lifecycles.
    """
    renamed: dict[str, str] = {}
    for one in given:
        before, equals, after = one.partition("=")
        if not equals:
            raise UsageError(
                f"--rename {described(one)} is not a pair of names", remedy="write OLD=NEW"
            )
        _refuse_unknown(before, old, "OLD")
        _refuse_unknown(after, new, "NEW")
        if before in renamed or after in renamed.values():
            raise UsageError(
                f"--rename {described(one)} names a state that another one names",
                remedy="give each state once",
            )
        renamed[before] = after
    for after in renamed.values():
        if after in old.states and after not in renamed:
            raise UsageError(
                f"--rename gives a state the name {described(after)}, which OLD has already",
                remedy="rename that one too",
            )
    return renamed


def _refuse_unknown(name: str, lifecycle: Lifecycle, side: str) -> None:
    if name not in lifecycle.states:
        hint = suggestion(name, lifecycle.states)
        raise UsageError(
            f"--rename names {described(name)}, which is no state of {side}{hint}",
            remedy=f"name one of {', '.join(lifecycle.states)}",
        )
