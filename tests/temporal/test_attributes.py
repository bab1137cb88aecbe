"""The search attributes are added to a server that already has some of them."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fsm_orchestrator.temporal.attributes import are_known, made_known
from fsm_orchestrator.temporal.shapes import KEYWORD_LISTS, KEYWORDS, STATE_ATTRIBUTE
from tests.support.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
    from temporalio.client import Client


def test_server_that_has_some_is_given_the_others(
    temporal_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only missing attributes are requested, because some servers refuse the whole request."""
    asked: list[set[str]] = []

    async def known() -> tuple[bool, bool]:
        client = await _in_new_namespace(temporal_address)
        add = client.operator_service.add_search_attributes

        async def seen(request: AddSearchAttributesRequest, **more: Any) -> Any:
            asked.append(set(request.search_attributes))
            return await add(request, **more)

        monkeypatch.setattr(client.operator_service, "add_search_attributes", seen)
        return await are_known(client), await made_known(client)

    assert asyncio.run(known()) == (False, True)
    assert asked == [{*KEYWORDS, *KEYWORD_LISTS} - {STATE_ATTRIBUTE}]


async def _in_new_namespace(address: str) -> Client:
    """Return a client of a namespace that has one of the attributes."""
    from temporalio.api.enums.v1 import IndexedValueType  # noqa: PLC0415 - heavy, and may be missing
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest  # noqa: PLC0415 - as above
    from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest  # noqa: PLC0415 - as above
    from temporalio.client import Client  # noqa: PLC0415 - as above
    from temporalio.service import RPCError, RPCStatusCode  # noqa: PLC0415 - as above

    name = f"some-{uuid.uuid4().hex[:8]}"
    client = await Client.connect(address, namespace=name)
    asked = RegisterNamespaceRequest(namespace=name)
    asked.workflow_execution_retention_period.FromTimedelta(timedelta(days=1))
    await client.workflow_service.register_namespace(asked)
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    added = AddSearchAttributesRequest(search_attributes={STATE_ATTRIBUTE: keyword}, namespace=name)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                await client.operator_service.add_search_attributes(added)
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(0.1)
            else:
                return client
