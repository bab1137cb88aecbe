"""The digest of a lifecycle: of everything that can happen in its runs."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.lifecycle.groups import GroupFields
from fsm_orchestrator.text.digest import sha256_of

if TYPE_CHECKING:
    from fsm_orchestrator.lifecycle.model import Lifecycle

_FINALLY: Final = ("finally", "on_finally_failure")
_ELSEWHERE: Final = {
    *("gates", "evidence", "effects", "task_queue"),
    *(*_FINALLY, *GroupFields.model_fields),
}
"""The keys of a state that are digested separately, if a state has them."""


def digest_of(lifecycle: Lifecycle, leaving_out: Collection[str]) -> str:
    """Return the digest of states and edges, without some keys of states."""
    return sha256_of(relation_of(lifecycle, leaving_out))


def relation_of(lifecycle: Lifecycle, leaving_out: Collection[str] = ()) -> bytes:
    """Return the text that is digested."""
    left_out = {*_ELSEWHERE, *leaving_out}
    states = [
        (*state.model_dump(mode="json", exclude=left_out).values(), lifecycle.judged_in(state))
        for state in lifecycle.state
    ]
    edges = [edge[:-1] for edge in lifecycle.edges]  # without `why`
    demands = [one.name for one in lifecycle.state if one.evidence is not None]
    of_all = lifecycle.name, lifecycle.initial, lifecycle.gates_guard
    relation: tuple[object, ...] = (*of_all, states, edges)
    if demands or lifecycle.accepts_early_signals:
        relation = (*relation, demands, lifecycle.accepts_early_signals)
    if lifecycle.without_effects:
        relation = (*relation, lifecycle.without_effects)
    if lifecycle.finally_stage is not None:
        mode = lifecycle.states[lifecycle.finally_stage].on_finally_failure
        relation = (*relation, "finally", lifecycle.finally_stage, mode)
    if lifecycle.group_of:
        groups = [(one.name, one.stages, one.fail_fast) for one in lifecycle.state if one.stages]
        relation = (*relation, "groups", groups)
    if lifecycle.gate:
        gates = [(one.name, one.values, one.reason_code) for one in lifecycle.gate]
        relation = (*relation, "gates", gates)
    queues = [(one.name, one.task_queue) for one in lifecycle.state if one.task_queue is not None]
    if queues and "task_queue" not in leaving_out:
        relation = (*relation, "task queues", queues)
    return json.dumps(relation).encode()
