"""Mistakes in the tables of contracts, budgets and limits: each is named as it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator.config.config_reading import load
from fsm_orchestrator.errors import UsageError

EXECUTOR = '[stage.executor]\nbin = "true"\n'
CONTRACT = "[[stage.executor.artifact]]\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            EXECUTOR + CONTRACT + 'pat = "x"\n',
            [
                "run.toml:3: key 'stage.executor.artifact.0.path' is missing",
                "run.toml:4: unknown key 'stage.executor.artifact.0.pat'; did you mean 'path'?",
            ],
        ),
        (
            EXECUTOR + 'run_timeout = "5m"\n',
            ["run.toml:3: unknown key 'stage.executor.run_timeout'; did you mean 'timeout'?"],
        ),
        (
            "[budget]\nUSD = 5\n",
            [
                (
                    "run.toml:1: key 'budget': 'USD' is not a unit: lower-case letters, digits and"
                    " _, a letter first, at most 32 characters"
                )
            ],
        ),
        (
            EXECUTOR + 'exit_codes = { 10 = "rework" }\n',
            ["run.toml:3: key 'stage.executor.exit_codes' belongs in the lifecycle file"],
        ),
    ],
)
def test_mistake_is_named_as_it_was_written(tmp_path: Path, text: str, said: list[str]) -> None:
    """An error never names a key or a value that is not in the file."""
    file = tmp_path / "run.toml"
    file.write_text(text)

    with pytest.raises(UsageError) as caught:
        load(file, "run.toml")

    assert str(caught.value).splitlines() == said
