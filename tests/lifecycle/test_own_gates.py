"""Gates that a lifecycle declares: refusals, proofs, and the effect of a change."""

from __future__ import annotations

from operator import attrgetter
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.lifecycle.diff import DiffVerdict, LifecycleDiff, diff
from fsm_orchestrator.lifecycle.diff_text import diff_text
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.reading import parse
from fsm_orchestrator.lifecycle.verification import proved, verify
from tests.support.lifecycle_cases import (
    DEFAULT,
    Case,
    assert_refused,
    edited,
    refused,
)

EXAMPLE: Final = (
    Path(__file__).parents[2] / "examples" / "own_gates" / "guarded_release.toml"
).read_text()
LEGAL: Final = 'name = "legal"\nvalues = ["clear", "missing"]\nreason_code = "GATE_LEGAL"'
GATES: Final = 'gates = ["policy", "ci", "review"]'
ALL: Final = 'gates = ["policy", "ci", "review", "legal"]'
FIRST: Final = '[[state]]\nname = "pending"'


def declaring(*gates: str, judged: str = ALL) -> str:
    """Return the default lifecycle with gates of its own."""
    tables = "".join(f"[[gate]]\n{gate}\n\n" for gate in gates)
    return edited((FIRST, tables + FIRST), (GATES, judged))


def legal_with(key: str, value: str) -> str:
    """Return the default lifecycle with the gate `legal`, one key of it with another value."""
    lines = [f"{key} = {value}" if one.startswith(key) else one for one in LEGAL.splitlines()]
    return declaring("\n".join(lines))


def text_of(name: str) -> str:
    """Return the text of the gate `legal` with another name and code."""
    return LEGAL.replace("legal", name).replace("LEGAL", name.upper())


NAME_WORDS: Final = (
    "a name: lower-case letters, digits and _, a letter first, at most 64 characters"
)
CODE_WORDS: Final = "GATE_ and capital letters or _, at most 64 characters"
MANY: Final = ", ".join(f'"v{number}"' for number in range(21))
WRONG: Final = (
    refused(
        "a name that every lifecycle has",
        declaring(text_of("ci"), judged=GATES),
        "gate 'ci': every lifecycle has a gate of that name",
    ),
    refused(
        "the name of a stage",
        declaring(text_of("manager"), judged=ALL.replace("legal", "manager")),
        "gate 'manager': a stage has that name too, and options of both would be confused",
    ),
    refused(
        "a name twice",
        declaring(LEGAL, LEGAL),
        "gate 'legal': duplicate name, another gate is declared with it",
    ),
    refused(
        "a name that is none",
        declaring(LEGAL.replace('"legal"', '"Legal"'), judged=GATES),
        f"gate 1: key 'name' is 'Legal'; expected {NAME_WORDS}",
    ),
    refused(
        "one value",
        legal_with("values", '["clear"]'),
        f"gate 'legal': key 'values' has 1; expected a list of 2 to 20, each {NAME_WORDS}",
    ),
    refused(
        "no value",
        legal_with("values", "[]"),
        "gate 'legal': key 'values' is an empty list; expected a list of 2 to 20, each"
        f" {NAME_WORDS}",
    ),
    refused(
        "too many values",
        legal_with("values", f"[{MANY}]"),
        f"gate 'legal': key 'values' has 21; expected a list of 2 to 20, each {NAME_WORDS}",
    ),
    refused(
        "a value twice",
        legal_with("values", '["clear", "flagged", "clear"]'),
        "gate 'legal': duplicate 'clear' in key 'values'",
    ),
    refused(
        "a value that is none",
        legal_with("values", '["clear", "Not Yet"]'),
        f"gate 'legal': key 'values' lists 'Not Yet'; expected {NAME_WORDS}",
    ),
    refused(
        "a reason code of a mandatory gate",
        legal_with("reason_code", '"GATE_CI_NOT_SUCCESS"'),
        "gate 'legal': key 'reason_code' is GATE_CI_NOT_SUCCESS, which is that of 'ci'",
    ),
    refused(
        "a reason code twice",
        declaring(LEGAL, LEGAL.replace('"legal"', '"tax"'), judged=ALL.replace("]", ', "tax"]')),
        "gate 'tax': key 'reason_code' is GATE_LEGAL, which is that of 'legal'",
    ),
    refused(
        "a reason code that is none",
        legal_with("reason_code", '"LEGAL"'),
        f"gate 'legal': key 'reason_code' is 'LEGAL'; expected {CODE_WORDS}",
    ),
    refused(
        "no reason code",
        declaring("\n".join(LEGAL.splitlines()[:-1])),
        "gate 'legal': key 'reason_code' is missing",
    ),
    refused(
        "a title of two lines",
        declaring(f'{LEGAL}\ntitle = "one\\ntwo"'),
        "gate 'legal': key 'title' is 'one\\ntwo'; expected one line without control characters, 1"
        " to 200 characters",
    ),
    refused(
        "an unknown key",
        declaring(f'{LEGAL}\npasses = "clear"'),
        "gate 'legal': unknown key 'passes'; known keys: name, values, reason_code, title",
    ),
    refused(
        "a gate that no gate state judges",
        declaring(LEGAL, judged=GATES),
        "gate 'legal': no gate state judges it, so it would never pass; list it in key 'gates' of"
        " one",
    ),
    refused(
        "a gate that is misspelled where it is judged",
        declaring(LEGAL, judged=ALL.replace("legal", "leagl")),
        "state 'gating': key 'gates' lists 'leagl', which is none of policy, ci, review and legal;"
        " did you mean 'legal'?",
        "gate 'legal': no gate state judges it, so it would never pass; list it in key 'gates' of"
        " one",
    ),
    refused(
        "too many gates",
        declaring(*(text_of("g" + "x" * number) for number in range(51)), judged=""),
        "key 'gate' has 51; expected at most 50 tables, each headed [[gate]]",
    ),
)


