"""A good JSON artifact is digested again and again, but judged once for the same bytes."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from fsm_orchestrator import RunConfig, StageGiven, load_report, resume, run
from fsm_orchestrator.model.execution import Artifact
from fsm_orchestrator.record import checkpoint_reader
from fsm_orchestrator.stages import artifacts, strict_json
from fsm_orchestrator.stages.artifacts import JudgingCutShortError, judge
from fsm_orchestrator.vocabulary import Gate, Outcome

PASSED = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
MIB = 1024**2


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the texts that are judged, in order."""
    texts: list[bytes] = []
    really = strict_json.problem_of

    def noted(data: bytes | bytearray, _between: object) -> str | None:
        texts.append(bytes(data[:40]))
        return really(data)

    monkeypatch.setattr(artifacts, "problem_of", noted)
    return texts


def good(path: Path, *known: Artifact) -> Artifact:
    """Return the record of a good artifact."""
    verdict = judge([str(path)], None, allow_stale=True, known=known)
    assert verdict.summary() == ""
    return verdict.good[0]


def test_same_bytes_are_digested_and_not_judged_again(tmp_path: Path, judged: list[bytes]) -> None:
    """The digest identifies the same bytes, even if they have moved."""
    path, other = tmp_path / "plan.json", tmp_path / "copy.JSON"
    path.write_bytes(b"[1, 2]")
    first = good(path)
    assert first.judged_by == strict_json.judge_name()
    assert "msgspec-" in first.judged_by
    other.write_bytes(b"[1, 2]")
    assert good(path, first) == first
    assert good(other, first) == first.model_copy(update={"path": str(other)})
    assert judged == [b"[1, 2]"]


def test_other_bytes_of_the_same_size_are_judged(tmp_path: Path, judged: list[bytes]) -> None:
    """Other bytes are judged, whether they are good or not."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"[1, 2]")
    first = good(path)
    path.write_bytes(b"[1, 3]")
    assert good(path, first).sha256 != first.sha256
    path.write_bytes(b"[1, ,]")
    verdict = judge([str(path)], None, allow_stale=True, known=[first])
    assert [one.reason for one in verdict.malformed] == ["line 1 column 5: invalid character"]
    assert judged == [b"[1, 2]", b"[1, 3]", b"[1, ,]"]


def test_verdict_of_another_judge_does_not_count(tmp_path: Path, judged: list[bytes]) -> None:
    """A verdict of another judge, or of none, does not count: the bytes may be anything."""
    text, path = tmp_path / "plan.txt", tmp_path / "plan.json"
    for file in (text, path):
        file.write_bytes(b"[1,]")
    unjudged = good(text)
    assert (unjudged.judged_by, judged) == (None, [])
    by_another = unjudged.model_copy(update={"judged_by": "rfc8259-0 msgspec-0.18.0"})
    verdict = judge([str(path)], None, allow_stale=True, known=[unjudged, by_another])
    assert [one.reason for one in verdict.malformed] == ["line 1 column 4: trailing comma in array"]


def test_known_bytes_are_not_held_in_memory(tmp_path: Path) -> None:
    """Known bytes are read for their digest alone, a piece at a time."""
    path = tmp_path / "plan.json"
    path.write_bytes(b'"' + b"x" * 16 * MIB + b'"')
    first = good(path)
    tracemalloc.start()
    try:
        assert good(path, first) == first
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 3 * MIB


@pytest.mark.parametrize("is_known", [False, True])
def test_question_is_asked_for_each_piece(tmp_path: Path, is_known: bool) -> None:
    """The question comes during the reading and the judging; a no ends both without a verdict."""
    path = tmp_path / "plan.json"
    path.write_bytes(b'"' + b"x" * 8 * MIB + b'"')
    known = [good(path)] if is_known else []
    asked: list[str] = []

    def going_on(last: int) -> bool:
        asked.append(str(path))
        return len(asked) < last

    judge([str(path)], None, allow_stale=True, known=known, may_go_on=lambda _: going_on(100))
    total = len(asked)
    assert total >= (10 if is_known else 19)
    for last in range(1, total + 1):
        asked.clear()
        with pytest.raises(JudgingCutShortError):
            judge(
                [str(path)],
                None,
                allow_stale=True,
                known=known,
                may_go_on=lambda _, last=last: going_on(last),  # type: ignore[misc]
            )
        assert len(asked) == last


def test_run_judges_an_artifact_once_and_its_resume_not_at_all(
    tmp_path: Path, judged: list[bytes]
) -> None:
    """A run judges at the end of the stage; closing and later looks find the same bytes."""
    output, path = tmp_path / "out", tmp_path / "plan.json"
    manager = StageGiven(
        bin="/bin/sh", args=("-c", f"echo [1] > {path}"), expected_artifacts=(str(path),)
    )
    executor = StageGiven(bin="/bin/sh", args=("-c", f"test -e {tmp_path}/ready"))
    config = RunConfig(
        output_directory=output, gates=PASSED, stages={"manager": manager, "executor": executor}
    )
    assert run(config).terminal_state is Outcome.FAILED
    (tmp_path / "ready").touch()
    report = resume(RunConfig(output_directory=output))
    assert (report.terminal_state, report.closure_ready) == (Outcome.DONE, True)
    (completion, _) = checkpoint_reader.load(output).completions
    (artifact,) = completion.artifacts
    assert artifact.judged_by == strict_json.judge_name()
    assert load_report(output).closure_ready
    assert resume(RunConfig(output_directory=output)).closure_ready
    assert judged == [b"[1]\n"]
    os.truncate(path, 2)
    assert not resume(RunConfig(output_directory=output)).closure_ready
    assert set(judged[1:]) == {b"[1"}
