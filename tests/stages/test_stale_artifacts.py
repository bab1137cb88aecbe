"""Artifacts that were left from before an attempt are stale."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fsm_orchestrator.stages import artifact_snapshot
from fsm_orchestrator.stages.artifact_snapshot import take_snapshot
from fsm_orchestrator.stages.artifacts import ArtifactProblem, ArtifactsVerdict, judge
from fsm_orchestrator.stages.write_watch import WriteWatch
from tests.stages.artifact_cases import without_privileges
from tests.support.command import PASSING, orchestrate, report_of, shell

pytestmark = pytest.mark.timeout(300)

UNCHANGED = "unchanged since before this attempt"
LAST_CHANGED_BEFORE = "last changed before this attempt"
LONG_AGO_NS = 1_000_000_000
needs_inotify = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def stale_reason(verdict: ArtifactsVerdict) -> str:
    """Return why the one artifact is stale, which is the only problem."""
    assert (verdict.good, verdict.missing, verdict.malformed) == ((), (), ())
    (problem,) = verdict.stale
    return problem.reason


# Staleness


def test_leftover_is_stale(tmp_path: Path) -> None:
    """A file that the attempt left unchanged is stale."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == UNCHANGED


def test_leftover_with_old_or_future_times_is_stale(tmp_path: Path) -> None:
    """A leftover is stale whatever its times are, and a stamp from the future is not awaited."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    for mtime_ns in (0, 4_000_000_000_000_000_000):
        os.utime(path, ns=(mtime_ns, mtime_ns))
        snapshot = take_snapshot([str(path)])
        assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == UNCHANGED


def test_leftover_behind_a_link_is_stale(tmp_path: Path) -> None:
    """An earlier link to a file that was left unchanged is stale."""
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
    """A file that did not exist before is good."""
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
    """A file changed while the snapshot waited is stale if the attempt leaves it unchanged."""
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


def change_mode(path: Path) -> None:
    """Give a file other permissions."""
    path.chmod(0o600)


def change_owner(path: Path) -> None:
    """Set the owner to the current one."""
    os.chown(path, os.getuid(), os.getgid())


def link(path: Path) -> None:
    """Give a file another name."""
    os.link(path, path.with_suffix(".link"))


def move_away_and_back(path: Path) -> None:
    """Rename a file twice."""
    path.rename(path.with_suffix(".away"))
    path.with_suffix(".away").rename(path)


def read(path: Path) -> None:
    """Open a file for writing as well, and only read it."""
    with path.open("r+b") as stream:
        stream.read()


@pytest.mark.parametrize("is_watched", [True, False])
@pytest.mark.parametrize("change", [change_mode, change_owner, link, move_away_and_back, read])
def test_leftover_that_was_not_written_to_is_stale(
    change: Callable[[Path], None],
    is_watched: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A change that only moves the time of change of a leftover is no work of the attempt."""
    if not is_watched:
        monkeypatch.setattr(WriteWatch, "_watch", lambda *_: None)
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    changed_ns = path.stat().st_ctime_ns
    change(path)
    assert change is read or path.stat().st_ctime_ns > changed_ns
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == UNCHANGED


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_changed_leftover_behind_a_new_link_is_stale(
    make: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    """A new link to an old file is stale even if that file has other permissions now."""
    target, path = tmp_path / "target", tmp_path / "plan.json"
    target.write_bytes(b"{}")
    snapshot = take_snapshot([str(path)])
    make(target, path)
    target.chmod(0o600)
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == LAST_CHANGED_BEFORE


@needs_inotify
@pytest.mark.parametrize(
    ("second", "status"),
    [
        ("chmod 600 plan.json; ln plan.json another", "artifact_missing"),
        ("printf '{}' 1<>plan.json; touch -r other plan.json", "success"),
    ],
)
def test_second_attempt_is_judged_by_what_it_wrote(
    second: str, status: str, tmp_path: Path
) -> None:
    """A file of the first attempt counts for the second only if that one writes it again."""
    script = (
        'if test "$ORCHESTRATOR_ATTEMPT" = 1;'
        " then printf '{}' >plan.json; touch -r plan.json other; exit 1;"
        f" else {second}; fi"
    )
    options = (*shell("manager", script), "--manager-expected-artifact", "plan.json")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path).code == 1
    orchestrate("out", "--resume", cwd=tmp_path)
    (execution,) = report_of(tmp_path / "out")["stage_executions"][:1]
    assert (execution["attempt"], execution["status"]) == (2, status)
    stale = [str(tmp_path / "plan.json")] if status == "artifact_missing" else []
    assert execution["stale_artifacts"] == stale


