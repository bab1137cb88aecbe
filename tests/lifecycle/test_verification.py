"""`verify`: everything that is wrong with a lifecycle, or what is proved about it."""

from __future__ import annotations

import json
import re
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

import pytest

import fsm_orchestrator
from fsm_orchestrator.errors import LifecycleError
from fsm_orchestrator.lifecycle.findings import Finding, FindingKind
from fsm_orchestrator.lifecycle.labels import trace
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.lifecycle.proof import violations
from fsm_orchestrator.lifecycle.reading import read, shipped_names
from fsm_orchestrator.lifecycle.verification import PROVED, proved, verify
from tests.lifecycle.test_edge_rules import REFUSED as WRONG_EDGES
from tests.lifecycle.test_rules import REFUSED as WRONG_PARTS
from tests.support.command import orchestrate
from tests.support.lifecycle_cases import DEFAULT, Case, edge, edited

BROKEN_RULES = (*WRONG_PARTS, *WRONG_EDGES)
GATES = 'gates = ["policy", "ci", "review"]'
LOST_GATES = 'dest = "blocked"\nunless = "gates_hold"'
REVIEWED = Path(__file__).parents[2] / "states" / "reviewed_run.toml"


class Broken(NamedTuple):
    """A lifecycle whose parts all fit, the promise that it breaks, and the walk that shows it."""

    name: str
    text: str
    findings: tuple[str, ...]


def reviewed(*edits: tuple[str, str]) -> str:
    """Return the reviewed lifecycle, edited like the default one by `edited`."""
    text = REVIEWED.read_text()
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


TO_REVIEW = 'source = "executor"\ndest = "reviewer"\n'
PAST_REVIEW = (
    'source = "executor"\ndest = "done"\nguard = "gates_hold"\nwhy = "x"\n'
    f'[[transition]]\ntrigger = "stage_succeeded"\n{TO_REVIEW}'
)
TO_MANAGER = "pending --start--> gating --gates_passed--> manager"
TO_EXECUTOR = f"{TO_MANAGER} --stage_succeeded--> executor"
TO_DONE = f"{TO_EXECUTOR} --stage_succeeded--> done"
TO_REWORK = f"{TO_EXECUTOR} --stage_succeeded--> reviewer --rework_requested-->"
UNREVIEWED = "state 'done': can be reached although 'reviewer' was entered and did not succeed"
NO_REVIEW_GATE = "before gate review passed in this invocation"
NO_LOOP = "transition 6 (rework_requested from reviewer): has the key 'at_most', but is on no loop"

BROKEN_PROMISES = (
    Broken(
        "a gate is not judged",
        edited((GATES, 'gates = ["policy", "ci"]')),
        (
            f"state 'manager': can be entered {NO_REVIEW_GATE}: {TO_MANAGER}",
            f"state 'done': can be reached {NO_REVIEW_GATE}: {TO_DONE}",
        ),
    ),
    Broken(
        "the reviewer may ask for rework and be passed by",
        reviewed((TO_REVIEW, PAST_REVIEW)),
        (f"{UNREVIEWED}: {TO_REWORK} executor --stage_succeeded--> done",),
    ),
    Broken(
        "rework that is asked for counts as done",
        reviewed(('dest = "executor"\nat_most = 2', 'dest = "done"\nat_most = 2')),
        (NO_LOOP, f"{UNREVIEWED}: {TO_REWORK} done"),
    ),
)


def shaped(text: str, folder: Path) -> Lifecycle:
    """Return a lifecycle of the right shape, not judged."""
    (folder / "run.toml").write_text(text)
    return read("./run.toml", folder)


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_lifecycles_are_proved(name: str) -> None:
    """Nothing is wrong with the built-in lifecycles."""
    assert verify(read(name, Path())) == ()


@pytest.mark.parametrize("case", BROKEN_RULES, ids=attrgetter("name"))
def test_broken_rules_are_found(case: Case, tmp_path: Path) -> None:
    """Verify finds all that a run is refused for, in the same words, then only broken promises."""
    lifecycle = shaped(case.text, tmp_path)
    found = verify(lifecycle)
    rules = len(case.problems)
    assert [str(finding) for finding in found[:rules]] == list(case.problems)
    assert list(found[rules:]) == violations(lifecycle)


@pytest.mark.parametrize("broken", BROKEN_PROMISES, ids=attrgetter("name"))
def test_broken_promises_are_found_with_their_walks(broken: Broken, tmp_path: Path) -> None:
    """A promise that a walk breaks is a finding in the state where the shortest such walk ends."""
    found = verify(shaped(broken.text, tmp_path))
    assert tuple(map(str, found)) == broken.findings
    assert all(finding.walk is None or finding.walk[-1].dest == finding.state for finding in found)


def test_loop_is_found_with_its_walk(tmp_path: Path) -> None:
    """An unbounded loop is shown edge by edge, like a broken promise."""
    text = edited((LOST_GATES, LOST_GATES.replace("blocked", "manager")))
    (finding,) = verify(shaped(text, tmp_path))
    assert (finding.state, finding.reason) == ("manager", "is on an unbounded loop")
    assert trace(finding.walk or ()) == (
        "manager --stage_succeeded--> executor --stage_succeeded--> manager"
    )


def test_what_is_proved_is_said_as_declared() -> None:
    """If gates guard only the closure, nothing is claimed about stages behind gates."""
    assert proved(read("governed_run", Path())) == PROVED
    closure = proved(read("closure_gated", Path()))
    *claims, declared = closure
    assert len(claims) == len(PROVED)
    assert declared == "gates after a stage pass by signals that were typed before it, as declared"
    assert not any("no path to a stage" in claim for claim in closure)


