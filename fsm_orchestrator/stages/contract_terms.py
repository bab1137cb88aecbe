"""Judges files by their contracts: sizes, encoding, schema and assertions. Opens no artifact."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

from fsm_orchestrator.model.assertions import read_assertion
from fsm_orchestrator.model.contracts import Contract, ContractViolation
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.stages.asserting import Failure, failures_of
from fsm_orchestrator.stages.json_document import document_of
from fsm_orchestrator.stages.json_schemas import Schema
from fsm_orchestrator.stages.matching import Matcher
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.units import exact_size

VIOLATIONS_MAX: Final = 100
SHOWN_CHARACTERS_MAX: Final = 200
DOCUMENT_BYTES_MAX: Final = 64 * 1024**2
"""The largest document whose values are compared, in bytes: its values take several times that."""


class Broken(NamedTuple):
    """A term that a file breaks; nothing in it is masked or cut yet."""

    path: str
    pointer: str | None
    expected: str
    found: str

    def recorded(self, masker: Masker, output_masker: Masker) -> ContractViolation:
        """Return it for the record: masked, then cut."""
        return ContractViolation(
            path=masker.mask(self.path),
            pointer=None if self.pointer is None else _cut(output_masker.mask(self.pointer)),
            expected=_cut(masker.mask(copyable(self.expected))),
            found=_cut(output_masker.mask(copyable(self.found))),
        )


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."


class Terms(NamedTuple):
    """The means by which contracts are judged.

    Attributes:
        schemas: the schemas that contracts name, by path, as read before the attempt.
        matcher: matches patterns.
    """

    schemas: Mapping[str, Schema]
    matcher: Matcher

    def broken_by_size(self, contract: Contract, path: str, size_bytes: int) -> Iterator[Broken]:
        """Yield the size limits that a file, or all files of a directory together, violate."""
        least, most = contract.min_bytes, contract.max_bytes
        found = exact_size(size_bytes)
        if least is not None and size_bytes < least:
            yield Broken(path, None, f"at least {exact_size(least)}", found)
        if most is not None and size_bytes > most:
            yield Broken(path, None, f"at most {exact_size(most)}", found)

    def broken_by_document(
        self, contract: Contract, path: str, data: bytes | bytearray, ask: Callable[[], object]
    ) -> Iterator[Broken]:
        """Yield the terms that a document, which is strict JSON, breaks.

        Raises:
            NoDocumentError: its values cannot be read.
        """
        document = document_of(data, ask)
        failures: list[Failure] = []
        read = tuple(map(read_assertion, contract.assertions))
        if read:
            failures += failures_of(document, read, self.matcher, ask)
        if contract.json_schema is not None:
            failures += self.schemas[contract.json_schema].failures(document, ask)
        for one in failures:
            yield Broken(path, one.pointer, one.expected, one.found)


class Decoding:
    """A check, while a file is read, that it is text in an encoding."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._decoder = codecs.getincrementaldecoder(encoding)("strict")
        self._length = 0
        self._wrong_at: int | None = None

    def feed(self, data: bytes | memoryview, *, is_last: bool = False) -> None:
        """Take the next bytes of the file."""
        if self._wrong_at is not None:
            return
        pending = len(self._decoder.getstate()[0])
        try:
            self._decoder.decode(bytes(data), is_last)
        except UnicodeError as error:
            start = getattr(error, "start", 0)
            self._wrong_at = max(0, self._length - pending + start)
        self._length += len(data)

    def broken(self, path: str) -> Iterator[Broken]:
        """Yield the place from which the file is not such text, if there is one."""
        self.feed(b"", is_last=True)
        if self._wrong_at is not None:
            found = f"invalid bytes, from byte offset {self._wrong_at}"
            yield Broken(path, None, f"text in {self._encoding}", found)
