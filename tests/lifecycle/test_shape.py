"""The shape of a lifecycle file: each file refused here is wrong in exactly one way."""

from __future__ import annotations

import re
from operator import attrgetter
from typing import NamedTuple

import pytest
from pydantic import BaseModel

from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle.model import Lifecycle, State, Transition
from fsm_orchestrator.lifecycle.reading import parse
from fsm_orchestrator.lifecycle.source import shipped_text
from fsm_orchestrator.model.limits import LIMIT_FIELDS
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.model.spelled_out import with_short_names
from fsm_orchestrator.vocabulary import ExitCode

DEFAULT = shipped_text("governed_run").decode()
HEAD = DEFAULT[: DEFAULT.index("[[state]]")]
VERSION = "schema_version = 1"
TITLE = 'title = "Gates first, then manager, then executor"'
MANAGER = 'name = "manager"\nkind = "stage"'
GATES = 'gates = ["policy", "ci", "review"]'
FAILED = '["manager", "executor"]\ndest = "failed"'
TIMED_OUT_WHY = 'why = "a stage outlived its time and was ended"'
NAME = "a name: lower-case letters, digits and _, a letter first, at most 64 characters"
LINE = "one line without control characters, 1 to 200 characters"
MILLISECONDS = "a whole number from 1 to 2147483647"


class Case(NamedTuple):
    """A lifecycle that is refused, and all lines of the refusal."""

    name: str
    text: str
    problems: tuple[str, ...]


def refused(name: str, old: str, new: str, *problems: str) -> Case:
    """Return a case: the default lifecycle with `old`, found exactly once, made `new`."""
    assert DEFAULT.count(old) == 1, f"{old!r} is there {DEFAULT.count(old)} times"
    return Case(name, DEFAULT.replace(old, new), problems)


KEYS = (
    refused(
        "unknown key",
        TITLE,
        f"{TITLE}\nowner = 1",
        "unknown key 'owner'; known keys:"
        " schema_version, name, title, initial, gates_guard,"
        " accepts_early_signals, gate, state, transition",
    ),
    refused(
        "misspelt key",
        'gates_guard = "stages"',
        'gate_guard = "stages"',
        "unknown key 'gate_guard'; did you mean 'gates_guard'?",
    ),
    refused(
        "misspelt key of a state",
        MANAGER,
        f"{MANAGER}\ntimeot = 5",
        "state 'manager': unknown key 'timeot'; did you mean 'timeout'?",
    ),
    refused(
        "misspelt key of a transition",
        FAILED,
        f'{FAILED}\nguards = "gates_hold"',
        "transition 8 (stage_failed from manager, executor):"
        " unknown key 'guards'; did you mean 'guard'?",
    ),
    refused(
        "a command",
        MANAGER,
        f'{MANAGER}\ncommand = "true"',
        "state 'manager': unknown key 'command'; known keys: name, kind, gates, evidence, outcome,"
        f" {', '.join(with_short_names(LIMIT_FIELDS))}, stages, fail_fast, finally, retry,"
        " exit_codes, on_finally_failure, task_queue, effects",
    ),
    refused(
        "a key that would steer the terminal",
        FAILED,
        f'{FAILED}\n"\\u001b[2J" = 1',
        "transition 8 (stage_failed from manager, executor): unknown key '\\x1b[2J'; known keys:"
        " trigger, source, dest, guard, unless, at_most, why",
    ),
    refused("no version", VERSION, "", "key 'schema_version' is missing"),
    refused("no title", TITLE, "", "key 'title' is missing"),
    refused("nameless state", MANAGER, 'kind = "stage"', "state 3: key 'name' is missing"),
    refused(
        "unexplained edge",
        TIMED_OUT_WHY,
        "",
        "transition 9 (stage_timed_out from manager, executor): key 'why' is missing",
    ),
)

