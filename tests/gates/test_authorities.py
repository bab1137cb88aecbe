"""A stage that changes who may sign, or what a policy allows, is noticed before it decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from fsm_orchestrator.engine import authorities as authorities_module
from fsm_orchestrator.engine.authorities import Authorities
from fsm_orchestrator.gates.sources.approval import ApprovalSource
from fsm_orchestrator.gates.sources.base import SourceModel
from fsm_orchestrator.gates.sources.cedar import CedarSource
from fsm_orchestrator.gates.sources.command import CommandSource
from fsm_orchestrator.gates.sources.rego import RegoSource
from fsm_orchestrator.gates.sources.statement import StatementSource
from tests.approvals.approval_cases import begin, line, make_key, project
from tests.gates.evidence_cases import config_with
from tests.gates.policy_cases import REGO, with_opa
from tests.support.command import orchestrate, report_of, shell, statuses

SIGNED_BY: Final = {"allowed_signers": "who", "principals": ["a@b"], "revoked": "no"}
SOURCES: Final[dict[str, tuple[type[SourceModel], object]]] = {
    "approval": (ApprovalSource, {"approval": {"allowed_signers": "who", "revoked_keys": "no"}}),
    "statement": (StatementSource, {"statement": "said", "signed_by": SIGNED_BY}),
    "envelope": (StatementSource, {"statement": "said", "signed_by": {"dsse_keys": ["who", "no"]}}),
    "command": (
        CommandSource,
        {"command": ["x"], "reads": "statement", "signed_by": {"dsse_keys": ["who", "no"]}},
    ),
    "rego": (RegoSource, {"rego": {"policy": ["who", "no"], "data": ["d"], "query": "data.a"}}),
    "cedar": (CedarSource, {"cedar": {"policy": ["who"], "schema": "no"}}),
}
CHANGES: Final = {
    "changed": "was changed or replaced",
    "removed": "was removed",
    "a directory": "was removed",
}


def authorities(folder: Path, name: str) -> Authorities:
    """Return the files of a source after they have been looked at."""
    kind, settings = SOURCES[name]
    for one in ("who", "no", "d", "said"):
        (folder / one).write_text(one)
    return Authorities([kind.model_validate_json(json.dumps(settings)).based(str(folder))])


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("file", ["who", "no"])
@pytest.mark.parametrize("name", SOURCES)
def test_each_file_that_decides_is_compared(
    name: str, file: str, change: str, tmp_path: Path
) -> None:
    """File and kind of change are named, once; the file itself is left alone."""
    found = authorities(tmp_path, name)
    (tmp_path / "said").write_text("another")  # others' statements may change
    (tmp_path / "d").write_text("another")
    found.look()
    assert found.changed is None
    if change == "changed":
        (tmp_path / file).write_text("ho!")
    else:
        (tmp_path / file).unlink()
    if change == "a directory":
        (tmp_path / file).mkdir()
    there = sorted(one.name for one in tmp_path.iterdir())
    found.look()
    said = getattr(found, "changed")  # noqa: B009 - it was None above, for all that mypy knows
    assert f"{tmp_path / file} {CHANGES[change]}" in str(said)
    assert said.operation == "control.verify"
    assert sorted(one.name for one in tmp_path.iterdir()) == there


def test_same_bytes_are_no_change(tmp_path: Path) -> None:
    """A rewritten file, or another one with the same bytes, decides as before."""
    found = authorities(tmp_path, "approval")
    (tmp_path / "new").write_text("who")
    (tmp_path / "new").replace(tmp_path / "who")
    found.look()
    assert found.changed is None


def test_what_changes_while_a_gate_waits_is_the_operator_s(tmp_path: Path) -> None:
    """A change during the wait is accepted once the gates have been judged."""
    found = authorities(tmp_path, "approval")
    (tmp_path / "who").write_text("one more")
    found.note()
    found.look()
    assert found.changed is None


def test_file_that_is_put_into_a_directory_of_policies_is_named(tmp_path: Path) -> None:
    """A file that is added or changed at any depth of the directory is named."""
    (tmp_path / "all" / "below").mkdir(parents=True)
    (tmp_path / "all" / "a.rego").write_text("a")
    settings = {"rego": {"policy": ["all"], "query": "data.a"}}
    found = Authorities([RegoSource.model_validate_json(json.dumps(settings)).based(str(tmp_path))])
    (tmp_path / "all" / "below" / "b.rego").write_text("b")
    found.look()
    assert "all/below/b.rego was added" in str(found.changed)


def test_too_many_files_to_compare_let_no_gate_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run is refused before a stage runs: a change to the files left out would go unnoticed."""
    monkeypatch.setattr(authorities_module, "FILES_MAX", 3)
    (tmp_path / "all").mkdir()
    for number in range(3):
        (tmp_path / "all" / f"{number}.rego").write_text("a")
    settings = {"rego": {"policy": ["all"], "query": "data.a"}}
    source = RegoSource.model_validate_json(json.dumps(settings)).based(str(tmp_path))
    assert Authorities([source]).changed is None
    (tmp_path / "all" / "more.rego").write_text("a")
    assert "more than 3 files, too many to notice a change" in str(Authorities([source]).changed)


def test_file_too_large_to_be_read_is_compared_by_its_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write to it is noticed although its content is not read."""
    monkeypatch.setattr(authorities_module, "FILE_BYTES_MAX", 2)
    found = authorities(tmp_path, "approval")
    found.look()
    assert found.changed is None
    (tmp_path / "who").write_text("own")
    found.look()
    assert "was changed or replaced" in str(found.changed)


def test_stage_that_lets_itself_approve_fails_the_run(tmp_path: Path) -> None:
    """The attempt is kept, and the operator's file stays unchanged."""
    project(tmp_path, plan="echo the plan > plan.md; echo 'eve@x ssh-ed25519 AAAA' >> signers")
    (tmp_path / "signers").write_text(line(make_key(tmp_path, "ann"), "ann@example.org"))
    ended = begin(tmp_path)
    assert ended.code == 1, ended.stderr
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("failed", False)
    assert statuses(report) == [("manager", "success"), ("control", "failed")]
    failure = report["stage_executions"][-1]
    assert (failure["command"], failure["ending"]) == ("control.verify", "control_tampered")
    assert f"{tmp_path / 'signers'} was changed or replaced" in failure["error"]
    assert "eve@x" in (tmp_path / "signers").read_text()
    resumed = orchestrate("./out", "--resume", cwd=tmp_path)
    assert resumed.code == 3, resumed.stderr  # as left by somebody who knows why


def test_stage_that_changes_the_policy_fails_the_run_before_it_closes(tmp_path: Path) -> None:
    """The gates are judged once more, and not by a policy that a stage wrote."""
    (tmp_path / "release.rego").write_text("package release\n")
    config_with(tmp_path, REGO, gate="policy")
    env = with_opa(tmp_path, "say({'result': [{'expressions': [{'value': 'gates' in given}]}]})")
    words = ("run", "./out", "--config", "run.toml")
    script = shell("executor", "echo allow := true >> release.rego")
    ended = orchestrate(*words, *script, cwd=tmp_path, env=env)
    assert ended.code == 1, ended.stderr
    failure = report_of(tmp_path / "out")["stage_executions"][-1]
    assert failure["ending"] == "control_tampered"
    assert "release.rego was changed or replaced while stages were at work" in failure["error"]
    assert orchestrate("./out", "--resume", cwd=tmp_path, env=env).code == 0
