"""The short form of a lifecycle: what it stands for, and what can be wrong with one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle.reading import parse, read, shipped
from fsm_orchestrator.lifecycle.source import declared_in, shipped_names
from fsm_orchestrator.lifecycle.verification import verify
from fsm_orchestrator.lifecycle.writing import lifecycle_text
from fsm_orchestrator.vocabulary import StateKind
from tests.support.command import PASSING, orchestrate, report_of, statuses

HEAD = 'schema_version = 1\nname = "deploy"\ntitle = "Plan, apply, test"\n'
FIVE_LINES = f'{HEAD}stages = ["plan", "apply", "test"]\ngates = ["policy", "ci", "review"]\n'
PLANNED = (
    f'{HEAD}gates_guard = "effects"\n'
    'stages = [{ name = "plan", effects = false, timeout = "5m" }, "apply", "test"]\n'
    'gates = ["policy", "ci", { name = "review", before = "apply" }]\n'
)
AT_THE_END = (
    f'{HEAD}gates_guard = "closure"\nstages = ["plan", "apply"]\n'
    'gates = [{ name = "policy", before = "done" }, { name = "ci", before = "done" },'
    ' { name = "review", before = "done" }]\n'
)
OWN_GATE = (
    f'{HEAD}evidence = "required"\nstages = ["plan"]\n'
    '[[gate]]\nname = "freeze"\nvalues = ["open", "closed"]\nreason_code = "GATE_FREEZE"\n'
)
SHORT = {"gates first": FIVE_LINES, "a later gate": PLANNED, "at the end": AT_THE_END}


@pytest.mark.parametrize(
    ("name", "text"), [("governed_run", FIVE_LINES), ("closure_gated", AT_THE_END)]
)
def test_short_form_can_say_what_a_built_in_lifecycle_says(name: str, text: str) -> None:
    """The short form of a built-in lifecycle has the same digest as the long form."""
    text = text.replace('"deploy"', f'"{name}"')
    text = re.sub(r"stages = .*", 'stages = ["manager", "executor"]', text)
    short, written = parse(text.encode(), "x.toml"), shipped(name)
    renamed = {"before_done": "gating"}
    assert [
        (renamed.get(one.source, one.source), one.trigger, renamed.get(one.dest, one.dest))
        for one in short.edges
    ] == [(one.source, one.trigger, one.dest) for one in written.edges]
    assert (short.sha256 == written.sha256) is (name == "governed_run")


def test_gate_before_a_later_stage() -> None:
    """A gate can come before a later stage with settings, as in `plan_review_apply`."""
    text = PLANNED.replace('"plan"', '"manager"').replace('"apply", "test"]', '"executor"]')
    text = text.replace('"apply"', '"executor"')
    short, written = parse(text.encode(), "x.toml"), shipped("plan_review_apply")
    renamed = {"before_executor": "approving"}
    assert {
        (renamed.get(one.source, one.source), one.trigger, renamed.get(one.dest, one.dest))
        for one in short.edges
    } == {(one.source, one.trigger, one.dest) for one in written.edges}
    assert short.states["manager"].timeout_ms == 300_000
    assert short.without_effects == ("manager",)


def test_gates_before_done() -> None:
    """Gates can come before done, as in `closure_gated`: the run begins with the first stage."""
    lifecycle = parse(AT_THE_END.encode(), "x.toml")
    assert lifecycle.edges[0].dest == "plan"
    assert lifecycle.states["before_done"].gates == ("policy", "ci", "review")


def test_gates_that_are_not_named_are_all_before_the_first_stage() -> None:
    """Gates that are not named, declared ones included, come before the first stage."""
    lifecycle = parse(OWN_GATE.encode(), "x.toml")
    gates = [one for one in lifecycle.state if one.kind is StateKind.GATE]
    assert [(one.name, one.gates, one.evidence) for one in gates] == [
        ("gating", ("policy", "ci", "review", "freeze"), "required")
    ]


@pytest.mark.parametrize("text", SHORT.values(), ids=SHORT.keys())
def test_expanded_text_is_the_same_lifecycle(text: str, tmp_path: Path) -> None:
    """The expanded text of a short form has the same digest, options and proof."""
    (tmp_path / "short.toml").write_text(text)
    written = orchestrate("lifecycle", "./short.toml", "--expand", cwd=tmp_path)
    (tmp_path / "long.toml").write_text(written.stdout)
    short, long = (read(f"./{name}.toml", tmp_path) for name in ("short", "long"))
    assert short == long
    assert verify(long) == ()
    assert declared_in(text.encode()).stages == long.stages
    assert orchestrate("lifecycle", "./short.toml", cwd=tmp_path).stdout == text


@pytest.mark.parametrize("name", shipped_names())
def test_written_out_text_of_any_lifecycle_is_that_lifecycle(name: str) -> None:
    """A lifecycle that is written out as text loses nothing, neither a reason nor an order."""
    lifecycle = shipped(name)
    assert parse(lifecycle_text(lifecycle).encode(), "x.toml") == lifecycle


def test_run_of_a_short_form(tmp_path: Path) -> None:
    """Options, record and resume of a run know the stages of its short form."""
    (tmp_path / "deploy.toml").write_text(FIVE_LINES)
    bins = [word for name in ("plan", "apply", "test") for word in (f"--{name}-bin", "true")]
    ended = orchestrate("out", "--lifecycle", "./deploy.toml", *PASSING, *bins, cwd=tmp_path)
    assert ended.code == 0, ended.stderr
    report = report_of(tmp_path / "out")
    assert statuses(report) == [(name, "success") for name in ("plan", "apply", "test")]
    assert report["lifecycle"]["sha256"] == parse(FIVE_LINES.encode(), "x.toml").sha256
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0


REFUSED = {
    '["plan", "plan", "done"]': (
        "stage 'plan': duplicate name, listed more than once",
        "stage 'done': the lifecycle has another state of that name",
    ),
    '["plan", 3, { name = "x", tymeout = 3 }]': (
        "stage 2: is 3, not a name or a table",
        "stage 'x': unknown key 'tymeout'; did you mean 'timeout'?",
    ),
    '["Plan"]': (
        (
            "stage 1: key 'name' is 'Plan'; expected a name: lower-case letters, digits and _, a"
            " letter first, at most 64 characters"
        ),
    ),
    "[]": ("key 'stages' is an empty list; expected a list of 1 to 50 names or tables",),
    '"plan"': ("key 'stages' is 'plan'; expected a list of 1 to 50 names or tables",),
    '["plan"]\ngates = ["polcy", { name = "ci", before = "plna" }]': (
        "key 'gates' lists 'polcy', which is no gate; did you mean 'policy'?",
        "gate 'ci': key 'before' is 'plna', which is no stage; did you mean 'plan'?",
    ),
    '["gating", "x", "before_x"]\ngates = ["policy", "ci", { name = "review", before = "x" }]': (
        "stage 'gating': the lifecycle has another state of that name",
        "stage 'before_x': the lifecycle has another state of that name",
    ),
    '[{ name = "plan", timeout = "5x" }]': (
        (
            "stage 'plan': key 'timeout': '5x' is no duration: write 90s, 10m, 1h30m, or a whole"
            " number of milliseconds"
        ),
    ),
    '["plan"]\ninitial = "x"\n[[transition]]\nwhy = "x"': (
        (
            "key 'stages' stands for states and transitions: 'initial' and 'transition' cannot be"
            " given in addition; write them out with lifecycle FILE --expand"
        ),
    ),
}


@pytest.mark.parametrize(("stages", "said"), REFUSED.items(), ids=range(len(REFUSED)))
def test_what_is_wrong_is_said_of_what_was_written(stages: str, said: tuple[str, ...]) -> None:
    """A problem is reported in terms of what the file says, not of generated states."""
    with pytest.raises(LifecycleError) as refusal:
        parse(f"{HEAD}stages = {stages}\n".encode(), "x.toml")
    assert str(refusal.value).splitlines() == [f"x.toml: {one}" for one in said]


def test_short_form_that_breaks_a_promise_is_refused_with_a_walk() -> None:
    """A short form with a stage before the gate that guards it is refused with a walk."""
    with pytest.raises(LifecycleError, match="can be entered before gate review passed") as refusal:
        parse(PLANNED.replace('gates_guard = "effects"\n', "").encode(), "x.toml")
    assert "pending --start--> gating --gates_passed--> plan" in str(refusal.value)


# -- the edges that a lifecycle lacks ----------------------------------------------------------

BARE = """
schema_version = 1
name = "bare"
title = "Only what must be said"
initial = "pending"
state = [
  { name = "pending", kind = "initial" }, { name = "gating", kind = "gate" },
  { name = "plan", kind = "stage" }, { name = "apply", kind = "stage" },
  { name = "done", kind = "terminal", outcome = "done" },
  { name = "blocked", kind = "terminal", outcome = "blocked" },
  { name = "failed", kind = "terminal", outcome = "failed" },
]
"""
ONE_EDGE = '[[transition]]\ntrigger = "start"\nsource = "pending"\ndest = "gating"\nwhy = "x"\n'


def test_what_verify_says_to_paste_makes_the_lifecycle_whole(tmp_path: Path) -> None:
    """With the edges that `verify` prints, a file is proved and closes as strictly as built-ins."""
    path = tmp_path / "bare.toml"
    path.write_text(BARE + ONE_EDGE)
    refused = orchestrate("verify", "./bare.toml", cwd=tmp_path)
    assert refused.code == 1
    pasted = refused.stdout.partition("to paste into the file; read where each leads:\n")[2]
    path.write_text(BARE + ONE_EDGE + pasted)
    proved = orchestrate("verify", "./bare.toml", cwd=tmp_path)
    assert proved.code == 0, proved.stdout
    last = [one for one in read("./bare.toml", tmp_path).edges if one.source == "apply"][:3]
    assert [(one.dest, one.unless) for one in last] == [
        ("failed", "artifacts_intact"),
        ("blocked", "gates_hold"),
        ("done", None),
    ]
    as_json = json.loads(orchestrate("verify", "--json", "./bare.toml", cwd=tmp_path).stdout)
    assert as_json["lifecycles"][0]["missing_edges"] == []


# -- renamed states ----------------------------------------------------------------------------


def test_renamed_stage_is_no_loosening(tmp_path: Path) -> None:
    """A stage that the operator declares as renamed is compared as the same stage."""
    (tmp_path / "deploy.toml").write_text(FIVE_LINES)
    pair = ("diagram", "--diff", "governed_run", "./deploy.toml")
    assert orchestrate(*pair, cwd=tmp_path).code == 1
    renamed = ("--rename", "manager=plan", "--rename", "executor=apply")
    compared = orchestrate(*pair, *renamed, cwd=tmp_path)
    assert compared.code == 0
    assert re.findall(r"renamed state (\w+): is (\w+) now", compared.stdout) == [
        ("manager", "plan"),
        ("executor", "apply"),
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("manager",), "--rename 'manager' is not a pair of names"),
        (("manger=plan",), "--rename names 'manger', which is no state of OLD; did you mean"),
        (("manager=plam",), "--rename names 'plam', which is no state of NEW; did you mean"),
        (("manager=plan", "executor=plan"), "names a state that another one names"),
        (("manager=gating",), "the name 'gating', which OLD has already"),
    ],
)
def test_rename_that_fits_no_state_is_refused(
    tmp_path: Path, given: tuple[str, ...], said: str
) -> None:
    """A rename that fits no state is refused with the problem, and nothing is compared."""
    (tmp_path / "deploy.toml").write_text(FIVE_LINES)
    options = [word for one in given for word in ("--rename", one)]
    pair = ("diagram", "--diff", "governed_run", "./deploy.toml")
    refused = orchestrate(*pair, *options, cwd=tmp_path)
    assert (refused.code, refused.stdout) == (2, "")
    assert said in refused.stderr


def test_rename_without_a_pair_is_refused(tmp_path: Path) -> None:
    """A rename is refused if only one lifecycle is given."""
    refused = orchestrate("diagram", "governed_run", "--rename", "a=b", cwd=tmp_path)
    assert (refused.code, refused.stdout) == (2, "")
