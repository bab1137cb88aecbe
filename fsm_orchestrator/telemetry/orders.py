"""The orders to the process that sends, one line for each run. Light: runs load it, too."""

from __future__ import annotations

from typing import Final

import msgspec


class Order(msgspec.Struct, frozen=True):
    """A run whose last invocation has ended.

    Attributes:
        output_directory: its absolute path.
        run_id: the id of the run; None for any run in the directory.
    """

    output_directory: str
    run_id: str | None


def line_of(order: Order) -> bytes:
    """Return the line of an order."""
    return msgspec.json.encode(order) + b"\n"


def order_in(line: bytes) -> Order:
    """Return the order in a line.

    Raises:
        msgspec.MsgspecError: the line is no order.
    """
    return _DECODER.decode(line)


_DECODER: Final = msgspec.json.Decoder(Order)
