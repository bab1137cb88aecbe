"""Thirty gates of a lifecycle's own: every screen stays short, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from fsm_orchestrator.cli.parser.commands import build_command
from fsm_orchestrator.cli.parser.names import COMMANDS
from fsm_orchestrator.cli.stage_lines import gates_line
from fsm_orchestrator.lifecycle.source import Declared, shipped_text
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES, declared_rule
from fsm_orchestrator.model.stage_options import STAGE_OPTIONS
from fsm_orchestrator.text.phrases import SIGNAL_SUFFIX, signal_option
from tests.support.command import PASSING, orchestrate, report_of

COUNT: Final = 30
NAMED: Final = 6
TITLE: Final = "Number {} of the many people who have to look at it"
NAMES: Final = [f"somebody_of_office_number_{number}" for number in range(COUNT)]
WIDTH: Final = 80


def lifecycle(folder: Path) -> tuple[str, ...]:
    """Write the default lifecycle with thirty more gates; return the words that name it."""
    gates = "".join(
        f'[[gate]]\nname = "{name}"\ntitle = "{TITLE.format(number)}"\n'
        f'values = ["agreed", "disagreed", "missing"]\n'
        f'reason_code = "GATE_{"X" * (number + 1)}"\n\n'
        for number, name in enumerate(NAMES)
    )
    text = shipped_text("governed_run").decode()
    text = text.replace('[[state]]\nname = "pending"', f'{gates}[[state]]\nname = "pending"')
    (folder / "many.toml").write_text(text.replace('gates = ["policy", "ci", "review"]\n', ""))
    return ("--lifecycle", "./many.toml")


def assert_fits(screen: str, folder: Path) -> None:
    """Assert that no line is wider than a terminal, except for paths and what is not wrapped."""
    for line in screen.splitlines():
        is_free = line.endswith("24 more") or "--resume" in line or str(folder) in line
        assert len(line) <= WIDTH or is_free, line


def test_screens_name_some_of_many_gates_and_how_many_more(tmp_path: Path) -> None:
    """The end of a run, status, plan and explain name some; the records and `--json` have all."""
    words = (*lifecycle(tmp_path), *PASSING, "--executor-bin", "true")
    ended = orchestrate("./out", *words, cwd=tmp_path)
    assert ended.code == 3
    report = report_of(tmp_path / "out")
    assert len(report["gate_decisions"]) == 3 + COUNT
    assert len(report["blocked_reason_codes"]) == COUNT
    for screen in (ended.stdout, orchestrate("status", "./out", cwd=tmp_path).stdout):
        assert_fits(screen, tmp_path)
        rows = [line for line in screen.splitlines() if "passes when agreed" in line]
        assert len(rows) == NAMED
        assert f"  and {COUNT - NAMED} more: see details\n" in screen
        assert f"GATE_XXXXXX, {COUNT - NAMED} more" in " ".join(screen.split())
        assert all(f"{signal_option(name)} agreed" in screen for name in NAMES)
    planned = orchestrate("plan", "./new", *words, cwd=tmp_path).stdout
    assert_fits(planned, tmp_path)
    assert planned.count("refused: missing") == NAMED
    assert f"{COUNT - NAMED} more refused: --all shows them" in planned
    whole = orchestrate("plan", "./new", *words, "--all", cwd=tmp_path).stdout
    assert all(f"{name} " in whole for name in NAMES)
    explained = orchestrate("explain", "./out", cwd=tmp_path).stdout
    assert_fits(explained, tmp_path)
    assert f"{NAMES[NAMED - 1]} and {COUNT - NAMED} more: the signal is theirs" in " ".join(
        explained.split()
    )
    in_full = orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout
    assert all(TITLE.format(number) in " ".join(in_full.split()) for number in range(COUNT))
    page = tmp_path / "page.html"
    assert orchestrate("report", "./out", "--html", page, cwd=tmp_path).code == 0
    written = page.read_text()
    heads = [f'<th scope="row">{name} ({TITLE.format(one)})' for one, name in enumerate(NAMES)]
    assert all(head in written for head in heads)
    drawn = orchestrate("diagram", "./many.toml", "--format", "mermaid", cwd=tmp_path).stdout
    assert f"{NAMES[0]} ({TITLE.format(0)})" in drawn
    assert f"<br/>{COUNT - NAMED} more" in drawn
    proved = orchestrate("verify", "./many.toml", "--json", cwd=tmp_path).stdout
    assert json.loads(proved)["lifecycles"][0]["gates"] == [*MANDATORY_RULES, *NAMES]


def test_live_line_counts_what_has_passed_and_names_what_has_not() -> None:
    """Few gates are named as usual; of many only those that refuse, and only a few of them."""
    passed = [{"gate": name, "status": "agreed", "passed": True} for name in NAMES]
    assert gates_line(passed, WIDTH, have_passed=True)[0].endswith(f"gates  {COUNT} passed")
    assert len(gates_line(passed, WIDTH, have_passed=True)) == 1
    refused = [{**one, "status": "missing", "passed": False} for one in passed[:10]]
    said = " ".join(
        " ".join(gates_line([*refused, *passed[10:]], WIDTH, have_passed=False)).split()
    )
    assert f"gates {COUNT - 10} passed, {NAMES[0]} missing" in said
    assert said.endswith(f"{NAMES[NAMED - 1]} missing, 4 more")
    few = gates_line(passed[:2], 200, have_passed=True)[0]
    assert all(f"{name} agreed" in few for name in NAMES[:2])


def test_option_of_a_gate_is_never_that_of_anything_else() -> None:
    """Whatever a gate is called, no other option of any command ends as those of gates do."""
    own = declared_rule("own", None, ("yes", "no"), "GATE_OWN")
    allowed = {signal_option(name) for name in (*MANDATORY_RULES, "own")}
    for name in COMMANDS:
        command = build_command(name, Declared(("some_stage",), (own,)))
        assert command is not None
        options = {
            word for one in command.params if isinstance(one, click.Option) for word in one.opts
        }
        assert {word for word in options if word.endswith(SIGNAL_SUFFIX)} <= allowed, name
    suffixes = [f"-{suffix}" for one in STAGE_OPTIONS for suffix in one.suffixes]
    assert not any(one.endswith(SIGNAL_SUFFIX) for one in suffixes)
