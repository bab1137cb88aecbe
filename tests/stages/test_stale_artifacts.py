"""Artifacts that are left from before an attempt are stale."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from fsm_orchestrator.stages import artifact_snapshot, artifacts
from fsm_orchestrator.stages.artifact_snapshot import take_snapshot
from fsm_orchestrator.stages.artifacts import ArtifactProblem, ArtifactsVerdict, judge
from tests.stages.artifact_cases import without_privileges

pytestmark = pytest.mark.timeout(300)

UNCHANGED = "unchanged since before this attempt"
LAST_CHANGED_BEFORE = "last changed before this attempt"
LONG_AGO_NS = 1_000_000_000


def stale_reason(verdict: ArtifactsVerdict) -> str:
    """Why the one artifact is stale, which is all that is wrong."""
    assert (verdict.good, verdict.missing, verdict.malformed) == ((), (), ())
    (problem,) = verdict.stale
    return problem.reason


# Staleness


def test_leftover_is_stale(tmp_path: Path) -> None:
    """What the attempt left as it was is stale."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == UNCHANGED


def test_leftover_with_old_or_future_times_is_stale(tmp_path: Path) -> None:
    """Whatever a leftover's times say, it is stale, and a stamp from the future is not awaited."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    for mtime_ns in (0, 4_000_000_000_000_000_000):
        os.utime(path, ns=(mtime_ns, mtime_ns))
        snapshot = take_snapshot([str(path)])
        assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == UNCHANGED


def test_leftover_behind_a_link_is_stale(tmp_path: Path) -> None:
    """A link that was there before, to a file that was left as it was, is stale."""
    (tmp_path / "real").write_bytes(b"{}")
    link = tmp_path / "plan.json"
    link.symlink_to("real")
    snapshot = take_snapshot([str(link)])
    assert stale_reason(judge([str(link)], snapshot, allow_stale=False)) == UNCHANGED


def test_stale_may_be_allowed(tmp_path: Path) -> None:
    """A leftover is good when stale ones are allowed, or when there is nothing to compare with."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    assert judge([str(path)], snapshot, allow_stale=True).is_good
    assert judge([str(path)], None, allow_stale=False).is_good


def test_allowed_stale_is_judged_otherwise(tmp_path: Path) -> None:
    """Allowing stale artifacts allows neither missing nor malformed ones."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{]")
    paths = [str(path), str(tmp_path / "absent")]
    verdict = judge(paths, take_snapshot(paths), allow_stale=True)
    assert (len(verdict.missing), len(verdict.malformed), len(verdict.stale)) == (1, 1, 0)


def test_new_file_is_not_stale(tmp_path: Path) -> None:
    """A file where there was none is good."""
    path = tmp_path / "plan.json"
    snapshot = take_snapshot([str(path)])
    path.write_bytes(b"{}")
    assert judge([str(path)], snapshot, allow_stale=False).is_good


def test_same_bytes_written_in_place_at_once_are_not_stale(tmp_path: Path) -> None:
    """A rewrite of the same bytes in place counts, however soon it follows write and snapshot."""
    path = tmp_path / "plan.json"
    for _ in range(50):
        path.write_bytes(b'{"same": "bytes"}')
        snapshot = take_snapshot([str(path)])
        with path.open("r+b") as stream:
            stream.write(b'{"same": "bytes"}')
        assert judge([str(path)], snapshot, allow_stale=False).is_good


def test_same_bytes_written_in_place_of_one_of_many_are_not_stale(tmp_path: Path) -> None:
    """The youngest of all files decides how long a snapshot waits."""
    old, young = tmp_path / "old", tmp_path / "young"
    old.write_bytes(b"x")
    for _ in range(10):
        young.write_bytes(b"x")
        snapshot = take_snapshot([str(old), str(young), str(tmp_path / "absent")])
        with young.open("r+b") as stream:
            stream.write(b"x")
        verdict = judge([str(old), str(young)], snapshot, allow_stale=False)
        assert [artifact.path for artifact in verdict.good] == [str(young)]
        assert verdict.stale == (ArtifactProblem(str(old), UNCHANGED),)


def test_snapshot_waits_until_stamps_have_settled(tmp_path: Path) -> None:
    """A snapshot of a file just written returns when the file's stamp is 20 ms old."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    take_snapshot([str(path)])
    assert time.time_ns() - path.stat().st_ctime_ns >= 20_000_000


