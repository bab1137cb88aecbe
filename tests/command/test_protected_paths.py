"""Protected paths of a stage, compared with their content before the stage."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import checkpoint_of, orchestrate, report_of, shell, start
from tests.support.patience import wait_until

GATES = ("--policy-status", "allow", "--ci-status", "success", "--review-status", "approved")
PROTECT = ("--executor-protect", "tests/", "--executor-protect", "rules.md")


def tree(folder: Path) -> None:
    """Make a directory of tests with a link out of it, and a file beside it."""
    (folder / "tests" / "unit").mkdir(parents=True)
    (folder / "tests" / "unit" / "a.py").write_text("assert 1\n")
    (folder / "tests" / "b.py").write_text("assert 2\n")
    (folder / "outside").mkdir()
    (folder / "outside" / "data").write_text("1\n")
    (folder / "tests" / "link").symlink_to("../outside")
    os.mkfifo(folder / "tests" / "fifo")


def attempts(folder: Path) -> list[dict[str, Any]]:
    """Return the executions of the latest invocation."""
    found: list[dict[str, Any]] = report_of(folder / "out")["stage_executions"]
    return found


def changes(execution: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return the changes of protected paths, by path."""
    return {
        os.path.relpath(one["path"], folder): one["change"]
        for one in execution.get("protected_changes", ())
    }


def run(folder: Path, script: str, *options: str, code: int) -> str:
    """Run an executor over the tree; return its output."""
    ended = orchestrate(
        "run", "./out", *GATES, *shell("executor", script), *PROTECT, *options, cwd=folder
    )
    assert ended.code == code, ended.stderr
    return ended.stderr


TAMPERING = [
    ("echo 'assert True' > tests/b.py", {"tests/b.py": "changed"}),
    ("touch tests/unit/conftest.py", {"tests/unit/conftest.py": "added"}),
    ("mkdir -p .x; mkdir tests/empty", {"tests/empty": "added"}),
    ("rm tests/unit/a.py", {"tests/unit/a.py": "removed"}),
    ("rm -r tests", None),
    ("chmod +x tests/b.py", {"tests/b.py": "changed"}),
    ("ln -sf /etc tests/unit/a.py", {"tests/unit/a.py": "changed"}),
    ("ln -sfn ../other tests/link", {"tests/link": "changed"}),
    ("rm tests/fifo; touch tests/fifo", {"tests/fifo": "changed"}),
    ("mv tests kept; ln -s kept tests", {"tests": "changed"}),
    ("echo new > rules.md", {"rules.md": "added"}),
    ("cp tests/b.py x; echo > tests/b.py; cp -p x tests/b.py", {}),
    ("echo 2 > outside/data; cat tests/b.py", {}),
]


@pytest.mark.parametrize(("script", "expected"), TAMPERING, ids=[one[0] for one in TAMPERING])
def test_each_changed_path_is_named_with_what_became_of_it(
    tmp_path: Path, script: str, expected: dict[str, str] | None
) -> None:
    """Bytes, names, kinds, modes and link targets count; no link out of the tree is followed."""
    tree(tmp_path)
    said = run(tmp_path, script, code=0 if expected == {} else 1)
    (execution,) = attempts(tmp_path)
    found = changes(execution, tmp_path)
    if expected is None:
        assert found["tests/unit/a.py"] == found["tests"] == "removed"
        assert len(found) == 6
    else:
        assert found == expected
    if expected == {}:
        assert execution["status"] == "success"
        return
    assert (execution["ending"], execution["status"]) == ("protected_changed", "failed")
    assert (execution["exit_code"], execution["protection"]["is_compared"]) == (0, True)
    assert "exited with code 0, but changed what is protected: " in " ".join(said.split())
    told = " ".join(orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout.split())
    assert "put the protected paths back as they were" in told
    assert all(f"{tmp_path}/{path} ({change})" in told for path, change in found.items())


def test_protected_paths_come_before_artifacts_and_contracts(tmp_path: Path) -> None:
    """The first failed check is the ending; the other failures are named as well."""
    tree(tmp_path)
    run(tmp_path, "touch tests/c", "--executor-expected-artifact", "no.json", code=1)
    (execution,) = attempts(tmp_path)
    assert execution["ending"] == "protected_changed"
    assert execution["missing_artifacts"] == [f"{tmp_path}/no.json"]
    assert "its expected artifacts are wrong too" in execution["error"]
    (tmp_path / "tests" / "c").unlink()
    run(tmp_path, "touch tests/c; exit 7", code=1)
    (execution,) = attempts(tmp_path)
    assert (execution["ending"], execution["exit_code"]) == ("exited", 7)
    assert changes(execution, tmp_path) == {"tests/c": "added"}
    assert "it also changed what is protected" in execution["error"]


