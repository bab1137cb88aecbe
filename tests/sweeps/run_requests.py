"""Draw requests, changes of settings and the actions of the stages."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from tests.sweeps.run_model import ARTIFACTS, GATES, PASSING, STAGES, Act, Given, Request, Value

# -- any sequence of these ------------------------------------------------------------------------


def mostly(*usual: Value, rarely: st.SearchStrategy[Value]) -> st.SearchStrategy[Value]:
    """Return one of the usual values, or occasionally another."""
    choices = [st.just(value) for value in usual]
    return st.sampled_from([*choices, *choices, rarely]).flatmap(lambda chosen: chosen)


SOME_GATES = st.fixed_dictionaries(
    {}, optional={gate: st.sampled_from(values) for gate, values in GATES.items()}
)
NO_GATES: Final[Mapping[str, str]] = {}
GATES_AT_FIRST = mostly(PASSING, PASSING, PASSING, NO_GATES, rarely=SOME_GATES)
GATES_AGAIN = mostly(PASSING, NO_GATES, rarely=SOME_GATES)
KILLS: Final = (Act.WAITS,) if sys.platform == "linux" else ()
"""The act for kills: only on Linux does anybody end what a killed orchestrator leaves before a
resume."""
FAILING: Final = (Act.FAILS, Act.HANGS, Act.DIES, Act.IDLE, Act.BROKEN, *KILLS)
VALUES = {
    "MARK": st.sampled_from(["mark-4711", "mark-4712"]),
    "HINT": st.sampled_from(["hint-0815", "hint-0816"]),
}


@dataclass(frozen=True)
class Play:
    """The actions of the stages if they are started, and the command's."""

    manager: Act = Act.GOOD
    executor: Act = Act.GOOD
    by_command: bool = False
    """True if the command is typed although nobody will kill it."""
    is_awaited: bool = True
    """True if nothing more is done until all that a kill left has ended."""

    def acts(self) -> Mapping[str, Act]:
        """Return the action of each stage."""
        return {"manager": self.manager, "executor": self.executor}


def plays(*executor: Act) -> st.SearchStrategy[Play]:
    """Return ways to act, in which the executor does one of some actions."""
    return st.builds(
        Play,
        manager=st.sampled_from([*([Act.GOOD] * 14), Act.SPOILS, *FAILING]),
        executor=st.sampled_from([*executor, *FAILING]),
        by_command=st.sampled_from([*([False] * 24), True]),
        is_awaited=st.booleans(),
    )


PLAYS_AT_FIRST = plays(*([Act.GOOD] * 3), *([Act.SPOILS] * 4), Act.FAILS, *KILLS)
"""Most runs are to be resumed: with one stage complete, or with all but no way to close."""
PLAYS = plays(*([Act.GOOD] * 7), *([Act.SPOILS] * 2))


def some_of(stage: str) -> st.SearchStrategy[tuple[str, ...]]:
    """Return some of the artifacts of a stage."""
    return st.lists(st.sampled_from(ARTIFACTS[stage]), unique=True).map(tuple)


def declared(stage: str) -> st.SearchStrategy[Given]:
    """Return a stage as it is first declared: usually with all possible settings."""
    usual = Given("/bin/sh", "a", {"MARK": "mark-4711", "HINT": "hint-0815"}, ARTIFACTS[stage])
    unusual = st.builds(
        Given,
        program=st.sampled_from([*(["/bin/sh"] * 4), "./sh", "./gone"]),
        tag=st.sampled_from([*(["a"] * 4), "b", None]),
        env=st.none() | st.fixed_dictionaries({}, optional=VALUES),
        artifacts=some_of(stage),
        cwd=st.sampled_from([None, None, "there"]),
    )
    return mostly(usual, usual, Given("/bin/sh", "a"), rarely=unusual)


def changed(stage: str) -> st.SearchStrategy[Given]:
    """Return what a resume may give for a stage: one setting, or several."""
    program = st.sampled_from(["/bin/sh", "/bin/sh", "./sh", "./gone"])
    tag = st.sampled_from(["a", "b"])
    env = st.fixed_dictionaries({}, optional=VALUES)
    cwd = st.sampled_from(["base", "there"])
    return st.one_of(
        st.builds(Given, tag=tag),
        st.builds(Given, env=env),
        st.builds(Given, artifacts=some_of(stage)),
        st.builds(Given, cwd=cwd),
        st.builds(Given, program=program, tag=tag),
        st.builds(
            Given,
            program=st.none() | program,
            tag=st.none() | tag,
            env=st.none() | env,
            artifacts=st.none() | some_of(stage),
            cwd=st.none() | cwd,
        ),
    )


ANEW = st.builds(
    Request,
    is_resume=st.just(False),
    lifecycle=st.sampled_from([None, None, "closure_gated"]),
    gates=GATES_AT_FIRST,
    stages=st.fixed_dictionaries(
        {"manager": declared("manager")}, optional={"executor": declared("executor")}
    )
    | st.fixed_dictionaries({stage: declared(stage) for stage in STAGES}),
    on_changed=st.sampled_from([*(["refuse"] * 19), "keep"]),
    rerun=st.sampled_from([*([()] * 19), ("manager",)]),
)
AGAIN = st.builds(
    Request,
    is_resume=st.just(True),
    lifecycle=st.none(),
    gates=GATES_AGAIN,
    stages=st.fixed_dictionaries({}, optional={stage: changed(stage) for stage in STAGES}),
    on_changed=st.sampled_from(["refuse", "keep", "rerun"]),
    rerun=st.sampled_from([(), (), (), ("manager",), ("executor",), ("reviewer",)]),
)
CHANGES = st.fixed_dictionaries({stage: changed(stage) for stage in STAGES})
ALONE: Final = Request(is_resume=True)