def test_snapshot_holds_what_was_there_when_it_returned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file changed while the snapshot waited is stale if the attempt leaves it so."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    look = artifact_snapshot._stamps_at
    looks = 0

    def look_then_rewrite(paths: Sequence[str]) -> object:
        nonlocal looks
        looks += 1
        stamps = look(paths)
        if looks == 1:
            path.write_bytes(b"[1]")
        return stamps

    monkeypatch.setattr(artifact_snapshot, "_stamps_at", look_then_rewrite)
    snapshot = take_snapshot([str(path)])
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == UNCHANGED


def test_touched_file_is_not_stale(tmp_path: Path) -> None:
    """A file whose times the attempt renewed is good."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    path.touch()
    assert judge([str(path)], snapshot, allow_stale=False).is_good


@pytest.mark.parametrize("is_replaced", [False, True])
def test_old_file_renamed_into_place_is_not_stale(tmp_path: Path, is_replaced: bool) -> None:
    """A rename into place counts, even of a file from 1970 and over an equal one."""
    path, other = tmp_path / "plan.json", tmp_path / "other"
    for each in (path, other) if is_replaced else (other,):
        each.write_bytes(b"{}")
        os.utime(each, ns=(LONG_AGO_NS, LONG_AGO_NS))
    snapshot = take_snapshot([str(path)])
    other.rename(path)
    assert judge([str(path)], snapshot, allow_stale=False).is_good


def test_new_link_to_an_old_file_is_stale(tmp_path: Path) -> None:
    """A link made in the attempt to a file from before it is stale, however young that is."""
    target, link = tmp_path / "target", tmp_path / "plan.json"
    for _ in range(50):
        target.write_bytes(b"{}")
        snapshot = take_snapshot([str(link)])
        link.symlink_to(target)
        assert stale_reason(judge([str(link)], snapshot, allow_stale=False)) == LAST_CHANGED_BEFORE
        link.unlink()


def test_new_link_to_a_new_file_is_not_stale(tmp_path: Path) -> None:
    """A link to a file written in the attempt is good, however soon after the snapshot."""
    for number in range(50):
        target, link = tmp_path / f"target{number}", tmp_path / f"plan{number}.json"
        snapshot = take_snapshot([str(link)])
        target.write_bytes(b"{}")
        link.symlink_to(target)
        assert judge([str(link)], snapshot, allow_stale=False).is_good


def test_link_turned_to_another_old_file_is_stale(tmp_path: Path) -> None:
    """A link that the attempt turned from one old file to another is stale."""
    link = tmp_path / "plan.json"
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"{}")
    link.symlink_to("one")
    snapshot = take_snapshot([str(link)])
    link.unlink()
    link.symlink_to("two")
    assert stale_reason(judge([str(link)], snapshot, allow_stale=False)) == LAST_CHANGED_BEFORE


def test_file_rewritten_behind_an_old_link_is_not_stale(tmp_path: Path) -> None:
    """A link from before the attempt to a file that the attempt rewrote is good."""
    (tmp_path / "real").write_bytes(b"{}")
    link = tmp_path / "plan.json"
    link.symlink_to("real")
    snapshot = take_snapshot([str(link)])
    (tmp_path / "real").write_bytes(b"{}")
    assert judge([str(link)], snapshot, allow_stale=False).is_good


def test_leftover_that_could_not_be_looked_at_is_stale(tmp_path: Path) -> None:
    """Where the snapshot could not look, only what was changed since then is good."""
    closed = tmp_path / "closed"
    closed.mkdir()
    path = closed / "plan.json"
    path.write_bytes(b"{}")
    closed.chmod(0)
    with without_privileges():
        snapshot = take_snapshot([str(path)])
    closed.chmod(0o700)
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == LAST_CHANGED_BEFORE
    path.write_bytes(b"{}")
    assert judge([str(path)], snapshot, allow_stale=False).is_good


# What stamps cannot tell

ATTRIBUTES_ONLY = "only its attributes have changed since before this attempt"


def _mode(path: Path) -> None:
    path.chmod(0o640)


def _one_link_more(path: Path) -> None:
    os.link(path, path.with_name("other"))


def _moved_over_itself(path: Path) -> None:
    os.link(path, path.with_name("other"))
    path.unlink()
    path.with_name("other").rename(path)


@pytest.mark.parametrize("change", [_mode, _one_link_more, _moved_over_itself])
def test_leftover_with_other_attributes_is_stale(
    tmp_path: Path, change: Callable[[Path], None]
) -> None:
    """A mode, a link or a way back to its name is no new content."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    change(path)
    assert path.stat().st_ctime_ns >= snapshot.taken_at_ns
    reason = stale_reason(judge([str(path)], snapshot, allow_stale=False))
    assert reason in {ATTRIBUTES_ONLY, LAST_CHANGED_BEFORE}


