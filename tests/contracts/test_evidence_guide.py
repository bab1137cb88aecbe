"""docs/evidence.md: its commands run as printed, and its tables are those of the program."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.bundle.known import Requirement
from fsm_orchestrator.bundle.members import FIXED
from fsm_orchestrator.bundle.statement import RunPredicate
from fsm_orchestrator.bundle.verified import Link, Verdict
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.schemas import SchemaName, schema_text
from fsm_orchestrator.vocabulary import EventName
from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "evidence.md"
LINKS = re.compile(r"(<!-- links -->\n\n).*?(\n<!-- end -->)", re.DOTALL)
VARYING = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
"""The text that differs from run to run: keys."""
LINES_MAX = 160


def test_commands_print_what_the_guide_says() -> None:
    """Every command and file of the guide works, in its order, in one directory."""
    follow(GUIDE, VARYING)


def links_table() -> str:
    """Return the table of links, as the program knows them."""
    head = "| link | what holds | if it is broken |\n|---|---|---|\n"
    return head + "".join(f"| `{one}` | {one.claim} | {one.meaning} |\n" for one in Link)


def test_table_of_links_is_that_of_the_program() -> None:
    """The table has each link with its claim, and the meaning of a broken link."""
    text = GUIDE.read_text()
    now = LINKS.sub(lambda found: f"{found[1]}{links_table()}{found[2]}", text)
    if os.environ.get("REWRITE_GOLDEN"):
        GUIDE.write_text(now)
    assert text == now


def test_every_verdict_and_requirement_is_told() -> None:
    """The guide has every possible verdict and every possible requirement."""
    text = GUIDE.read_text()
    for verdict in (Verdict.VERIFIED, Verdict.CONSISTENT):
        assert f"`{verdict}`" in text
    assert f"`{Verdict.BROKEN} at LINK`" in text
    for one in Requirement:
        assert one.value in text


def fields_of(document: Any, shape: Any) -> dict[str, Any]:
    """Return the keys of a shape in a JSON Schema, or of its variants or items."""
    match shape:
        case {"$ref": str(name)}:
            return fields_of(document, document["$defs"][name.rpartition("/")[2]])
        case {"anyOf": [first, *_]}:
            return fields_of(document, first)
        case {"items": inner}:
            return fields_of(document, inner)
        case {"properties": dict(found)}:
            return found
        case _:
            return {}


def test_every_field_that_an_auditor_is_sent_to_is_there() -> None:
    """Paths such as `gates[].evidence.sha256` lead to a field of the statement."""
    document = json.loads(schema_text(SchemaName.RUN_STATEMENT))
    text = GUIDE.read_text().partition("## What to look for")[2].partition("## What it does")[0]
    roots = "|".join(RunPredicate.model_fields)
    paths = re.findall(rf"`((?:{roots})(?:\[\])?(?:\.[a-zA-Z\[\].]+)?)`", text)
    assert len(paths) > 10
    others = {*FIXED, *EventName}  # members, and events
    for path in (one for one in paths if one not in others):
        here: Any = {"$ref": "#/$defs/RunPredicate"}
        for part in path.replace("[]", "").split("."):
            known = fields_of(document, here)
            assert part in known, path
            here = known[part]
    for name in ("earlier_invocations", "stage_executions"):
        assert name in Report.model_fields


def test_page_is_a_page() -> None:
    """The page is short enough for an auditor to read at a sitting."""
    assert len(GUIDE.read_text().splitlines()) <= LINES_MAX
