"""The table of stage settings covers exactly what models, parser and documents have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import click
import pytest

from fsm_orchestrator.cli.parser.names import VALUE_OPTIONS
from fsm_orchestrator.cli.parser.run_options import stage_options
from fsm_orchestrator.config.run_config import StageGiven
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.confinement import Confine
from fsm_orchestrator.model.option_kinds import Bounds, Choices, StageOption
from fsm_orchestrator.model.retry_policy import RetryPolicy
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS, TABLES, setting_named
from tests.tools.cli_reference import all_commands, options_of

REFERENCE: Final = Path(__file__).parents[2] / "docs" / "reference.md"
NUMBERS: Final = [one for one in STAGE_OPTIONS if isinstance(one.kind, Bounds)]


def given(row: StageOption, value: object) -> StageGiven:
    """Return the settings of a stage with only the row's setting."""
    document: Any = [value] if row.is_repeatable else value
    for key in reversed(row.path):
        document = {key: document}
    return StageGiven.model_validate(document)


def test_models_have_the_keys_of_the_table_and_its_descriptions() -> None:
    """Each key of the models is a row's, with the row's description."""
    described: dict[tuple[str, ...], str | None] = {
        (key,): one.description for key, one in StageGiven.model_fields.items() if key not in TABLES
    }
    del described["artifact",]  # separate tables, which no option gives
    for key, one in Confine.model_fields.items():
        described["confine", key] = one.description
    for key, one in RetryPolicy.model_fields.items():
        described["retry", key] = one.description
    assert described == {row.path: row.description for row in STAGE_OPTIONS}


@pytest.mark.parametrize("row", NUMBERS, ids=[one.suffix for one in NUMBERS])
def test_config_and_options_take_the_same_numbers(row: StageOption) -> None:
    """Config file and options take the numbers within the bounds and refuse the next ones."""
    assert isinstance(row.kind, Bounds)
    (option,) = [one for one in stage_options("a") if one.opts[-1] == f"--a-{row.suffix}"]
    for number in (row.kind.least, row.kind.most):
        assert not given(row, number).is_empty
        assert option.type.convert(str(number), None, None) == number
    for number in (row.kind.least - 1, row.kind.most + 1):
        with pytest.raises(click.BadParameter, match=re.escape(row.kind.text)):
            option.type.convert(str(number), None, None)
        with pytest.raises((ValueError, UsageError)):
            given(row, number)


@pytest.mark.parametrize("stage", ["manager", "a__b", "retry_"])
def test_parameter_leads_back_to_setting_and_stage(stage: str) -> None:
    """A parameter of the parser leads back to its setting and stage."""
    for row in STAGE_OPTIONS:
        assert setting_named(row.parameter(stage)) == (row, stage)
    assert setting_named("output_directory") is None


def test_prescan_knows_every_option_that_takes_a_value() -> None:
    """The prescan knows every option with a value, which it would otherwise take for OUT.

    It looks for no stage and no OUT among the arguments of `diagram`.
    """
    taking = {
        (command, name)
        for command, one in all_commands()
        for option in options_of(one)
        if not option.is_flag and setting_named(option.name or "") is None
        for name in option.opts
    }
    assert {name for command, name in taking if command != "diagram"} <= VALUE_OPTIONS
    assert {name for _, name in taking} >= VALUE_OPTIONS


def test_reference_names_options_of_a_stage_as_they_are() -> None:
    """The reference's table has exactly the options of the rows with their placeholders."""
    cells = re.findall(r"^\| (`--manager-.*?) \| ", REFERENCE.read_text(), re.MULTILINE)
    shown = [one for cell in cells for one in re.findall(r"`--manager-([^`]*)`", cell)]
    rows = set()
    for row in STAGE_OPTIONS:
        words = row.kind.words if isinstance(row.kind, Choices) else ()
        value = row.kind.metavar or "\\|".join(words)
        rows.add(f"{row.suffix} {value}".strip())
        if isinstance(row.kind, Bounds) and row.kind.measure is not None:
            rows |= {f"{suffix} {one}" for suffix in row.suffixes for one in (value, "N", "BYTES")}
    assert len(shown) == len(set(shown)) > 1
    assert set(shown) <= rows
