"""The search attributes of runs, if the server has them or lets them be added."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from fsm_orchestrator.temporal.shapes import KEYWORD_LISTS, KEYWORDS

if TYPE_CHECKING:
    from temporalio.client import Client

_ASK: Final = timedelta(seconds=5)
_KNOWN_AFTER_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.2


async def are_known(client: Client) -> bool:
    """Return whether the server knows all search attributes; False if it does not say."""
    return await _lacking(client) == {}


async def _lacking(client: Client) -> dict[str, Any] | None:
    """Return the type of each attribute that the server lacks, or None if it does not say."""
    from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest  # noqa: PLC0415 - of the extra
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    asked = ListSearchAttributesRequest(namespace=client.namespace)
    try:
        known = await client.operator_service.list_search_attributes(asked, timeout=_ASK)
    except RPCError:
        return None
    return {name: one for name, one in _types().items() if known.custom_attributes.get(name) != one}


async def made_known(client: Client) -> bool:
    """Add the attributes that the server lacks, if it allows that; return whether it knows all.

    Some servers refuse a whole request if they already know one of its attributes.
    """
    from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest  # noqa: PLC0415 - of the extra
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    lacking = await _lacking(client)
    if lacking == {}:
        return True
    added = _types() if lacking is None else lacking
    asked = AddSearchAttributesRequest(search_attributes=added, namespace=client.namespace)
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


def _types() -> dict[str, Any]:
    """Return the type of each attribute, as the server names it."""
    from temporalio.api.enums.v1 import IndexedValueType as Type  # noqa: PLC0415 - of the extra

    keywords = dict.fromkeys(KEYWORDS, Type.INDEXED_VALUE_TYPE_KEYWORD)
    return keywords | dict.fromkeys(KEYWORD_LISTS, Type.INDEXED_VALUE_TYPE_KEYWORD_LIST)
