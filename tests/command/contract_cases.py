"""Stages under contract: a config file, what its executor leaves, and the violations found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.command import orchestrate, report_of

GATES = (
    'skip_stages = ["manager"]\n[gates]\npolicy = "allow"\nci = "success"\nreview = "approved"\n'
)
BLOCKED = {"final_state": "Blocked", "pr_ci_status": "Failing", "findings": []}
DONE = {
    "final_state": "Done",
    "pr_ci_status": "Passing",
    "tests": 12,
    "big": 10**30,
    "findings": [{"id": "F-1", "ok": True}, {"id": "F-2", "ok": True}],
    "a/b": {"~": None},
    "": [0, 1.0],
}


def config(folder: Path, contract: str, script: str = "exit 0", settings: str = "") -> Path:
    """Return a config file whose executor does what `script` says, under contracts."""
    path = folder / "run.toml"
    (folder / "executor.sh").write_text(script)
    path.write_text(
        f'{GATES}[stage.executor]\nbin = "/bin/sh"\nargs = ["executor.sh"]\n{settings}\n{contract}'
    )
    return path


def contract(path: str = "report.json", **terms: Any) -> str:
    """Return the table of a contract."""
    lines = [f"path = {json.dumps(path)}"]
    for key, value in terms.items():
        name = "assert" if key == "asserts" else key
        lines.append(f"{name} = {value if key == 'asserts' else json.dumps(value)}")
    return "\n".join(("[[stage.executor.artifact]]", *lines, ""))


def writes(document: Any, name: str = "report.json") -> str:
    """Return a script that writes a document."""
    return f"cat > {name} <<'END'\n{json.dumps(document)}\nEND\n"


def executed(folder: Path, *options: str, code: int = 1) -> dict[str, Any]:
    """Run the config file and return the execution of its stage."""
    ended = orchestrate("run", "./out", "--config", "run.toml", *options, cwd=folder)
    assert ended.code == code, ended.stderr
    (execution,) = report_of(folder / "out")["stage_executions"]
    found: dict[str, Any] = execution
    return found


def broken(execution: Mapping[str, Any]) -> list[tuple[str, str | None, str, str]]:
    """Return the violations of an execution: file name, pointer, expected, found."""
    return [
        (Path(one["path"]).name, one["pointer"], one["expected"], one["found"])
        for one in execution.get("contract_violations", ())
    ]


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["final_state"],
    "properties": {
        "final_state": {"enum": ["Done", "Skipped"]},
        "at": {"type": "string", "format": "date-time"},
        "who": {"$ref": "#/$defs/who"},
    },
    "additionalProperties": False,
    "$defs": {"who": {"type": "string", "minLength": 3}},
}


def schema(folder: Path, document: Any) -> Path:
    """Return a file with a JSON Schema."""
    path = folder / "report.schema.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path
