"""Contracts that name a JSON Schema: the judgement, the refusals, and what a resume compares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.command.contract_cases import (
    BLOCKED,
    SCHEMA,
    broken,
    config,
    contract,
    executed,
    schema,
    writes,
)
from tests.support.command import orchestrate, report_of


def test_document_is_judged_by_its_schema(tmp_path: Path) -> None:
    """Formats are checked and no value of the document is shown; a conforming document passes."""
    schema(tmp_path, SCHEMA)
    wrong = {"final_state": "private", "at": "yesterday", "who": "x", "private_name": 1}
    config(tmp_path, contract(json_schema="report.schema.json"), writes(wrong))
    execution = executed(tmp_path)
    told = sorted(one[1:] for one in broken(execution))
    of = " (schema report.schema.json)"
    assert told == [
        ("", f"additionalProperties false{of}", "an object of 4 members"),
        ("/at", f'format "date-time"{of}', "a string of 9 characters"),
        ("/final_state", f'enum ["Done", "Skipped"]{of}', "a string of 7 characters"),
        ("/who", f"minLength 3{of}", "a string of 1 characters"),
    ]
    assert "private" not in execution["error"]
    config(
        tmp_path,
        contract(json_schema="report.schema.json"),
        writes({"final_state": "Done", "at": "2026-01-02T03:04:05Z", "who": "xyz"}),
    )
    ended = orchestrate("./out", "--resume", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 0, ended.stderr


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "accepts null, {} and []: it demands nothing"),
        ({"requierd": ["final_state"]}, "accepts null, {} and []: it demands nothing"),
        (True, "accepts null, {} and []: it demands nothing"),
        ({"$ref": "http://127.0.0.1:9/schema"}, "Retrieval is disabled"),
        ({"$ref": "file:///etc/hostname"}, "Retrieval is disabled"),
        ({"type": "strin"}, "is not valid under any of the schemas"),
        ({"type": "object", "format": "datum"}, "Unknown format: 'datum'"),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object"},
            "has another dialect than 2020-12",
        ),
        ('{"type": "object", "type": "array"}', "a name occurs twice in an object"),
        ("{", "is not JSON: line 1 column 2: the file ends too early"),
    ],
)
def test_schema_that_nothing_can_be_judged_by_is_refused(
    tmp_path: Path, document: Any, said: str
) -> None:
    """A schema that cannot judge a document prevents the start; nothing is ever fetched."""
    schema(tmp_path, document)
    config(tmp_path, contract(json_schema="report.schema.json"), "touch started")
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert said in ended.stderr
    assert not (tmp_path / "started").exists()


def test_schema_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A missing schema is a designed error with a remedy, and no stage runs."""
    config(tmp_path, contract(json_schema="no.json"))
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert "no.json cannot be read: no such file or directory" in ended.stderr
    assert "name an existing file" in ended.stderr


def test_schema_that_an_earlier_stage_changed_does_not_judge(tmp_path: Path) -> None:
    """The schema is identified by its digest: a laxer replacement judges nothing."""
    schema(tmp_path, SCHEMA)
    path = config(tmp_path, contract(json_schema="report.schema.json"), writes(BLOCKED))
    (tmp_path / "manager.sh").write_text(writes({"type": "object"}, "report.schema.json"))
    text = path.read_text().replace('skip_stages = ["manager"]\n', "")
    path.write_text(f'{text}\n[stage.manager]\nbin = "/bin/sh"\nargs = ["manager.sh"]\n')
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 1
    executor = report_of(tmp_path / "out")["stage_executions"][-1]
    assert (executor["ending"], executor["start_problem"]) == (
        "not_spawned",
        "cannot be held to its contract",
    )
    assert "when it was given" in executor["error"]


def test_changed_contract_of_a_completed_stage_counts_as_changed(tmp_path: Path) -> None:
    """A contract, and the schema that it names, are settings that a resume compares."""
    schema(tmp_path, {"type": "object"})
    script, given = writes({"final_state": "Done"}), 'json_schema = "report.schema.json"'
    table = f'[[stage.manager.artifact]]\npath = "report.json"\n{given}\n'
    (tmp_path / "manager.sh").write_text(script)
    manager = '[stage.manager]\nbin = "/bin/sh"\nargs = ["manager.sh"]\n'
    (tmp_path / "run.toml").write_text(f"{manager}{table}")
    first = orchestrate(
        *("run", "./out", "--config", "run.toml", "--policy-status", "allow"),
        *("--ci-status", "success", "--review-status", "approved", "--executor-bin", "false"),
        cwd=tmp_path,
    )
    assert first.code == 1
    schema(tmp_path, SCHEMA)
    refused = orchestrate("./out", "--resume", cwd=tmp_path)
    assert refused.code == 2
    assert "contracts: " in refused.stderr
    assert "report.schema.json had the sha256" in refused.stderr
    schema(tmp_path, {"type": "object"})
    (tmp_path / "run.toml").write_text(f"{manager}{table}max_bytes = 9\n")
    refused = orchestrate("./out", "--resume", "--config", "run.toml", cwd=tmp_path)
    assert refused.code == 2
    assert "contracts: completed with" in refused.stderr
    assert "max_bytes 9" in refused.stderr
    plan = " ".join(orchestrate("plan", "./out", "--resume", "--all", cwd=tmp_path).stdout.split())
    assert "environment, expected artifacts, contracts, artifacts" in plan
