"""The README tells what the program does: its examples, tables and diagram are checked here."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fsm_orchestrator.constants import DEFAULT_LIFECYCLE
from fsm_orchestrator.gates.rules import GATE_RULES
from fsm_orchestrator.lifecycle import reading
from fsm_orchestrator.rendering.diagram.mermaid import mermaid_text
from fsm_orchestrator.rendering.diagram.picture import picture_of
from fsm_orchestrator.vocabulary import ExitCode
from tests.support.command import orchestrate, shell_environment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"<!-- example: (\w+) -->\n```console\n(.*?)```", README, re.DOTALL)
ENDINGS = {"failed": 1, "resumed": 0, "blocked": 3}


def normalised(text: str) -> list[str]:
    """Lines without what differs from run to run: ids, directories, durations, padding."""
    text = re.sub(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{8}", "RUN", text)
    text = re.sub(r"\S*/(out|other)/", r"/\1/", text)
    text = re.sub(r"\d+(\.\d)? ?m?s\b", "TIME", text)
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip()]


def test_examples_print_what_the_readme_shows(tmp_path: Path) -> None:
    """Each example, typed in its order into a shell, gives the shown output and exit code."""
    env = shell_environment(tmp_path)
    assert [name for name, _ in EXAMPLES] == list(ENDINGS)
    for name, block in EXAMPLES:
        command, _, shown = re.sub(r"\\\n\s*", "", block).partition("\n")
        done = subprocess.run(
            ["/bin/sh", "-c", command.removeprefix("$ ")],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert normalised(done.stdout) == normalised(shown), name
        assert done.returncode == ENDINGS[name], name


def test_python_example_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """The Python example runs as it stands and prints the two lines below it."""
    example, _, rest = README.partition("<!-- python -->\n```python\n")[2].partition("```")
    shown = rest.partition("```\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env=shell_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, shown), done.stderr


def test_config_example_is_a_right_config_file(tmp_path: Path) -> None:
    """The config file of the README passes the check."""
    example = README.partition("<!-- config -->\n```toml\n")[2].partition("```")[0]
    (tmp_path / "run.toml").write_text(example)
    assert orchestrate("config", "check", "run.toml", cwd=tmp_path).code == 0


def test_diagram_is_the_generated_one() -> None:
    """The README's diagram is what `diagram` draws of the default lifecycle."""
    shown = README.partition("```mermaid\n")[2].partition("```")[0]
    assert shown == mermaid_text(picture_of(reading.shipped(DEFAULT_LIFECYCLE)))


def test_exit_code_table_is_complete() -> None:
    """Every exit code of the program is in the README's table, and no other."""
    table = README.partition("## Exit codes")[2].partition("##")[0]
    cells = re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE)
    listed = {int(code) for cell in cells for code in cell.split(",")}
    assert listed == {int(code) for code in ExitCode}


@pytest.mark.parametrize("gate", list(GATE_RULES))
def test_gate_table_agrees_with_the_rules(gate: str) -> None:
    """Each gate's row names its option, its values and its reason code."""
    row = next(line for line in README.splitlines() if line.startswith(f"| {gate} |"))
    rule = GATE_RULES[gate]  # type: ignore[index]  # a Gate is a str
    assert f"`--{gate}-status`" in row
    assert rule.reason_code in row
    assert re.findall(r"`(\w+)`", row)[0:-1] == list(rule.values)


def test_links_lead_somewhere() -> None:
    """Every relative link of the README names a file that is there."""
    targets = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
