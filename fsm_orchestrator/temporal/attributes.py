"""The search attributes of runs, where the server has them or lets them be added."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from fsm_orchestrator.temporal.shapes import ATTRIBUTES

if TYPE_CHECKING:
    from temporalio.client import Client

_ASK: Final = timedelta(seconds=5)
_KNOWN_AFTER_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.2


async def are_known(client: Client) -> bool:
    """Return whether the server knows all of them; False where it does not say."""
    from temporalio.api.enums.v1 import IndexedValueType  # noqa: PLC0415 - of the extra
    from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest  # noqa: PLC0415 - as above
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    asked = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        known = await client.operator_service.list_search_attributes(asked, timeout=_ASK)
    except RPCError:
        return False
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    return all(known.custom_attributes.get(name) == keyword for name in ATTRIBUTES)


async def made_known(client: Client) -> bool:
    """Add them to the server if it allows that; return whether it knows them."""
    from temporalio.api.enums.v1 import IndexedValueType  # noqa: PLC0415 - of the extra
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest  # noqa: PLC0415 - as above
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    if await are_known(client):
        return True
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    asked = AddSearchAttributesRequest(
        search_attributes=dict.fromkeys(ATTRIBUTES, keyword), namespace=client.namespace
    )
    try:
        await client.operator_service.add_search_attributes(asked, timeout=_ASK)
    except RPCError:
        return False
    deadline = asyncio.get_running_loop().time() + _KNOWN_AFTER_SECONDS
    while asyncio.get_running_loop().time() < deadline:
        if await are_known(client):
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False
