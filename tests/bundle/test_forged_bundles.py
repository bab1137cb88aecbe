"""Any change of a bundle is caught, and the right link is named.

The first changes are byte by byte, with the digests left alone; the others come with new digests:
what the record itself contradicts is caught, and nothing is ever called verified.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any, Final

import pytest

from fsm_orchestrator.bundle.archive_reader import ArchiveProblem
from fsm_orchestrator.bundle.known import Wanted
from fsm_orchestrator.bundle.members import MemberKind, artifact_member, kind_of
from fsm_orchestrator.bundle.verified import Break, CheckState, Link, Verdict
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.record.retelling import LineProblem
from tests.bundle.bundle_cases import members
from tests.bundle.proof_cases import (
    STATEMENT,
    Edit,
    Path_,
    Region,
    Whole,
    archive_of,
    as_written,
    chained_anew,
    changed,
    edited,
    first_broken,
    listing_anew,
    made_up,
    regions,
    scalars,
    unsigned,
    verified,
    with_other,
)
from tests.support.command import CHECKPOINT, EVENTS, REPORT
from tests.support.soak import SOAK

MUTATIONS: Final = 2_000
FORGERIES: Final = 100_000 if SOAK else 120
"""The number of values that are changed with all digests made again; out of all, if more."""
SEED: Final = 23


# -- byte by byte ---------------------------------------------------------------------------------


def expected(region: Region, how: str) -> set[Link]:
    """Return the only links that a change in a part of the archive may break."""
    if region.member is None or how == "moved":
        return {Link.ARCHIVE}
    match kind_of(region.member):
        case MemberKind.STATEMENT:
            # The content may still be readable, and then it contradicts the others.
            return {Link.STATEMENT, Link.MEMBERS, Link.CHAIN, Link.DERIVED, Link.ARTIFACTS}
        case MemberKind.SIGNATURE:
            return {Link.SIGNATURES}
        case _:
            return {Link.MEMBERS}


def test_no_byte_can_be_changed(whole: Whole) -> None:
    """Each part of the archive is changed, in ways drawn by a seed; link and member are named."""
    data = whole.path.read_bytes()
    parts, draw = regions(data), random.Random(SEED)  # noqa: S311 - drawn by a seed
    kinds = {kind_of(one.member) for one in parts if one.member}
    assert kinds == {*MemberKind} - {MemberKind.INVOCATIONS}
    made = 0
    while made < MUTATIONS:
        region = parts[made % len(parts)]
        new, how = changed(data, region, draw)
        if new == data:
            continue
        made += 1
        check = first_broken(new, whole.wanted)
        assert check is not None, (region, how)
        assert check.link in expected(region, how), (region, how, check)
        assert check.problem is not None
        assert check.means == check.link.meaning
        if how == "in place" and check.link in {Link.MEMBERS, Link.SIGNATURES}:
            is_statement = region.member == STATEMENT
            assert is_statement or check.member == region.member


def test_every_cut_is_caught(whole: Whole) -> None:
    """A file that was not copied to its end is no bundle, at any length."""
    data = whole.path.read_bytes()
    for end in range(0, len(data), 997):
        check = first_broken(data[:end])
        assert check is not None
        assert check.link is Link.ARCHIVE
        assert check.problem in {ArchiveProblem.CUT, ArchiveProblem.EMPTY}


# -- with new digests ------------------------------------------------------------------------------


def in_document(name: str, change: Callable[[Any], object]) -> Edit:
    """Change a JSON member as the program would write it."""

    def edit(found: dict[str, bytes]) -> dict[str, bytes]:
        document = json.loads(found[name])
        change(document)
        return {**found, name: written(name, document)}

    return edit


def written(name: str, document: Any) -> bytes:
    """Return a document as the program writes a member of that name."""
    match name:
        case "orchestrator_checkpoint.json":
            return json.dumps(document, ensure_ascii=False).encode() + b"\n"
        case "orchestrator_run_report.json":
            return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()
        case _:
            return as_written(document)


def in_events(change: Callable[[list[Any]], object], *, anew: bool = True) -> Edit:
    """Change the events; with `anew`, also chain them to each other again."""

    def edit(found: dict[str, bytes]) -> dict[str, bytes]:
        events = [json.loads(line) for line in found[EVENTS].splitlines()]
        change(events)
        lines = [json.dumps(one).encode() for one in events]
        data = chained_anew(lines) if anew else b"".join(one + b"\n" for one in lines)
        return {**found, EVENTS: data}

    return edit


def one_named(events: list[Any], name: str) -> Any:
    """Return the first event of a name."""
    return next(one for one in events if one["event"] == name)


def replaced(kind: MemberKind, part: str, data: bytes) -> Edit:
    """Replace the bytes of a member, found by its kind and a part of its name."""

    def edit(found: dict[str, bytes]) -> dict[str, bytes]:
        name = next(one for one in found if kind_of(one) is kind and part in one)
        return {**found, name: data}

    return edit


def another_artifact(found: dict[str, bytes]) -> dict[str, bytes]:
    """Replace an artifact by another file, and name it in the statement."""
    name = next(one for one in found if kind_of(one) is MemberKind.ARTIFACT)
    new = artifact_member(hashlib.sha256(b"other").hexdigest())
    document = json.loads(found.pop(name) and found[STATEMENT])
    for artifact in document["predicate"]["artifacts"]:
        for one in artifact["contents"]:
            if one["member"] == name:
                digest = new.rpartition("/")[2]
                one.update(member=new, sha256=digest, sizeBytes=5)
    return {**found, new: b"other", STATEMENT: as_written(document)}


def without(part: str) -> Edit:
    """Leave out a member and its line in the statement."""
    return lambda found: {name: data for name, data in found.items() if part not in name}


def loosened(document: Any) -> None:
    """Let the run of a checkpoint reach `done` past a gate."""
    lifecycle = document["lifecycle"]
    for edge in lifecycle["transition"]:
        if edge["dest"] == "approving":
            edge["dest"] = "executor"


def execution(document: Any, stage: str) -> Any:
    """Return the last execution in a checkpoint of a stage that ran."""
    return next(
        one
        for invocation in reversed(document["invocations"])
        for one in invocation["stage_executions"]
        if one["stage"] == stage and one["status"] != "skipped"
    )


FORGED: Final[dict[str, tuple[Edit, Link, object]]] = {
    "report: another outcome": (
        in_document(REPORT, lambda one: one.update(terminal_state="failed")),
        *(Link.REPORT, Break.NOT_DERIVED),
    ),
    "report: not ready to close": (
        in_document(REPORT, lambda one: one.update(closure_ready=False)),
        *(Link.REPORT, Break.NOT_DERIVED),
    ),
    "report: indented otherwise": (
        lambda found: {**found, REPORT: found[REPORT].replace(b"\n  ", b"\n   ", 1)},
        *(Link.REPORT, Break.UNREADABLE),
    ),
    "checkpoint: a stage ran something else": (
        in_document(CHECKPOINT, lambda one: execution(one, "executor").update(args=["x"])),
        *(Link.HISTORY, Break.NO_WALK),
    ),
    "checkpoint: another duration": (
        in_document(CHECKPOINT, lambda one: execution(one, "executor").update(duration_ms=999_999)),
        *(Link.RECORD, Break.NOT_DERIVED),
    ),
    "checkpoint: it never was blocked": (
        in_document(CHECKPOINT, lambda one: one["invocations"].pop(0)),
        *(Link.HISTORY, Break.NO_WALK),
    ),
    "checkpoint: a lifecycle that lets more in": (
        in_document(CHECKPOINT, loosened),
        *(Link.LIFECYCLE, Break.NOT_PROVED),
    ),
    "checkpoint: no JSON": (
        lambda found: {**found, CHECKPOINT: b"{"},
        *(Link.CHECKPOINT, Break.UNREADABLE),
    ),
    "events: one is changed": (
        in_events(lambda one: one[3].update(at="2001-01-01T00:00:00.000Z"), anew=False),
        *(Link.CHAIN, LineProblem.NOT_CHAINED),
    ),
    "events: one is taken out": (
        in_events(lambda one: one.pop(3), anew=False),
        *(Link.CHAIN, LineProblem.NOT_CHAINED),
    ),
    "events: one is taken out, and the rest chained anew": (
        in_events(lambda one: one.pop(3)),
        *(Link.CHAIN, LineProblem.NOT_NUMBERED),
    ),
    "events: one is of another run": (
        in_events(lambda one: one[3].update(run_id="another")),
        *(Link.CHAIN, LineProblem.CONTRADICTS),
    ),
    "events: a gate says something else": (
        in_events(lambda one: one_named(one, "gate.decided")["decision"].update(status="deny")),
        *(Link.RECORD, Break.NOT_DERIVED),
    ),
    "events: a stage ended otherwise": (
        in_events(lambda one: one_named(one, "stage.ended")["execution"].update(duration_ms=7)),
        *(Link.RECORD, Break.NOT_DERIVED),
    ),
    "events: the first ones are taken out": (
        in_events(lambda one: one.__delitem__(slice(0, 5))),
        *(Link.CHAIN, LineProblem.NOT_CHAINED),
    ),
    "events: a line that none writes": (
        in_events(lambda one: one[3].update(more=1)),
        *(Link.CHAIN, LineProblem.NOT_A_LINE),
    ),
    "events: a stage that there is not": (
        in_events(lambda one: [each.update(stage="x") for each in one if "stage" in each]),
        *(Link.CHAIN, LineProblem.CONTRADICTS),
    ),
    "config: another setting": (
        in_document("config.json", lambda one: one.update(on_leak="fail")),
        *(Link.DERIVED, Break.NOT_DERIVED),
    ),
    "VSA: another result": (
        in_document("vsa.json", lambda one: one["predicate"].update(verificationResult="FAILED")),
        *(Link.DERIVED, Break.NOT_DERIVED),
    ),
    "statement: another outcome": (
        in_document(STATEMENT, lambda one: one["predicate"]["outcome"].update(exitCode=9)),
        *(Link.DERIVED, Break.NOT_DERIVED),
    ),
    "statement: another subject": (
        in_document(STATEMENT, lambda one: one["subject"].pop()),
        *(Link.DERIVED, Break.NOT_DERIVED),
    ),
    "lifecycle: another title": (
        in_document("lifecycle.json", lambda one: one.update(title="another")),
        *(Link.LIFECYCLE, Break.NOT_DERIVED),
    ),
    "artifact: another file": (another_artifact, Link.ARTIFACTS, Break.OTHER_BYTES),
    "evidence: other bytes": (
        replaced(MemberKind.EVIDENCE, "ci", b"{}"),
        *(Link.EVIDENCE, Break.OTHER_BYTES),
    ),
    "evidence: gone": (without("evidence/ci"), Link.EVIDENCE, Break.MISSING),
    "request: other bytes": (
        replaced(MemberKind.APPROVAL, ".request.json", b"{}"),
        *(Link.REQUESTS, Break.OTHER_BYTES),
    ),
    "request: gone": (without(".1.request.json"), Link.REQUESTS, Break.MISSING),
    "approval: gone": (without(".approve."), Link.APPROVALS, Break.MISSING),
    "approval: other bytes": (
        replaced(MemberKind.APPROVAL, ".approve.", b"{}"),
        *(Link.APPROVALS, EvidenceProblem.NOT_A_STATEMENT),
    ),
}
"""Changes by a forger who makes all digests again, and the link that each breaks."""


LISTINGS: Final[dict[str, Callable[[Any], object]]] = {
    "twice": lambda said: said["members"].append(said["members"][-1]),
    "out of order": lambda said: said["members"].reverse(),
    "as another kind": lambda said: said["members"][0].update(kind="log"),
    "logs that are there are left out": lambda said: said.update(logs="left_out"),
    "logs without a secret are withheld": lambda said: said.update(logs="withheld"),
}
"""Changes to the list of a statement that need no changed digest."""


@pytest.mark.parametrize("name", LISTINGS)
def test_list_of_members_is_the_one_there_is(whole: Whole, name: str) -> None:
    """The list is checked even under the expected head, which covers no statement."""
    found = unsigned(members(whole.path))
    edit = in_document(STATEMENT, lambda one: LISTINGS[name](one["predicate"]))
    head = verified(archive_of(found)).head
    check = first_broken(archive_of(edit(found)), Wanted(expected_head=head))
    assert check is not None
    assert (check.link, check.member) in {(Link.MEMBERS, STATEMENT), (Link.DERIVED, STATEMENT)}


@pytest.mark.parametrize("name", FORGED)
def test_forgery_is_named(whole: Whole, name: str) -> None:
    """The first broken link is named, with the reason."""
    edit, link, problem = FORGED[name]
    found = verified(edited(whole.path, edit), whole.wanted)
    assert found.verdict is Verdict.BROKEN
    assert found.broken is not None
    assert (found.broken.link, found.broken.problem) == (link, problem), found.broken
    assert found.by == ()
    reached = [one for one in found.checks if one.state is not CheckState.NOT_REACHED]
    assert found.first_broken is link
    assert found.broken in reached


def test_signature_is_of_no_other_bundle(whole: Whole) -> None:
    """A forger who makes the digests again cannot keep the signature."""
    kept = members(whole.path)
    log = next(name for name in kept if kind_of(name) is MemberKind.LOG)
    found = verified(archive_of(listing_anew({**kept, log: b"other words\n"})), whole.wanted)
    assert found.broken is not None
    assert found.broken.link is Link.SIGNATURES
    assert found.broken.problem is EvidenceProblem.BAD_SIGNATURE


def test_what_only_a_signature_proves_is_told(whole: Whole) -> None:
    """A changed log contradicts nothing: the bundle is consistent, but the logs are unsigned."""
    found = verified(
        edited(whole.path, replaced(MemberKind.LOG, "stdout", b"other words\n")), whole.wanted
    )
    assert found.verdict is Verdict.CONSISTENT
    assert any("logs: no event has their digests" in one for one in found.not_verified)


def test_whole_history_made_up_is_never_verified(whole: Whole) -> None:
    """A history that is all invented is consistent, but its head is not the known one."""
    head = verified(whole.path.read_bytes(), whole.wanted).head
    found = members(whole.path)
    data = archive_of(made_up(found, {"I plan": "I scan"}))
    assert verified(data).verdict is Verdict.CONSISTENT, verified(data).broken
    known = verified(data, Wanted(expected_head=head))
    assert known.first_broken is Link.HEAD


def test_evidence_of_something_else_is_judged_anew(whole: Whole) -> None:
    """Record and evidence agree, but the evidence is about another subject than the run."""
    found = members(whole.path)
    name = next(one for one in found if one.startswith("evidence/ci.2"))
    subject = json.loads(found[name])["subject"][0]["digest"]["sha256"]
    other = found[name].replace(subject.encode(), b"0" * 64)
    lies = {hashlib.sha256(found[name]).hexdigest(): hashlib.sha256(other).hexdigest()}
    for each in [one for one in found if one.startswith("evidence/ci.")]:
        found[each] = other
    check = first_broken(archive_of(made_up(found, lies)))
    assert check is not None
    assert (check.link, check.problem) == (Link.EVIDENCE, EvidenceProblem.WRONG_SUBJECT)


# -- each value -----------------------------------------------------------------------------------

DERIVED: Final = (STATEMENT, "vsa.json", "config.json", "lifecycle.json", REPORT, CHECKPOINT)
UNPROVED: Final = frozenset({(CHECKPOINT, ("mac",))})
"""The value that no verifier can check: the MAC by a key that stays on another machine."""


def values_in(found: dict[str, bytes]) -> list[tuple[str, int | None, Path_]]:
    """Return the places of a bundle's values: member, line of the events, and keys."""
    places: list[tuple[str, int | None, Path_]] = [
        (name, None, at) for name in DERIVED for at in scalars(json.loads(found[name]))
    ]
    for number, line in enumerate(found[EVENTS].splitlines()):
        places += [(EVENTS, number, at) for at in scalars(json.loads(line))]
    return [one for one in places if (one[0], one[2]) not in UNPROVED and "mac" not in one[2]]