# The command and the library


def test_command_proves_all_that_ship(tmp_path: Path) -> None:
    """Without arguments every built-in lifecycle is judged, with exit code 0."""
    ended = orchestrate("verify", cwd=tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    for name in shipped_names():
        assert f"{name}: proved: " in ended.stdout
    assert " governed_run: proved: 8 states, 22 edges, 2 stages, 3 gates\n" in ended.stdout
    claims = [one for one in ended.stdout.splitlines() if one.startswith("    ")]
    assert claims[0].startswith("    claimed, not proved: manager changes nothing")
    assert len(ended.stdout.splitlines()) == len(shipped_names()) + len(claims)
    in_full = orchestrate("verify", "-v", cwd=tmp_path)
    text = re.sub(r"\n {6}", " ", in_full.stdout)
    assert all(f"    - {claim}\n" in text for claim in PROVED)


def test_command_shows_the_walk_step_by_step(tmp_path: Path) -> None:
    """A refused lifecycle exits with 1; its walk has a line for each step with the reason."""
    (tmp_path / "mine.toml").write_text(BROKEN_PROMISES[0].text)
    ended = orchestrate("verify", "governed_run", "mine.toml", cwd=tmp_path)
    assert (ended.code, ended.stderr) == (1, "")
    told = ended.stdout.replace("2\n      gates", "2 gates")
    assert " governed_run: proved: " in ended.stdout.splitlines()[0]
    walk = (
        "      pending\n"
        "        --start--> gating          nothing may run before the gates have been judged\n"
        "        --gates_passed--> manager  every mandatory gate passed in this invocation\n"
    )
    assert (
        " governed_run (mine.toml): refused, 2 findings: 8 states, 22 edges, 2 stages, 2 gates\n"
        "    state 'manager': can be entered before gate review passed in this invocation\n"
    ) + walk in told
    assert ended.stdout.count("      pending\n") == 1
    assert ended.stdout.endswith("    1 more walk with -v\n")
    in_full = orchestrate("verify", "-v", "mine.toml", cwd=tmp_path)
    assert in_full.stdout.count("      pending\n") == 2


def test_command_tells_programs_the_same(tmp_path: Path) -> None:
    """`--json` has each lifecycle with counts, claims and findings, and walks edge by edge."""
    (tmp_path / "mine.toml").write_text(BROKEN_PROMISES[0].text)
    ended = orchestrate("verify", "--json", "reviewed_run", "mine.toml", cwd=tmp_path)
    good, bad = json.loads(ended.stdout)["lifecycles"]
    assert ended.code == 1
    assert (good["source"], good["is_proved"], good["findings"]) == ("reviewed_run", True, [])
    assert good["proved"] == list(PROVED)
    assert (bad["source"], bad["is_proved"], bad["proved"]) == ("mine.toml", False, [])
    assert bad["gates"] == ["policy", "ci"]
    assert bad["findings"][0]["state"] == "manager"
    assert bad["findings"][0]["walk"][1] == {
        "trigger": "gates_passed",
        "source": "gating",
        "dest": "manager",
        "why": "every mandatory gate passed in this invocation",
    }


@pytest.mark.parametrize(
    ("argument", "text", "said"),
    [
        ("nowhere.toml", None, "no such file"),
        ("nothing", None, "there is no built-in lifecycle 'nothing'"),
        ("mine.toml", "schema_version = 1\n", "mine.toml: "),
        ("mine.toml", "= 1\n", "mine.toml: "),
        ("", None, "LIFECYCLE"),
    ],
)
def test_command_refuses_what_is_no_lifecycle(
    argument: str, text: str | None, said: str, tmp_path: Path
) -> None:
    """A file that is unreadable or misshapen exits with 2, with the reason on stderr."""
    if text is not None:
        (tmp_path / argument).write_text(text)
    ended = orchestrate("verify", argument, cwd=tmp_path)
    assert (ended.code, ended.stdout) == (2, "")
    assert said in ended.stderr


def test_command_judges_the_others_too(tmp_path: Path) -> None:
    """An unreadable lifecycle does not keep others from being judged, as text and as JSON."""
    ended = orchestrate("verify", "nowhere.toml", "governed_run", cwd=tmp_path)
    assert ended.code == 2
    assert "governed_run: proved: " in ended.stdout
    as_json = orchestrate("verify", "nowhere.toml", "governed_run", "--json", cwd=tmp_path)
    good, unread = json.loads(as_json.stdout)["lifecycles"]
    assert (as_json.code, good["is_proved"]) == (2, True)
    assert "no such file" in unread["error"]


def test_library_loads_and_verifies_what_is_refused(tmp_path: Path) -> None:
    """`load_lifecycle` reads anything of the right shape; `verify` says what is wrong with it."""
    path = tmp_path / "mine"
    path.write_text(DEFAULT + edge("resume", '"failed"', "gating"))
    (finding,) = fsm_orchestrator.verify(fsm_orchestrator.load_lifecycle(path))
    assert isinstance(finding, Finding)
    assert finding.state == "failed"
    assert finding.kind is FindingKind.SECOND_EDGE
    assert "duplicates transition 11" in finding.reason
    assert finding.walk is None
    with pytest.raises(LifecycleError, match="no such file"):
        fsm_orchestrator.load_lifecycle(str(tmp_path / "nowhere"))