@pytest.mark.parametrize("case", WRONG, ids=attrgetter("name"))
def test_wrong_declaration_is_refused(case: Case) -> None:
    """The message names the gate, the key and what was expected."""
    assert_refused(case)


def test_gates_are_judged_in_their_order_after_the_mandatory_ones() -> None:
    """A gate state that names no gate judges all of them in order, and titles come from names."""
    text = declaring(text_of("zz_top"), text_of("aa") + '\ntitle = "Twelve steps"', judged="")
    lifecycle = parse(text.encode(), "run.toml")
    names = ("policy", "ci", "review", "zz_top", "aa")
    assert tuple(lifecycle.gates) == lifecycle.judged_in(lifecycle.states["gating"]) == names
    assert lifecycle.gates["zz_top"].title == "Zz top"
    assert lifecycle.gates["zz_top"].words == "zz_top"
    assert lifecycle.gates["aa"].words == "aa (Twelve steps)"
    assert lifecycle.gates["aa"].passing == "clear"


def test_done_owes_each_gate_and_stages_only_the_mandatory_ones() -> None:
    """Done needs each gate, a stage only the mandatory ones; the proof names what needs which."""
    lifecycle = read(EXAMPLE)
    assert verify(lifecycle) == ()
    said = [one for one in proved(lifecycle) if "without gate" in one]
    assert said == [
        "no path to build, deploy and done without gate license passed in this invocation",
        "no path to deploy and done without gate release passed in this invocation",
    ]
    past = EXAMPLE.replace('source = "build"\ndest = "releasing"', 'source = "build"\ndest = "x"')
    around = past.replace('dest = "x"', 'dest = "deploy"')
    problems = [str(one) for one in verify(read(around))]
    assert any(
        one.startswith("state 'done': can be reached before gate release passed")
        for one in problems
    )
    assert not any("state 'deploy'" in one for one in problems)


def test_digest_is_of_what_gates_know_and_not_of_their_titles() -> None:
    """A gate, its values and its code are part of the digest, and its title is not."""
    digest = read(EXAMPLE).sha256
    assert read(EXAMPLE.replace("License review", "Licenses")).sha256 == digest
    for old, new in (
        ('"flagged"', '"suspect"'),
        ("GATE_LICENSE_NOT_CLEAR", "GATE_LICENSE"),
        ('["clear", "flagged"', '["flagged", "clear"'),
    ):
        assert read(EXAMPLE.replace(old, new)).sha256 != digest
        assert read(EXAMPLE.replace(old, new)).relation_sha256 != read(EXAMPLE).relation_sha256
    assert read(declaring(LEGAL)).sha256 != read(DEFAULT).sha256
    code = LEGAL.replace("GATE_LEGAL", "GATE_LAWYERS")
    assert read(declaring(code)).sha256 != read(declaring(LEGAL)).sha256


def test_taking_a_gate_away_loosens_and_adding_one_tightens() -> None:
    """Removing a gate loosens and adding one tightens, reported with the state where it counts."""
    without, within = read(DEFAULT), read(declaring(LEGAL))
    taken, added = diff(within, without), diff(without, within)
    assert (taken.verdict, added.verdict) == (DiffVerdict.LOOSENS, DiffVerdict.TIGHTENS)
    assert "done: can be reached although this is not certain: gate legal passed" in diff_text(
        taken
    )
    assert "removed gate legal: passes: clear" in diff_text(taken)
    assert "done: certain now and not before: gate legal passed" in diff_text(added)
    assert "added gate legal: passes: clear" in diff_text(added)


def test_another_passing_value_loosens_and_other_changes_do_neither() -> None:
    """Another passing value loosens, because whoever gave that value before did not mean a pass."""
    loosened = changed('["clear", "flagged", "missing"]', '["flagged", "clear", "missing"]')
    assert loosened.verdict is DiffVerdict.LOOSENS
    assert "gate license: flagged passes it, and clear did" in diff_text(loosened)
    for old, new, said in (
        ('["clear", "flagged", "missing"]', '["clear", "missing"]', "values: was clear, flagged"),
        ("GATE_LICENSE_NOT_CLEAR", "GATE_LICENSE", "reason_code: was GATE_LICENSE_NOT_CLEAR"),
        ("License review", "Licenses", "title: was License review, is Licenses"),
    ):
        found = changed(old, new)
        assert found.verdict is DiffVerdict.NEITHER
        assert not found.is_empty
        assert f"changed gate license: {said}" in diff_text(found)


def changed(old: str, new: str) -> LifecycleDiff:
    """Return the difference that an edit of the example makes."""
    assert old in EXAMPLE
    return diff(read(EXAMPLE), read(EXAMPLE.replace(old, new)))


def read(text: str) -> Lifecycle:
    """Return a lifecycle of the right shape, not judged."""
    from fsm_orchestrator.lifecycle.reading import _shaped  # noqa: PLC0415 - as `verify` reads

    return _shaped(text.encode(), "run.toml")