def with_value(found: dict[str, bytes], name: str, number: int | None, at: Path_) -> bytes:
    """Return the bundle with another value at a place, and its digests made again."""
    if number is None:
        data = written(name, with_other(json.loads(found[name]), at))
    else:
        lines = found[EVENTS].splitlines()
        lines[number] = json.dumps(with_other(json.loads(lines[number]), at)).encode()
        data = b"".join(one + b"\n" for one in lines) if at == ("prev",) else chained_anew(lines)
    new = {**found, name: data}
    return archive_of(new if name == STATEMENT else listing_anew(new))


def test_no_value_can_be_changed(whole: Whole) -> None:
    """Each text, number and boolean in record, events and statement is checked against another."""
    found = unsigned(members(whole.path))
    places = values_in(found)
    draw = random.Random(SEED)  # noqa: S311 - drawn by a seed
    for name, number, at in draw.sample(places, min(FORGERIES, len(places))):
        check = first_broken(with_value(found, name, number, at))
        assert check is not None, (name, number, at)
        assert check.state is CheckState.FAILED


# -- bounds ---------------------------------------------------------------------------------------


def test_signatures_are_bounded(whole: Whole) -> None:
    """A bundle full of signatures starts no process for them."""
    found = members(whole.path)
    found |= {f"signatures/statement.{number:016x}.sig": b"x" for number in range(101)}
    check = first_broken(archive_of(found), whole.wanted)
    assert check is not None
    assert (check.link, check.problem) == (Link.SIGNATURES, ArchiveProblem.TOO_MANY)


@pytest.mark.parametrize(
    ("part", "link"),
    [(".1.request.json", Link.REQUESTS), ("evidence/ci.2", Link.EVIDENCE)],
)
def test_values_of_what_is_read_are_bounded(whole: Whole, part: str, link: Link) -> None:
    """A document of a million values that the record relies on is not read as JSON."""
    found = members(whole.path)
    name = next(one for one in found if part in one)
    large = b"[" + b"1," * 600_000 + b"1]"
    lies = {hashlib.sha256(found[name]).hexdigest(): hashlib.sha256(large).hexdigest()}
    same = [one for one in found if found[one] == found[name]]
    data = archive_of(made_up({**found, **dict.fromkeys(same, large)}, lies))
    check = first_broken(data, whole.wanted)
    assert check is not None
    assert (check.link, check.problem, check.member) == (link, Break.UNREADABLE, name)
