"""docs/across-machines.md: its commands exist, and its numbers are those of the program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fsm_orchestrator.cli.main import run_command_line
from fsm_orchestrator.record.claiming import EPOCHS_KEPT
from fsm_orchestrator.temporal.shapes import KEYWORD_LISTS, KEYWORDS, RunSpec
from fsm_orchestrator.vocabulary import StopReason
from tests.support import temporal_server
from tests.support.guide import BLOCK

pytestmark = pytest.mark.one_in(2)

PAGE = Path(__file__).parents[2] / "docs" / "across-machines.md"
TEXT = PAGE.read_text()


def commands() -> list[str]:
    """Return the commands that the page has people type or a service manager start."""
    blocks = [found["text"] for found in BLOCK.finditer(TEXT)]
    typed = re.findall(r"^ *\$ (fsm-orchestrator .*)$", "".join(blocks), re.MULTILINE)
    started = re.findall(r"^ *ExecStart=\S*/(fsm-orchestrator .*)$", "".join(blocks), re.MULTILINE)
    quoted = re.findall(r"`((?:temporal (?:submit|signal)|stop|approve|report) [^`…]+)`", TEXT)
    return [*typed, *started, *(f"fsm-orchestrator {one}" for one in quoted)]


@pytest.mark.parametrize("command", commands())
def test_commands_and_options_exist(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each command of the page shows its help, which an unknown option would prevent."""
    monkeypatch.chdir(tmp_path)
    code = run_command_line([*shlex.split(command)[1:], "--help"])
    said = capfd.readouterr()
    assert code == 0, said.err
    assert said.out.startswith("Usage: ")


def test_page_has_the_commands_that_operators_need() -> None:
    """The page names the service and each command of the group."""
    said = " ".join(commands())
    for word in ("temporal worker", "temporal submit", "temporal signal", "temporal list"):
        assert word in said


def test_numbers_are_those_of_the_program() -> None:
    """Timeouts, counts and names on the page are those of the program."""
    if reason := temporal_server.why_not():
        pytest.skip(reason)
    from fsm_orchestrator.temporal.beating import LEASE_SHARE  # noqa: PLC0415 - of the extra
    from fsm_orchestrator.temporal.workflow import INVOCATIONS_MAX  # noqa: PLC0415 - of the extra

    spec = {one.name: one.default for one in RunSpec.__dataclass_fields__.values()}
    assert f"heartbeat timeout ({spec['heartbeat_seconds']:g} s" in TEXT
    assert f"after {spec['attempts']} attempts" in TEXT
    assert f"after {INVOCATIONS_MAX} invocations" in TEXT
    assert f"The latest {EPOCHS_KEPT} stay" in TEXT
    assert f"{LEASE_SHARE} of the heartbeat timeout" in " ".join(TEXT.split())
    assert all(f"`{name}`" in TEXT for name in (*KEYWORDS, *KEYWORD_LISTS))
    assert all(f"`{one}`" in TEXT for one in StopReason if one.is_lost)
