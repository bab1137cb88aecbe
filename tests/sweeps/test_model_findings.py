"""Sequences and checkpoints that broke a promise when they were found, one test for each.

test_model.py and test_checkpoint_fuzz.py found them, and do not repeat them.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator import RunConfig, StageGiven, resume, run
from fsm_orchestrator.errors import CheckpointError, OrchestratorError, UsageError
from fsm_orchestrator.lifecycle.model import Edge
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import CHECKPOINT, checkpoint_of, environment, orchestrate, tree_of

Document = dict[str, Any]
PASSED: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
MEMORY_BYTES_MAX: Final = 1024**3
EMPTY_ENTRIES: Final = 100_000


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use separate private state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def shell(script: str, **given: Any) -> StageGiven:
    """Return a stage that runs a script."""
    return StageGiven(bin="/bin/sh", args=("-c", script), **given)


def begin(directory: Path, **stages: StageGiven) -> Report:
    """Start a run in `out` whose gates pass."""
    given = {"directory": directory, "gates": PASSED, "stages": stages}
    return run(RunConfig(output_directory=directory / "out", **given))


def go_on(directory: Path, **given: Any) -> Report:
    """Resume that run."""
    return resume(RunConfig(output_directory=directory / "out", directory=directory, **given))


# -- settings --------------------------------------------------------------------------------


def test_stage_declared_anew_without_variables_stays_so(tmp_path: Path) -> None:
    """A binary given now redeclares its stage: the old command and values never come back."""
    begin(tmp_path, manager=shell('echo "old $KEY" >> ran; exit 1', env={"KEY": "value-4711"}))
    go_on(tmp_path, stages={"manager": shell('echo "new $KEY" >> ran; exit 1')})
    go_on(tmp_path)
    assert (tmp_path / "ran").read_text().splitlines() == ["old value-4711", "new ", "new "]


def test_forgotten_values_are_gone_when_the_run_is_done(tmp_path: Path) -> None:
    """Values of variables are kept until the run is done, including those that were dropped."""
    begin(tmp_path, manager=shell("exit 1", env={"KEY": "value-4711"}))
    both = {"manager": shell("exit 0"), "executor": shell("exit 0")}
    assert go_on(tmp_path, stages=both).closure_ready
    kept = tree_of(tmp_path / "state")
    assert not any(b"value-4711" in content for content in kept.values())


def test_completed_stage_with_another_secret_in_an_argument_is_not_skipped_silently(
    tmp_path: Path,
) -> None:
    """Changed arguments of a completed stage are refused, whether they can be shown or not."""
    values = {"FIRST": "value-4711", "SECOND": "value-0815"}
    begin(
        tmp_path,
        manager=shell("exit 0 # value-4711", env=values),
        executor=shell("exit 1"),
    )
    with pytest.raises(UsageError):
        go_on(tmp_path, stages={"manager": StageGiven(args=("-c", "exit 0 # value-0815"))})


# -- forged histories ------------------------------------------------------------------------


def refusal(document: Document) -> str | None:
    """Return why a checkpoint is refused, or None if it is not."""
    try:
        checkpoint_reader.parse(json.dumps(document).encode(), CHECKPOINT)
    except CheckpointError as error:
        return str(error)
    return None


def test_done_by_passing_over_a_stage_that_has_a_binary_is_refused(tmp_path: Path) -> None:
    """A stage with a binary is not passed over: a history that claims it is forged."""
    begin(tmp_path, manager=shell("exit 0"), executor=shell("exit 7"))
    document = checkpoint_of(tmp_path / "out")
    [invocation] = document["invocations"]
    del invocation["stage_executions"][1]
    invocation["passed_over"] = ["executor"]
    invocation["transitions"][-1] |= {"trigger": "stage_succeeded", "dest": "done"}
    document["current_state"] = "done"
    assert refusal(document)


def test_done_by_skipping_a_stage_that_was_set_aside_is_refused(tmp_path: Path) -> None:
    """A stage that was to run again and failed is no longer complete: no history skips it."""
    spoiling = shell("test -e ready && exit 7; rm -f plan.json")
    planning = shell("echo '[]' > plan.json", expected_artifacts=("plan.json",))
    begin(tmp_path, manager=planning, executor=spoiling)
    for name in ("ready", "plan.json"):
        (tmp_path / name).write_text("[]\n")
    again = go_on(tmp_path, rerun=("executor",))
    assert [one.status.value for one in again.stage_executions] == ["skipped", "failed"]
    document = checkpoint_of(tmp_path / "out")
    first, second = document["invocations"]
    success = next(one for one in first["stage_executions"] if one["stage"] == "executor")
    skip = {**success, "status": "skipped", "exit_code": None, "ending": None}
    seq = second["transitions"][-1]["seq"]
    walk = [
        {**step, "seq": seq + number} for number, step in enumerate(second["transitions"], start=1)
    ]
    walk[-1] |= {"trigger": "stage_succeeded", "dest": "done"}
    executions = [second["stage_executions"][0], skip]
    third = {"number": 3, "rerun": [], "transitions": walk, "stage_executions": executions}
    document["invocations"].append({**second, **third})
    document["current_state"] = "done"
    assert refusal(document)


# -- files made to exhaust the reader --------------------------------------------------------


def limit_memory() -> None:
    """Limit the process to far more memory than a reader of small files needs."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_small_file_with_many_wrong_entries_is_refused_in_little_memory(tmp_path: Path) -> None:
    """A checkpoint of 300 kB is refused by name within a gigabyte of memory."""
    begin(tmp_path, manager=shell("exit 1"))
    output = tmp_path / "out"
    document = checkpoint_of(output)
    document["invocations"][0]["stage_executions"] = [{}] * EMPTY_ENTRIES
    (output / CHECKPOINT).write_text(json.dumps(document))
    assert_refused_in_little_memory(tmp_path)