def test_retry_is_compared_with_what_was_before_the_first_attempt(tmp_path: Path) -> None:
    """A failed attempt that weakens the tests does not make them the ones that count."""
    tree(tmp_path)
    script = "test -e once && exit 0; touch once; echo > tests/b.py; exit 9"
    retry = ("--executor-max-attempts", "2", "--executor-retry-exit-code", "9")
    run(tmp_path, script, *retry, "--executor-backoff-wait", "1ms", code=1)
    first, second = attempts(tmp_path)
    assert changes(first, tmp_path) == changes(second, tmp_path) == {"tests/b.py": "changed"}
    assert (second["ending"], second["start_problem"]) == ("not_spawned", "cannot be protected")
    assert "since before attempt 1" in second["error"]


def test_resume_asks_for_what_was_before_the_stage(tmp_path: Path) -> None:
    """With the paths put back the stage runs; otherwise nothing starts."""
    tree(tmp_path)
    script = "test -e once && exit 0; touch once; echo > tests/b.py"
    run(tmp_path, script, code=1)
    again = orchestrate("./out", "--resume", cwd=tmp_path)
    assert again.code == 1
    (execution,) = attempts(tmp_path)
    assert (execution["ending"], execution["attempt"]) == ("not_spawned", 2)
    told = " ".join(orchestrate("explain", "./out", cwd=tmp_path).stdout.split())
    assert "put the protected paths back as they were before the stage" in told
    (tmp_path / "tests" / "b.py").write_text("assert 2\n")
    done = orchestrate("./out", "--resume", cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert attempts(tmp_path)[-1]["status"] == "success"


def test_operator_may_change_what_is_protected_between_attempts(tmp_path: Path) -> None:
    """After an attempt that left the paths alone, people may change them."""
    tree(tmp_path)
    run(tmp_path, "test -e once && exit 0; touch once; exit 3", code=1)
    (tmp_path / "tests" / "b.py").write_text("assert 3\n")
    done = orchestrate("./out", "--resume", cwd=tmp_path)
    assert done.code == 0, done.stderr


@pytest.mark.parametrize("forged", [False, True])
def test_attempt_that_nobody_saw_end_is_in_doubt(tmp_path: Path, forged: bool) -> None:
    """After a crash the paths must be as they were before the attempt that was cut short."""
    tree(tmp_path)
    process = start(
        *("run", "./out", *GATES, *shell("executor", "echo > tests/b.py; touch on; sleep 60")),
        *PROTECT,
        cwd=tmp_path,
    )
    wait_until((tmp_path / "on").exists)
    attempt = checkpoint_of(tmp_path / "out")["open_attempts"][0]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = tmp_path / "out" / attempt["protection"]["file"]
    assert kept.stat().st_mode & 0o777 == 0o600
    if forged:
        document = json.loads(kept.read_text())
        document["paths"][f"{tmp_path}/tests"].pop("b.py")
        kept.write_text(json.dumps(document))
    ended = orchestrate("./out", "--resume", *shell("executor", "true"), *PROTECT, cwd=tmp_path)
    assert ended.code == 1
    execution = attempts(tmp_path)[-1]
    assert execution["start_problem"] == "cannot be protected"
    if forged:
        assert "has changed since it was kept" in execution["error"]
        return
    assert changes(execution, tmp_path) == {"tests/b.py": "changed"}
    (tmp_path / "tests" / "b.py").write_text("assert 2\n")
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0


def test_path_that_cannot_be_protected_starts_nothing(tmp_path: Path) -> None:
    """A link is no tree, and a tree that is too large is not read in part."""
    tree(tmp_path)
    (tmp_path / "rules.md").symlink_to("tests")
    run(tmp_path, "touch started", code=1)
    (execution,) = attempts(tmp_path)
    assert execution["start_problem"] == "cannot be protected"
    assert "is a symbolic link: protect what it leads to" in execution["error"]
    assert not (tmp_path / "started").exists()


def test_changed_protection_of_a_completed_stage_counts_as_changed(tmp_path: Path) -> None:
    """The protection that a completed stage had is compared before the stage is skipped."""
    tree(tmp_path)
    manager = (*shell("manager", "true"), "--manager-protect", "tests")
    first = orchestrate(
        "run", "./out", *GATES, *manager, *shell("executor", "exit 1"), cwd=tmp_path
    )
    assert first.code == 1
    ended = orchestrate("./out", "--resume", "--manager-protect", "outside", cwd=tmp_path)
    assert ended.code == 2
    said = f"protected paths: completed with {tmp_path}/tests, now {tmp_path}/outside"
    assert said in ended.stderr
