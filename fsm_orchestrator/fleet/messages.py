"""The messages between a fleet and its workers, one line of JSON each."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

WORDS_CHARACTERS_MAX = 200


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order to a worker: work on the run of a config file, in its directory."""

    output_directory: str
    config: str
    directory: str
    is_resume: bool
    are_words_wanted: bool
    state_key_file: str | None = None


class _Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="told"):
    """A message from a worker."""


class StageBegan(_Message, frozen=True, tag="stage"):
    """An attempt of a stage has begun."""

    stage: str
    attempt: int
    timeout_ms: int


class Words(_Message, frozen=True, tag="words"):
    """The last line that the stage printed, masked."""

    text: str


class Ended(_Message, frozen=True, tag="ended"):
    """The invocation has ended and is recorded; `untold` has the undelivered notices."""

    run_id: str
    exit_code: int
    standing: str
    reason: str
    untold: tuple[str, ...] = ()


class Refused(_Message, frozen=True, tag="refused"):
    """Nothing was run, or nothing could be recorded."""

    exit_code: int
    reason: str


class Busy(_Message, frozen=True, tag="busy"):
    """Another orchestrator is at work in the directory; nothing was touched."""

    reason: str


Message: TypeAlias = StageBegan | Words | Ended | Refused | Busy

_encoder = msgspec.json.Encoder()
_messages: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)


def line_of(told: Message | Order) -> bytes:
    """Return a message or an order as a line."""
    return _encoder.encode(told) + b"\n"


def message_in(line: bytes) -> Message:
    """Return the message in a worker's line.

    Raises:
        msgspec.DecodeError: the line is no message.
    """
    return _messages.decode(line)


def order_in(line: bytes) -> Order:
    """Return the order in a line.

    Raises:
        msgspec.DecodeError: the line is no order.
    """
    return _orders.decode(line)