def test_other_content_under_the_old_time_is_not_stale(tmp_path: Path) -> None:
    """A tool that restores times (cp -p, tar) has written the file all the same."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"[1]")
    snapshot, info = take_snapshot([str(path)]), path.stat()
    with path.open("r+b") as stream:
        stream.write(b"[2]")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert judge([str(path)], snapshot, allow_stale=False).is_good


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_other_name_or_mode_of_an_old_file_is_stale(
    tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    """A file of long ago does not become new by another name, nor by another mode."""
    old, path = tmp_path / "old.json", tmp_path / "plan.json"
    old.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    link(old, path)
    old.chmod(0o600)
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == LAST_CHANGED_BEFORE


def test_leftover_too_large_to_note_is_stale_under_its_old_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the content of before is not known, what bears its old time counts as left."""
    monkeypatch.setattr(artifact_snapshot, "DIGEST_BYTES_MAX", 2)
    path = tmp_path / "plan.json"
    path.write_bytes(b"[1]")
    snapshot = take_snapshot([str(path)])
    path.chmod(0o640)
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == ATTRIBUTES_ONLY


@pytest.fixture(name="grain_ns", params=[1_000_000_000, 2_000_000_000], ids=["1 s", "2 s"])
def coarse_stamps(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Stamps as coarse as those of ext3, or of FAT."""
    grain_ns: int = request.param

    def stamp_of(info: os.stat_result) -> artifact_snapshot.Stamp:
        seen = fine(info)
        return seen._replace(
            mtime_ns=seen.mtime_ns // grain_ns * grain_ns,
            ctime_ns=seen.ctime_ns // grain_ns * grain_ns,
        )

    fine = artifact_snapshot.stamp_of
    monkeypatch.setattr(artifact_snapshot, "stamp_of", stamp_of)
    monkeypatch.setattr(artifacts, "stamp_of", stamp_of)
    return grain_ns


def test_same_bytes_are_not_stale_where_stamps_are_coarse(tmp_path: Path, grain_ns: int) -> None:
    """The snapshot waits for the next grain, so that a rewrite at once bears another stamp."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    assert time.time_ns() // grain_ns > path.stat().st_mtime_ns // grain_ns
    with path.open("r+b") as stream:
        stream.write(b"{}")
    assert judge([str(path)], snapshot, allow_stale=False).is_good


@pytest.mark.usefixtures("grain_ns")
def test_leftover_is_stale_where_stamps_are_coarse(tmp_path: Path) -> None:
    """What is left as it was, or gets another mode, is stale all the same."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == UNCHANGED
    path.chmod(0o640)
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == ATTRIBUTES_ONLY


@pytest.mark.usefixtures("grain_ns")
def test_link_to_a_new_file_is_not_stale_where_stamps_are_coarse(tmp_path: Path) -> None:
    """A stamp that is cut down to its grain is not taken for one of before."""
    real, path = tmp_path / "real.json", tmp_path / "plan.json"
    snapshot = take_snapshot([str(path)])
    real.write_bytes(b"{}")
    path.symlink_to(real)
    assert judge([str(path)], snapshot, allow_stale=False).is_good
