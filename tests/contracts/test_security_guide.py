"""docs/security.md: every command is run as it stands; its tables name what there is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from fsm_orchestrator.config.config_reading import load
from fsm_orchestrator.model.confine_options import CONFINE_KEYS
from fsm_orchestrator.model.promises import StageLimit
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.processes import landlock, seccomp
from tests.support.guide import follow

GUIDE = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.mark.skipif(
    landlock.version() < landlock.ABI_SCOPES or not seccomp.is_supported(),
    reason="this kernel's Landlock does not hold all that is promised",
)
def test_commands_print_what_the_guide_says() -> None:
    """Every command of the guide, in its order, in one directory."""
    follow(GUIDE)


def test_every_key_has_its_row_with_its_option() -> None:
    """The tables have each key of a confinement and each limit, with the option that gives it."""
    rows = [line.split("|")[1:3] for line in GUIDE.read_text().splitlines() if line[:3] == "| `"]
    shown = {key.strip(" `"): option.strip(" `") for key, option in rows}
    limits = [one.value for one in StageLimit]
    assert shown.keys() == {*CONFINE_KEYS, *limits}
    for option in STAGE_OPTIONS:
        if option.key in shown:
            assert shown[option.key].split()[0] == f"--<stage>-{option.suffixes[0]}"


def test_table_of_the_guide_loads(tmp_path: Path) -> None:
    """The config file of the guide is one, and has every key."""
    text = GUIDE.read_text().split("```toml\n")[1].split("```")[0]
    assert tomllib.loads(text)["stage"]["executor"]["confine"].keys() == {*CONFINE_KEYS}
    file = tmp_path / "run.toml"
    file.write_text(text)
    given = load(file, "run.toml").content.stage["executor"].confine
    assert given is not None
    assert given.connect == (443,)
    assert given.bind == ()
