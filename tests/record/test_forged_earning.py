"""Records of stages with contracts, protected paths and inputs, each forged in one place."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.command.contract_cases import BLOCKED, DONE, config, contract, writes
from tests.record.history_cases import at, change, encoded, refusal
from tests.support.command import checkpoint_of, orchestrate, report_of

ASSERTS = '[{ at = "/final_state", equals = "Done" }]'
EXECUTION = ("invocations", 0, "stage_executions", 0)
COMPLETION = ("completions", 0)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run that is done, and one whose executor broke its contract and changed its tests."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "tests").mkdir()
    settings = 'protect = ["tests"]\ninputs = ["executor.sh"]'
    terms = contract("{out}/site/") + contract(asserts=ASSERTS)
    site = 'mkdir -p "$ORCHESTRATOR_OUTPUT_DIR/site"; touch "$ORCHESTRATOR_OUTPUT_DIR/site/x"\n'
    for name, document in (("done", DONE), ("broken", BLOCKED)):
        config(folder, terms, site + writes(document), settings)
        orchestrate("run", f"./{name}", "--config", "run.toml", cwd=folder)
    config(folder, terms, site + writes(DONE) + "touch tests/x", settings)
    orchestrate("run", "./tampered", "--config", "run.toml", cwd=folder)
    return folder


FORGERIES: list[tuple[str, dict[str, Any], str]] = [
    ("broken", {"contract_violations": []}, "is contract_violated, and nothing is named"),
    ("tampered", {"protected_changes": []}, "is protected_changed, and nothing is named"),
    (
        "broken",
        {"status": "success", "ending": "exited", "error": None, "problem": None},
        "is called a success",
    ),
    ("done", {"protection": None}, "is not what the attempt that succeeded was"),
    ("done", {"protection.is_compared": False}, "is not what the attempt that succeeded was"),
    ("done", {"inputs": []}, "is not what the attempt that succeeded was"),
    ("done", {"artifacts": []}, "is not what the attempt that succeeded was"),
]


@pytest.mark.parametrize(("run", "changes", "said"), FORGERIES)
def test_record_that_hides_what_was_found_is_refused(
    runs: Path, run: str, changes: dict[str, Any], said: str
) -> None:
    """A forged record can neither turn a failure into a success nor hide what a success needs."""
    document = checkpoint_of(runs / run)
    assert refusal(encoded(document)) is None
    execution = at(document, EXECUTION)
    for key, value in changes.items():
        holder, _, name = key.rpartition(".")
        (execution[holder] if holder else execution)[name] = value
    if run == "done" and "inputs" in changes:
        at(document, COMPLETION)["inputs"] = []
    if run == "done" and "artifacts" in changes:
        at(document, COMPLETION)["artifacts"] = []
    assert said in (refusal(encoded(document)) or "")


def test_contract_in_a_record_is_read_as_one(runs: Path) -> None:
    """An unknown assertion of a contract is refused in a record as it is in a config file."""
    document = checkpoint_of(runs / "done")
    change(document, {})
    (_, on_report) = document["stages"]["executor"]["contracts"]
    assert on_report["assertions"] == [{"at": "/final_state", "equals": "Done"}]
    on_report["assertions"] = [{"at": "/final_state", "equls": "Done"}]
    assert "is not a test" in (refusal(encoded(document)) or "")


def test_record_that_was_moved_finds_its_directory_again(runs: Path) -> None:
    """A directory below OUT is found where OUT is now, and changes in it are noticed."""
    place = runs / "moved"
    shutil.copytree(runs / "done", place / "done", symlinks=True)
    (runs / "done").rename(place / "elsewhere")
    told = orchestrate("status", place / "elsewhere", cwd=runs)
    assert told.code == 0, told.stdout
    (place / "elsewhere" / "site" / "y").touch()
    told = orchestrate("explain", place / "elsewhere", cwd=runs)
    (place / "elsewhere" / "site" / "y").unlink()
    (place / "elsewhere").rename(runs / "done")
    assert "done, but not ready to close" in told.stdout
    assert f"{place}/elsewhere/site/ had the sha256" in " ".join(told.stdout.split())


def test_page_and_test_report_name_what_was_found(runs: Path) -> None:
    """The page and the JUnit report name pointer, expected and found value, or each path."""
    for name, words in (
        ("broken", ("report.json at /final_state", "expected &#34;Done&#34;", "contract_violated")),
        ("tampered", ("tests/x (added)", "put the protected paths back", "protected_changed")),
    ):
        for form in ("html", "junit"):
            made = orchestrate("report", f"./{name}", f"--{form}", f"{name}.{form}", cwd=runs)
            assert made.code == 0, made.stderr
        told = (runs / f"{name}.html").read_text() + (runs / f"{name}.junit").read_text()
        assert [one for one in words if one not in told] == []
        (execution,) = report_of(runs / name)["stage_executions"]
        assert execution["ending"] in told
