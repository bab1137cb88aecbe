"""The workers of a session share results that are made once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE_SECONDS, wait_until
from tests.support.shared import made_once


def test_workers_share_what_one_of_them_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later worker waits until the result is complete, and finds it."""
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    makes: list[Path] = []

    def make(place: Path) -> None:
        makes.append(place)
        wait_until((tmp_path / "go").exists)
        (place / "content").write_text("whole")

    with ThreadPoolExecutor(2) as workers:
        two = [workers.submit(made_once, tmp_path / name, "runs", make) for name in ("1", "2")]
        wait_until(lambda: bool(makes))
        assert not any(one.done() for one in two)
        (tmp_path / "go").touch()
        places = [one.result(PATIENCE_SECONDS) for one in two]
    assert [*makes, *makes] == places
    assert (places[0] / "content").read_text() == "whole"


def test_what_could_not_be_made_is_made_anew(tmp_path: Path) -> None:
    """An incomplete result is not used by any worker."""

    def fail(place: Path) -> None:
        (place / "half").touch()
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        made_once(tmp_path, "runs", fail)
    place = made_once(tmp_path, "runs", lambda place: (place / "whole").touch())
    assert [one.name for one in place.iterdir()] == ["whole"]
