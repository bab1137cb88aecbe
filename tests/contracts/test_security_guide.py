"""docs/security.md: every command runs as printed; its tables name every key, limit and risk."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.config.config_reading import load
from fsm_orchestrator.model.confine_options import CONFINE_KEYS
from fsm_orchestrator.model.promises import StageLimit
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.processes import landlock, seccomp
from tests.support.guide import follow

pytestmark = pytest.mark.one_in(2)

GUIDE = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.mark.skipif(
    landlock.version() < landlock.ABI_SCOPES or not seccomp.is_supported(),
    reason="this kernel's Landlock does not hold all that is promised",
)
def test_commands_print_what_the_guide_says() -> None:
    """Every command of the guide works, in its order, in one directory."""
    follow(GUIDE)


def test_every_key_has_its_row_with_its_option() -> None:
    """The tables have each key of a confinement and each limit, with its option."""
    rows = [line.split("|")[1:3] for line in GUIDE.read_text().splitlines() if line[:3] == "| `"]
    shown = {key.strip(" `"): option.strip(" `") for key, option in rows}
    limits = [one.value for one in StageLimit]
    assert shown.keys() == {*CONFINE_KEYS, *limits}
    for option in STAGE_OPTIONS:
        if option.key in shown:
            assert shown[option.key].split()[0] == f"--<stage>-{option.suffixes[0]}"


def test_table_of_the_guide_loads(tmp_path: Path) -> None:
    """The guide's config file is valid, and has every key."""
    text = GUIDE.read_text().split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(text)["stage"]["executor"]["confine"].keys() == {*CONFINE_KEYS}
    file = tmp_path / "run.toml"
    file.write_text(text)
    given = load(file, "run.toml").content.stage["executor"].confine
    assert given is not None
    assert given.connect == (443,)
    assert given.bind == ()


INSIDE: Final = "tests/command/test_from_inside.py::"
PLANTED: Final = "tests/command/test_planted_code.py::"
CAGE: Final = "tests/processes/test_cage.py::"
STOP: Final = "tests/command/test_stop_in_a_program.py"
SHOWN_BY: Final = {
    "outlive its run": ["tests/processes/test_containment.py"],
    "signal or kill the keeper": [
        "tests/processes/test_odd_stages.py::test_stage_that_kills_its_keeper_is_ended_all_the_same"
    ],
    "kill the keeper, escape": [f"{INSIDE}test_what_escapes_a_killed_keeper"],
    "trace the keeper": ["tests/processes/test_shut_processes.py::test_their_insides_are_closed"],
    "read the environment": ["tests/processes/test_shut_processes.py", CAGE],
    "replace the lock file": ["tests/command/test_lock_file.py"],
    "ask for the end of its run": [
        f"{STOP}::test_stage_that_asks_for_the_end_of_its_run_is_not_believed"
    ],
    "change checkpoint or report": [
        "tests/command/test_tampering.py::test_what_a_stage_writes_is_not_believed"
    ],
    "shorten, edit or remove the event log": [
        "tests/command/test_tampering.py::test_events_of_this_invocation",
        f"{INSIDE}test_edits_of_the_event_log",
    ],
    "shorten, edit or remove the logs": [f"{INSIDE}test_log_of_an_earlier_stage_is_noticed"],
    "edit its own logs": ["tests/command/test_stage_output.py"],
    "write a module": [
        f"{PLANTED}test_planted_module_is_not_loaded",
        "tests/cli/test_isolation.py",
    ],
    "change what judges a policy": [
        f"{PLANTED}test_policy_is_judged_by_what_was_there",
        f"{PLANTED}test_next_keeper_is_what_the_first_was",
    ],
    "change who may approve": ["tests/gates/test_authorities.py"],
    "change the config file": [f"{INSIDE}test_files_of_the_request_do_nothing"],
    "change the request": ["tests/approvals/test_play.py"],
    "change an artifact": [f"{INSIDE}test_artifact_of_a_completed_stage_is_noticed"],
    "change the program of another stage": [
        "tests/command/test_pinned_programs.py::test_pinned_program_is_what_it_was",
        "tests/approvals/test_released_stages.py",
    ],
    "say in an artifact": ["tests/command/test_output_is_data.py"],
    "change your files": [f"{CAGE}TestOnlyWriting"],
    "send your data": [f"{CAGE}test_without_network"],
    "start something through a service": [CAGE],
    "fill the disk": ["tests/command/test_usage_limits.py"],
    "change checkpoint, report or event log after": ["tests/record/test_record_is_left.py"],
    "change the run's private file": ["tests/record/test_record_is_left.py"],
    "read the key of the private state": ["tests/record/test_record_is_left.py"],
    "kill the orchestrator and put back": ["tests/record/test_record_is_left.py"],
    "change the program that a gate runs": [f"{CAGE}TestOnlyWriting"],
}
"""The tests that prove each row of the table, by the row's beginning; not what nothing prevents."""


def test_every_row_has_its_test_or_is_not_prevented() -> None:
    """Every promise of the table has a test that tries to break it."""
    text = GUIDE.read_text().split("## What is prevented")[1].split("###")[0]
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line[:2] == "| "][1:]
    promised = [row[0] for row in rows if {*row[1:]} != {"not prevented"}]
    for row in promised:
        named = [tests for begin, tests in SHOWN_BY.items() if row.startswith(begin)]
        assert len(named) == 1, row
    assert len(promised) == len(SHOWN_BY)
    for one in (test for tests in SHOWN_BY.values() for test in tests):
        file, _, name = one.partition("::")
        source = (GUIDE.parents[1] / file).read_text()
        assert name in source, one