@needs_inotify
@pytest.mark.parametrize("content", [b"{}", b"[]"])
def test_rewrite_with_the_old_times_is_not_stale(content: bytes, tmp_path: Path) -> None:
    """A file that is written in place and gets its old times, as by `cp -p`, counts as written."""
    path = tmp_path / "plan.json"
    path.write_bytes(b"{}")
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    snapshot = take_snapshot([str(path)])
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    assert judge([str(path)], snapshot, allow_stale=False).is_good


@needs_inotify
def test_many_writes_to_one_do_not_hide_those_to_another(tmp_path: Path) -> None:
    """The events of one file fill no queue, and one file of two names counts at both."""
    paths = [tmp_path / name for name in ("busy", "quiet", "same", "idle")]
    for path in paths:
        path.write_bytes(b"x")
    paths[2].unlink()
    os.link(paths[1], paths[2])
    watch = WriteWatch(map(str, paths))
    assert watch.paths == set(map(str, paths))
    with paths[0].open("r+b", buffering=0) as busy, paths[1].open("r+b", buffering=0) as quiet:
        for _ in range(20_000):
            busy.write(b"x")
        quiet.write(b"x")
    assert watch.written() == set(map(str, paths[:3]))
    watch.forget()
    assert watch.written() == frozenset()


@pytest.fixture(name="coarse", scope="module")
def file_system_that_stamps_by_the_second(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """Mount an ext4 whose inodes have room for seconds only."""
    folder, image = tmp_path_factory.mktemp("coarse"), tmp_path_factory.mktemp("image") / "ext4"
    image.write_bytes(b"")
    os.truncate(image, 8 * 1024**2)
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    for words in (
        ("mke2fs", "-q", "-t", "ext4", "-I", "128", "-F", image),
        ("mount", "-o", "loop", image, folder),
    ):
        done = subprocess.run(
            ["/usr/bin/env", *words], env=environment, capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no such file system can be mounted here: {done.stderr.decode()}")
    yield folder
    subprocess.run(["/usr/bin/env", "umount", folder], env=environment, check=True)


@pytest.mark.parametrize("is_watched", [True, False])
def test_rewrite_is_not_stale_where_stamps_are_coarse(
    is_watched: bool, coarse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rewrite of the same bytes within the second counts; other permissions do not."""
    if not is_watched:
        monkeypatch.setattr(WriteWatch, "_watch", lambda *_: None)
    path = coarse / "plan.json"
    path.write_bytes(b"{}")
    assert path.stat().st_ctime_ns % 1_000_000_000 == 0
    snapshot = take_snapshot([str(path)])
    path.chmod(0o640)
    assert stale_reason(judge([str(path)], snapshot, allow_stale=False)) == UNCHANGED
    with path.open("r+b") as stream:
        stream.write(b"{}")
    assert judge([str(path)], snapshot, allow_stale=False).is_good


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
    """A new link to a file from before the attempt is stale, however young that file is."""
    target, link = tmp_path / "target", tmp_path / "plan.json"
    for _ in range(50):
        target.write_bytes(b"{}")
        snapshot = take_snapshot([str(link)])
        link.symlink_to(target)
        assert stale_reason(judge([str(link)], snapshot, allow_stale=False)) == LAST_CHANGED_BEFORE
        link.unlink()


@pytest.mark.parametrize("make", [os.symlink, os.link])
def test_new_link_to_a_new_file_is_not_stale(
    make: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    """A link to a file written in the attempt is good, however soon after the snapshot."""
    for number in range(50):
        target, link = tmp_path / f"target{number}", tmp_path / f"plan{number}.json"
        snapshot = take_snapshot([str(link)])
        target.write_bytes(b"{}")
        make(target, link)
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
    """A file that the snapshot could not see is good only if it was changed since then."""
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
