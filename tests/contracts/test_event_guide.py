"""docs/events.md: its tables are made from the models of the events, and are complete.

`REWRITE_GOLDEN=1` writes the tables into the document, to be read before it is committed.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from fsm_orchestrator.cli.parser.run_options import output_options
from fsm_orchestrator.record.event_fields import Event, RunEvent, StageEvent
from fsm_orchestrator.record.events import EventLine
from fsm_orchestrator.stages.output_lines import LINE_BYTES_MAX, LINES_MAX

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "events.md"
MODELS: tuple[type[Event], ...] = get_args(get_args(EventLine)[0])
COMMON = (*StageEvent.model_fields, "event", "level")
"""The fields described once: those of all events and those of events about a run or a stage."""


def table(*rows: tuple[str, ...]) -> str:
    """Return a table whose first row is the head."""
    head, *body = rows
    ruler = tuple("---" for _ in head)
    lines = (
        f"| {' | '.join(row)} |".replace("| ---", "|---").replace("--- |", "---|")
        for row in (head, ruler, *body)
    )
    return "\n".join(lines) + "\n"


def name_of(model: type[Event]) -> str:
    """Return the name of an event, as the log has it."""
    (name,) = get_args(model.model_fields["event"].annotation)
    return str(name.value)


def sentence(text: str) -> str:
    """Return a description without its full stop, as a cell has it."""
    return text.removesuffix(".").replace("|", "\\|")


def own_fields(model: type[Event]) -> Iterator[tuple[str, str]]:
    """Yield the fields that only some events have, and their meaning."""
    for field, info in model.model_fields.items():
        if field not in COMMON or (field == "stage" and not issubclass(model, StageEvent)):
            yield field, sentence(info.description or "")


def events_table() -> str:
    """Return the table of events: when each is logged, its level, its fields."""
    rows = []
    for model in MODELS:
        levels = get_args(model.model_fields["level"].annotation)
        fields = ", ".join(f"`{field}`" for field, _ in own_fields(model)) or "-"
        when = sentence(inspect.getdoc(model) or "")
        rows.append((f"`{name_of(model)}`", ", ".join(levels), when, fields))
    return table(("event", "level", "logged when", "own fields"), *rows)


def common_table() -> str:
    """Return the table of the fields of all events, those of a run and those of a stage."""
    fields = {**MODELS[0].model_fields, **StageEvent.model_fields}

    def whose(field: str) -> str:
        if field in (*Event.model_fields, "event", "level"):
            return "every event"
        of_a_run = [name_of(one) for one in MODELS if not issubclass(one, RunEvent)]
        if field in RunEvent.model_fields:
            return f"all but `{'`, `'.join(of_a_run)}`"
        return "events of an attempt"

    order = (*Event.model_fields, "event", "level", "state", "stage", "attempt")
    rows = [
        (f"`{field}`", whose(field), sentence(fields[field].description or "")) for field in order
    ]
    return table(("field", "of", "meaning"), *rows)


def fields_table() -> str:
    """Return the table of the fields that only some events have."""
    rows = [
        (f"`{name_of(model)}`", f"`{field}`", meaning)
        for model in MODELS
        for field, meaning in own_fields(model)
    ]
    return table(("event", "field", "meaning"), *rows)


TABLES = {"events": events_table, "common": common_table, "fields": fields_table}


@pytest.mark.parametrize("name", TABLES)
def test_table_is_made_from_the_models(name: str) -> None:
    """Each table of the guide agrees with the models, event by event and field by field."""
    place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
    now = f"\n{TABLES[name]()}\n"
    text = GUIDE.read_text()
    if "REWRITE_GOLDEN" in os.environ:
        GUIDE.write_text(place.sub(lambda _: now, text, count=1))
    assert place.findall(GUIDE.read_text()) == [now]


def test_every_model_says_when_it_is_logged() -> None:
    """Every event and every field has its own description."""
    for model in MODELS:
        assert model.__doc__, model
        assert all(info.description for info in model.model_fields.values()), model


def test_guide_names_every_option_of_the_log() -> None:
    """The guide has each option of the log, and each bound on what stages print."""
    text = GUIDE.read_text()
    options = [name for option in output_options() for name in option.opts]
    assert {name for name in options if f"`{name}" not in text} == set()
    assert f"{LINES_MAX:,} lines" in text
    assert f"{LINE_BYTES_MAX // 1024} KiB" in text


def test_links_lead_somewhere() -> None:
    """Every relative link of the guide names an existing file."""
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", GUIDE.read_text())
    assert targets
    assert [target for target in targets if not (GUIDE.parent / target).exists()] == []