def assert_refused_in_little_memory(directory: Path) -> None:
    """Assert that a resume names the checkpoint's fault, within a gigabyte of memory."""
    ended = subprocess.run(
        [sys.executable, "-m", "fsm_orchestrator", "out", "--resume"],
        cwd=directory,
        env=environment(),
        capture_output=True,
        text=True,
        preexec_fn=limit_memory,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr[-2_000:]
    assert str(directory / "out" / CHECKPOINT) in ended.stderr


def unknown_list(document: Document) -> object:
    """Return a large file without any content of a checkpoint."""
    return {"product": document["product"], "schema_version": 1, "list": [[]] * 1_500_000}


def warnings_that_are_numbers(document: Document) -> object:
    """Return wrong entries where texts belong."""
    document["invocations"][0]["warnings"] = [0] * 2_000_000
    return document


def execution_of_unknown_keys(document: Document) -> object:
    """Return a large entry without any of its keys."""
    unknown = {f"key{number}": 0 for number in range(450_000)}
    document["invocations"][0]["stage_executions"] = [unknown]
    return document


def empty_edges(document: Document) -> object:
    """Return a lifecycle of many edges that are invalid."""
    document["lifecycle"]["transition"] = [{}] * 1_000_000
    return document


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.parametrize(
    "bomb", [unknown_list, warnings_that_are_numbers, execution_of_unknown_keys, empty_edges]
)
def test_file_of_some_megabytes_is_refused_in_little_memory(
    bomb: Callable[[Document], object], tmp_path: Path
) -> None:
    """A file far below the maximum size of a checkpoint is refused within a gigabyte."""
    begin(tmp_path, manager=shell("exit 1"))
    path = tmp_path / "out" / CHECKPOINT
    path.write_text(json.dumps(bomb(checkpoint_of(tmp_path / "out")), separators=(",", ":")))
    assert path.stat().st_size < 8_000_000
    assert_refused_in_little_memory(tmp_path)


def long_history(document: Document, length: int) -> bytes:
    """Return the checkpoint of a run that failed, and failed again in that many resumes."""
    [first] = document["invocations"]
    walk = first["transitions"]
    visits = [first]
    for number in range(2, length + 1):
        seq = (number - 1) * len(walk) + 1
        steps = [{**step, "seq": seq + index} for index, step in enumerate(walk)]
        steps[0] |= {"trigger": "resume", "source": "failed"}
        [execution] = first["stage_executions"]
        executions = [{**execution, "attempt": number}]
        again = {"number": number, "execution_mode": "resume", "transitions": steps}
        visits.append({**first, **again, "stage_executions": executions})
    return json.dumps({**document, "invocations": visits}).encode()


def test_reading_a_long_history_does_not_walk_it_for_each_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop cycle of a stage is counted as often for a long history as for a short one."""
    given = {"directory": tmp_path, "gates": PASSED, "lifecycle": "reviewed_run"}
    stages = {"executor": shell("exit 1")}
    run(RunConfig(output_directory=tmp_path / "out", stages=stages, **given))
    document = checkpoint_of(tmp_path / "out")
    walks: list[Edge] = []
    real = Checkpoint.times_taken

    def counted(checkpoint: Checkpoint, edge: Edge) -> int:
        walks.append(edge)
        return real(checkpoint, edge)

    monkeypatch.setattr(Checkpoint, "times_taken", counted)
    counts = []
    for length in (10, 200):
        walks.clear()
        parsed = checkpoint_reader.parse(long_history(document, length), CHECKPOINT)
        assert len(parsed.invocations) == length
        counts.append(len(walks))
    assert counts[0] == counts[1] > 0


def test_long_unknown_key_is_not_told_whole(tmp_path: Path) -> None:
    """The refusal, its report and its log stay short, whatever the file contains."""
    begin(tmp_path, manager=shell("exit 1"))
    output = tmp_path / "out"
    document = checkpoint_of(output) | {"k" * 1_000_000: 1}
    (output / CHECKPOINT).write_text(json.dumps(document))
    ended = orchestrate("out", "--resume", cwd=tmp_path)
    assert ended.code == 1
    assert len(ended.stderr) < 10_000


# -- inaccessible places -------------------------------------------------------------------------


@pytest.mark.unprivileged
def test_resume_in_a_directory_that_may_not_be_searched_is_refused(tmp_path: Path) -> None:
    """A directory that can be listed but not entered causes no bug of the program."""
    begin(tmp_path, manager=shell("exit 1"))
    (tmp_path / "out").chmod(0o400)
    try:
        with pytest.raises(OrchestratorError):
            go_on(tmp_path)
    finally:
        (tmp_path / "out").chmod(0o700)
