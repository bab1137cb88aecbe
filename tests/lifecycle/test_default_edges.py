"""The edges that a file may leave out: the same ones are added that it would have declared."""

from __future__ import annotations

import re

import pytest

from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle.default_edges import DEFAULT_EDGES, with_default_edges
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.reading import parse
from fsm_orchestrator.lifecycle.source import shipped_names, shipped_text
from tests.support.lifecycle_cases import DEFAULT, edge

TRIGGERS = [one.trigger.value for one in DEFAULT_EDGES]


def without(text: str, *triggers: str) -> str:
    """Return a lifecycle without its transitions for some triggers."""
    head, *transitions = re.split(r"(?=^\[\[transition\]\])", text, flags=re.MULTILINE)
    told = [f'trigger = "{one}"' for one in triggers]
    return head + "".join(one for one in transitions if not any(line in one for line in told))


def relation(lifecycle: Lifecycle) -> set[tuple[str, ...]]:
    """Return what can happen, regardless of the order of the file."""
    return {(one.source, one.trigger, one.dest) for one in lifecycle.edges}


@pytest.mark.parametrize("name", shipped_names())
def test_what_is_left_out_is_as_if_it_were_there(name: str) -> None:
    """A lifecycle with its default edges left out has the same digest."""
    text = shipped_text(name).decode()
    short = without(text, *TRIGGERS)
    assert short.count("[[transition]]") <= text.count("[[transition]]") - 4
    assert parse(short.encode(), "short.toml").sha256 == parse(text.encode(), "all.toml").sha256


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_one_state_that_a_list_leaves_out(trigger: str) -> None:
    """A state that is added to a file need not be added to its lists."""
    old = re.search(rf'trigger = "{trigger}"\nsource = \[(.*)\]', DEFAULT)
    assert old is not None
    shorter = old[0].replace('"executor"', '"manager"').replace('"manager", "manager"', '"manager"')
    text = DEFAULT.replace(old[0], shorter)
    assert text != DEFAULT
    assert relation(parse(text.encode(), "x.toml")) == relation(parse(DEFAULT.encode(), "y.toml"))


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_where_two_states_could_be_meant_none_is_chosen(trigger: str) -> None:
    """With a second state of that outcome, or another start, the file has to declare the edge."""
    outcome = "timeout" if trigger == "stage_timed_out" else "failed"
    second = f'\n[[state]]\nname = "second"\nkind = "terminal"\noutcome = "{outcome}"\n'
    text = without(DEFAULT, trigger) + second
    if trigger == "resume":
        text += edge("start", '"pending"', "manager")
    with pytest.raises(LifecycleError, match=f"state 'executor': lacks an edge for {trigger}"):
        parse(text.encode(), "x.toml")


def test_timeouts_fail_a_run_that_has_no_state_for_them() -> None:
    """Without a timeout state, timeouts lead to failed."""
    text = re.sub(r'\[\[state\]\]\nname = "timeout"\n.*\n.*\n', "", without(DEFAULT, *TRIGGERS))
    edges = parse(text.encode(), "x.toml").edges
    assert {one.dest for one in edges if one.trigger == "stage_timed_out"} == {"failed"}


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"state": "x"},
        {"state": [1]},
        {"state": [{"name": ["x"], "kind": "stage"}]},
        {"state": [{"name": "x", "kind": ["stage"]}], "transition": [{"source": 3}]},
        {"state": [{"name": "X", "kind": "stage"}, {"name": "f", "outcome": "failed"}]},
        {"state": [], "transition": {"trigger": "start"}},
        {"state": [{"name": "x", "kind": "stage"}], "transition": [{"trigger": [], "dest": []}]},
    ],
)
def test_what_is_not_understood_is_left_alone(table: dict[str, object]) -> None:
    """A table that is not understood stays unchanged, so its shape is judged as it was written."""
    assert with_default_edges(table) is table