VALUES = (
    *(
        refused(
            f"title {said}",
            TITLE,
            f"title = {value}",
            f"key 'title' is {said}; expected {LINE}",
        )
        for value, said in (
            ('""', "''"),
            ('"a\\nb"', "'a\\nb'"),
            ('"\\u001b[1m"', "'\\x1b[1m'"),
            (f'"{"x" * 201}"', "a text of 201 characters"),
            ("5", "5"),
            ('["a"]', "a list"),
            ("{ a = 1 }", "a table"),
            ("1979-05-27", "a date or time"),
        )
    ),
    *(
        refused(
            f"timeout_ms {value}",
            MANAGER,
            f"{MANAGER}\ntimeout_ms = {value}",
            f"state 'manager': key 'timeout_ms' is {said}; expected {MILLISECONDS}",
        )
        for value, said in (
            ("0", "0"),
            ("2147483648", "2147483648"),
            ("9" * 30, "a very large number"),
            ("5.0", "5.0"),
            ("nan", "nan"),
            ("true", "true"),
            ("[]", "an empty list"),
            ("07:32:00", "a date or time"),
        )
    ),
    refused(
        "unknown kind",
        MANAGER,
        'name = "manager"\nkind = "stages"',
        "state 'manager': key 'kind' is 'stages'; expected one of initial, gate, stage, group,"
        " terminal; did you mean 'stage'?",
    ),
    refused(
        "unknown outcome",
        'outcome = "timeout"',
        'outcome = "late"',
        "state 'timeout': key 'outcome' is 'late'; expected one of done, blocked, failed, timeout",
    ),
    refused(
        "unknown gates_guard",
        'gates_guard = "stages"',
        'gates_guard = "nothing"',
        "key 'gates_guard' is 'nothing'; expected one of stages, effects, closure",
    ),
    refused(
        "one gate that is not a list",
        GATES,
        'gates = "ci"',
        "state 'gating': key 'gates' is 'ci'; expected a list, each item a name: lower-case"
        " letters, digits and _, a letter first, at most 64 characters",
    ),
    refused(
        "unknown trigger",
        'trigger = "start"',
        'trigger = "go"',
        "transition 1 (go from pending): key 'trigger' is 'go'; expected one of start,"
        " gates_passed, gates_refused, stage_succeeded, stage_failed, stage_timed_out,"
        " stage_declined, stage_blocked, rework_requested, run_aborted, run_timed_out, resume",
    ),
    refused(
        "a guard that would be imported",
        'unless = "gates_hold"',
        'unless = "os.getcwd"',
        "transition 6 (stage_succeeded from executor): key 'unless' is 'os.getcwd'; expected one"
        " of artifacts_intact, gates_hold, nothing_owed",
    ),
    refused(
        "state name in capitals",
        MANAGER,
        'name = "Manager"\nkind = "stage"',
        f"state 3: key 'name' is 'Manager'; expected {NAME}",
    ),
    refused(
        "a source in capitals",
        FAILED,
        '["manager", "Executor"]\ndest = "failed"',
        f"transition 8: key 'source' lists 'Executor'; expected {NAME}",
    ),
    refused(
        "a source that is no name",
        FAILED,
        '5\ndest = "failed"',
        "transition 8: key 'source' is 5; expected the name of a state or a list of names",
    ),
    Case(
        "states that are no tables",
        f"{HEAD}state = [5]\ntransition = []\n",
        (
            "state 1: is 5, not a table",
            (
                "key 'transition' is an empty list; expected 1 to 2000 tables, each headed"
                " [[transition]]"
            ),
        ),
    ),
    Case(
        "too many states",
        DEFAULT + '\n[[state]]\nname = "more"\nkind = "stage"\n' * 193,
        ("key 'state' has 201; expected 1 to 200 tables, each headed [[state]]",),
    ),
)

VERSIONS = tuple(
    refused(
        f"schema_version {said}",
        VERSION,
        f"schema_version = {value}\nunheard_of = 1",
        f"key 'schema_version' is {said}; this program reads version 1 only",
    )
    for value, said in (
        ("2", "2"),
        ("true", "true"),
        ("1.0", "1.0"),
        ('"1"', "'1'"),
        (f"0x{'f' * 9000}", "a very large number"),
    )
)


@pytest.mark.parametrize("case", [*KEYS, *VALUES, *VERSIONS], ids=attrgetter("name"))
def test_misshapen_lifecycle_is_refused(case: Case) -> None:
    """A wrong key or value is a usage error with file, part, key and what was expected."""
    with pytest.raises(LifecycleError) as refusal:
        parse(case.text.encode(), "run.toml")
    assert str(refusal.value).splitlines() == [f"run.toml: {line}" for line in case.problems]
    assert refusal.value.exit_code is ExitCode.USAGE
    assert refusal.value.remedy


def test_problems_of_shape_are_reported_together() -> None:
    """One refusal lists every wrong key and value, one per line."""
    text = DEFAULT.replace('kind = "gate"', 'kind = "gates"').replace(TITLE, "title = 5")
    with pytest.raises(LifecycleError) as refusal:
        parse(text.encode(), "run.toml")
    assert [line.split(";")[0] for line in str(refusal.value).splitlines()] == [
        "run.toml: key 'title' is 5",
        "run.toml: state 'gating': key 'kind' is 'gates'",
    ]


def test_flood_of_problems_is_cut_and_says_so() -> None:
    """The list of problems in a thoroughly wrong file is cut to a readable length, and says so."""
    unknown = "\n".join(f"key_{number} = 1" for number in range(2000))
    with pytest.raises(LifecycleError) as refusal:
        parse(DEFAULT.replace(TITLE, f"{TITLE}\n{unknown}").encode(), "run.toml")
    lines = str(refusal.value).splitlines()
    assert len(lines) == 51
    assert lines[-1] == "run.toml: there are more problems; only the first 50 are listed"


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys of a table for which no other test has a wrong value."""
    return [key for key in model.model_fields if key != "schema_version"]


@pytest.mark.parametrize(
    ("head", "key"),
    [
        *(("", key) for key in keys_of(Lifecycle)),
        *(("[[state]]", key) for key in keys_of(State)),
        *(("[[state]]\n[state.retry]", key) for key in keys_of(RetryPolicy)),
        *(("[[transition]]", key) for key in keys_of(Transition)),
    ],
)
def test_every_key_has_words_for_what_it_expects(head: str, key: str) -> None:
    """A wrong value of any key is refused with text for what was expected."""
    with pytest.raises(LifecycleError) as refusal:
        parse(f"{head}\n{key} = 07:32:00".encode(), "run.toml")
    assert re.search(rf"key '{key}' is a date or time; expected \S", str(refusal.value))


WANTED = {
    "exit_codes": "a list, each item a whole number from 1 to 255",
    "timeouts": "true or false",
    "backoff": "one of fixed, exponential",
    "backoff_ms": "a whole number from 0 to 2147483647",
}


@pytest.mark.parametrize(("key", "expected"), WANTED.items())
def test_bounds_are_those_of_the_model(key: str, expected: str) -> None:
    """The bounds in a refusal for a nested table are those of the model."""
    with pytest.raises(LifecycleError) as refusal:
        parse(f"[[state]]\nname = 'a'\nretry = {{ {key} = -1 }}".encode(), "run.toml")
    assert f"run.toml: state 'a': key {key!r} is -1; expected {expected}" in str(refusal.value)
