"""A record that is put back to an earlier epoch is genuine, but the engine knows a later one."""

from __future__ import annotations

from pathlib import Path

import pytest

from fsm_orchestrator.disk.epochs import Epoch
from fsm_orchestrator.temporal.shapes import Invocation
from tests.support.command import PASSING, shell
from tests.support.patience import wait_until
from tests.temporal.held import site

pytestmark = pytest.mark.one_in(2)


def test_run_without_its_latest_epoch_goes_on_only_with_it(
    tmp_path: Path, temporal_address: str
) -> None:
    """The missing epoch is named, and nothing continues from the one before it."""
    tried, epochs = tmp_path / "tried", tmp_path / "run" / "epochs"
    with site(tmp_path, temporal_address) as place:
        stages = (
            *("--manager-bin", "true"),
            *shell("executor", f"echo >> {tried}; test $(wc -l < {tried}) = 3"),
        )
        place.submit("run", *stages, *PASSING)
        run_id = place.run_id("run")
        wait_until(lambda: place.stand(run_id)["course"] == "waiting")
        place.typed("signal", "run", "--resume")
        wait_until(lambda: place.stand(run_id)["number"] == 2)
        wait_until(lambda: place.stand(run_id)["course"] == "waiting")
        (epochs / "000002.000001").rename(tmp_path / "taken")
        place.typed("signal", "run", "--resume")
        wait_until(lambda: place.stand(run_id)["problem"] is not None)
        problem = place.stand(run_id)["problem"]
        assert problem["kind"] == "CheckpointError"
        assert problem["message"] == (
            f"the record that {tmp_path / 'run'} was left with is not there: epoch 000002.000001;"
            " the latest is 000001.000001"
        )
        assert [one.name for one in epochs.iterdir()] == ["000001.000001"]
        (tmp_path / "taken").rename(epochs / "000002.000001")
        place.typed("signal", "run", "--resume")
        wait_until(lambda: place.stand(run_id)["course"] == "ended")
        assert place.stand(run_id)["result"]["closure_ready"]
        assert len(tried.read_text().splitlines()) == 3


@pytest.mark.parametrize("after", [None, "000001.000001"])
def test_run_that_the_engine_has_heard_of_is_never_begun_anew(
    tmp_path: Path, after: str | None
) -> None:
    """If the engine knows of a run without a record, that is an error and not a new run."""
    pytest.importorskip("temporalio")
    from fsm_orchestrator.temporal.ordered import Terms, asked  # noqa: PLC0415 - of the extra

    request = tmp_path / "orchestrator_request.toml"
    request.write_text('run_id = "run-1"\n')
    order = Invocation(
        run_id="run-1",
        run_directory=str(tmp_path),
        request=str(request),
        number=2,
        gates={},
        after=after,
    )
    assert asked(order, Epoch(tmp_path, 2, 1), Terms()).resume is (after is not None)
