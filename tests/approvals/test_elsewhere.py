"""Approvals of a run whose directory is elsewhere now: they belong to the run, not to a path."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from fsm_orchestrator.record.record_check import record_digest
from tests.approvals.approval_cases import approve, begin, project, request_sha256
from tests.support.command import Ended, orchestrate, report_of, tree_of

BLOCKED, USAGE = 3, 2
PLAN = 'echo the plan > "$ORCHESTRATOR_OUTPUT_DIR/plan.md"'
APPLY = 'cp "$ORCHESTRATOR_OUTPUT_DIR/plan.md" applied.md'


@pytest.fixture
def place(tmp_path: Path, signers: str) -> Path:
    """Make a project whose run waits for people, and has its plan in the output directory."""
    folder = project(tmp_path, plan=PLAN, apply=APPLY)
    (folder / "signers").write_text(signers)
    text = (folder / "run.toml").read_text()
    (folder / "run.toml").write_text(text.replace('["plan.md"]', '["out/plan.md"]'))
    assert begin(folder).code == BLOCKED
    return folder


def resumed(place: Path, output: Path, *options: str) -> Ended:
    """Resume in a directory."""
    state = {"XDG_STATE_HOME": str(place / ("another" if "--adopt" in options else "state"))}
    return orchestrate("run", output, "--resume", *options, cwd=place, env=state)


def requests(output: Path) -> list[Path]:
    """Return the requests in a directory."""
    return sorted((output / "approvals").glob("*.request.json"))


def moved(place: Path, output: Path) -> tuple[str, ...]:
    """Move the directory; return the options that a resume needs then."""
    output.parent.mkdir()
    (place / "out").rename(output)
    return ()


def brought(place: Path, output: Path) -> tuple[str, ...]:
    """Bring the directory from another machine to another path; return a resume's options."""
    shutil.copytree(place / "out", output)
    shutil.rmtree(place / "out")
    return ("--adopt", "--accept-record", record_digest(output))


@pytest.mark.parametrize("go", [moved, brought])
def test_approval_is_of_the_run_wherever_it_lies(
    place: Path, keys: dict[str, Path], go: object
) -> None:
    """An approval given at the old place lets the run in at the new one without a new request."""
    assert approve(place, keys["bob"]).code == 0
    output = place / "elsewhere" / "out"
    options = (moved if go is moved else brought)(place, output)
    shown = orchestrate("explain", output, "--all", cwd=place).stdout
    assert str(output / "plan.md") in "".join(shown.split())
    ended = resumed(place, output, *options)
    assert ended.code == 0, ended
    assert (place / "applied.md").read_text() == "the plan\n"
    assert len(requests(output)) == 1
    named = json.loads(requests(output)[0].read_bytes())["predicate"]["artifacts"]
    assert [one["path"] for one in named] == ["plan.md"]
    report = report_of(output)
    (evidence,) = [one["evidence"] for one in report["gate_decisions"] if one["evidence"]]
    assert evidence["signer"] == "bob@example.org"


def test_answer_may_be_given_where_it_was_brought_to(place: Path, keys: dict[str, Path]) -> None:
    """The plan is shown from its new place, the answer counts, and the next command is right."""
    output = place / "elsewhere" / "out"
    options = brought(place, output)
    digest = hashlib.sha256(requests(output)[0].read_bytes()).hexdigest()
    ended = orchestrate("approve", output, "--key", keys["bob"], "--digest", digest, cwd=place)
    assert ended.code == 0, ended
    assert "the plan" in ended.stdout
    assert f"--resume {' '.join(options)}" in ended.stdout
    assert resumed(place, output, *options).code == 0


def test_answer_is_not_given_in_a_copy(place: Path, keys: dict[str, Path]) -> None:
    """An answer in a copy would count for the original, so it is refused; a copy has its own."""
    assert approve(place, keys["bob"]).code == 0
    copy = place / "copy"
    shutil.copytree(place / "out", copy)
    before = tree_of(copy)
    for said, more in (("approve", ()), ("deny", ("--reason", "no")), ("withdraw", ())):
        words = (said, copy, "--key", keys["bob"], "--digest", request_sha256(place), *more)
        ended = orchestrate(*words, cwd=place)
        assert (ended.code, f"{said} in {place / 'out'}" in ended.stderr) == (USAGE, True), ended
    assert tree_of(copy) == before
    shown = orchestrate("status", "copy", cwd=place).stdout
    assert "fsm-orchestrator approve" not in shown
    assert "copy --resume --as-copy" in shown
    ended = resumed(place, copy, "--as-copy")
    assert ended.code == BLOCKED, ended
    assert not (place / "applied.md").exists()
    asked = [json.loads(one.read_bytes())["predicate"]["runId"] for one in requests(copy)]
    assert len(set(asked)) == 2
    assert resumed(place, place / "out").code == 0
