"""What the process that sends is told, a line a run. Light: a run's own process loads it too."""

from __future__ import annotations

from typing import Final

import msgspec


class Order(msgspec.Struct, frozen=True):
    """A run whose last invocation has ended.

    Attributes:
        output_directory: absolute.
        run_id: the run that it was; None for whichever is there.
    """

    output_directory: str
    run_id: str | None


def line_of(order: Order) -> bytes:
    """Return the line of an order."""
    return msgspec.json.encode(order) + b"\n"


def order_in(line: bytes) -> Order:
    """Return the order of a line.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return _DECODER.decode(line)


_DECODER: Final = msgspec.json.Decoder(Order)
