"""The published schema of this program's predicate agrees with what a gate reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.vocabulary import SchemaName
from tests.gates.evidence_cases import GATE_SIGNAL, config_with, sha256_of, statement, write
from tests.support.command import orchestrate
from tests.support.schema_checks import is_valid

GOOD: Final = {
    "gate": "ci",
    "status": "success",
    "issuer": "ci@example.org",
    "issuedAt": "2026-01-01T09:00:00+01:00",
    "expiresAt": "2199-01-01T00:00:00.5Z",
    "checks": [{"name": "unit", "status": "passed"}, {"name": "slow", "status": "skipped"}],
}
BAD: Final[tuple[dict[str, Any], ...]] = (
    {"issuer": ""},
    {"issuedAt": "yesterday"},
    {"issuedAt": "2026-01-01T00:00:00"},
    {"expiresAt": "2199-01-01"},
    {"checks": []},
    {"checks": [{"name": "unit", "status": "fine"}]},
    {"checks": [{"name": "unit", "status": "passed", "more": 1}]},
    {"status": 1},
    {"comment": "a key that it does not have"},
)


def test_what_the_schema_refuses_no_gate_reads(tmp_path: Path) -> None:
    """A valid document is read, and an invalid one is no statement."""
    (tmp_path / "plan.txt").write_text("plan")
    digest = {"sha256": sha256_of(tmp_path / "plan.txt")}
    more = '[subject]\nfiles = ["plan.txt"]'
    config_with(tmp_path, 'statement = "ci.json"', more=more)
    least = {key: GOOD[key] for key in ("status", "issuer", "issuedAt")}
    for predicate in (GOOD, least, *({**GOOD, **one} for one in BAD)):
        write(tmp_path / "ci.json", statement(digest, GATE_SIGNAL, predicate))
        ended = orchestrate("gates", "--config", "run.toml", "--json", cwd=tmp_path)
        evidence = json.loads(ended.stdout)["gates"][1]["evidence"]
        good = is_valid(SchemaName.GATE_SIGNAL, predicate)
        assert good is (predicate in (GOOD, least))
        assert evidence["problem"] == (None if good else "not_a_statement"), predicate
