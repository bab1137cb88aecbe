"""A server that does not confirm a start: nothing is taken from the run that may exist."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from fsm_orchestrator import RunConfig, StageGiven
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.temporal.connecting import Server
from fsm_orchestrator.temporal.submission import Wish, submission_of
from tests.support.epoch_cases import PASSING
from tests.support.patience import wait_until
from tests.support.temporal_server import NAMESPACE
from tests.temporal.held import Site, site


@pytest.fixture(scope="module")
def place(temporal_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield one worker for the tests of this module."""
    with site(tmp_path_factory.mktemp("site"), temporal_address) as made:
        yield made


async def _unanswered(place: Site, config: RunConfig, *, is_started: bool) -> None:
    """Submit a run through a client that gets no answer, whether or not the run was started."""
    from temporalio.client import (  # noqa: PLC0415 - heavy, and may be missing
        Client,
        Interceptor,
        OutboundInterceptor,
        StartWorkflowInput,
    )
    from temporalio.service import RPCError, RPCStatusCode  # noqa: PLC0415 - as above

    from fsm_orchestrator.temporal.submitting import submit  # noqa: PLC0415 - as above

    class Deaf(OutboundInterceptor):
        async def start_workflow(self, input: StartWorkflowInput) -> NoReturn:  # noqa: A002 - the SDK's
            if is_started:
                await super().start_workflow(input)
            raise RPCError("Timeout expired", RPCStatusCode.DEADLINE_EXCEEDED, b"")

    class OfDeaf(Interceptor):
        def intercept_client(self, next: OutboundInterceptor) -> Deaf:  # noqa: A002 - the SDK's
            return Deaf(super().intercept_client(next))

    client = await Client.connect(place.address, namespace=NAMESPACE, interceptors=[OfDeaf()])
    server = Server({"target_host": place.address, "namespace": NAMESPACE})
    await submit(client, server, submission_of(config, Wish(heartbeat_seconds=3.0)))


@pytest.mark.parametrize("is_started", [True, False])
def test_request_stays_for_the_worker_that_may_have_it(place: Site, *, is_started: bool) -> None:
    """The message names the next command, which starts the run as requested or is refused."""
    out = place.folder / f"run-{is_started}"
    given: dict[str, Any] = {"manager": StageGiven(bin="true"), "executor": StageGiven(bin="true")}
    config = RunConfig(
        output_directory=str(out),
        directory=str(place.folder),
        stages=given,
        gates=PASSING,
        task_queue=place.queue,
    )
    with pytest.raises(CommandError, match="is not known: Timeout expired") as caught:
        asyncio.run(_unanswered(place, config, is_started=is_started))
    assert f"temporal submit {out} --resume" in caught.value.remedy
    assert (out / "orchestrator_request.toml").exists()
    if not is_started:
        again = place.typed("submit", out, "--resume", "--wait", "3m")
        assert again.code == 0, again
    run_id = place.run_id(out.name)
    wait_until(lambda: place.stand(run_id)["course"] == "ended")
    assert place.stand(run_id)["standing"] == "done"
