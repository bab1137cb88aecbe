"""The answers of a collector: whether it took all that was sent, and if not, why.

Loaded only with the SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

import requests

BATCH: Final = 512
"""The largest number of spans or records in one request."""


_OK, _REDIRECTED = 200, 300


class NotTakenError(Exception):
    """Data that was not taken; the exporter does not try again on its own."""


class Session(requests.Session):
    """A session that passes requests on, and raises unless a collector took all of a request."""

    def __init__(self, answer: Callable[[bytes], int]) -> None:
        super().__init__()
        self._answer = answer
        self.problem: str | None = None

    def request(self, *words: Any, **options: Any) -> requests.Response:
        """Send a request."""
        self.problem = None
        try:
            response = super().request(*words, **options)
        except requests.RequestException as error:
            self.problem = _trouble(error)
            raise NotTakenError(self.problem) from None
        if not _OK <= response.status_code < _REDIRECTED:
            self.problem = f"the collector answered HTTP {_status(response.status_code)}"
        else:
            self.problem = self._refused(response)
        return response

    def _refused(self, response: requests.Response) -> str | None:
        try:
            refused = self._answer(response.content)
        except Exception:  # noqa: BLE001 - protobuf's own errors
            return "what answered is no collector: its answer is not OTLP"
        return f"the collector refused {refused} of them" if refused else None


def _status(code: int) -> str:
    """Return a status in this program's words: the collector's could be anything."""
    try:
        return f"{code} {HTTPStatus(code).phrase}"
    except ValueError:
        return str(code)


def _trouble(error: requests.RequestException) -> str:
    """Return what kept a request from being answered; an address may hold a password."""
    match error:
        case requests.exceptions.SSLError():
            return "no secure connection to the collector can be made"
        case requests.exceptions.ConnectTimeout():
            return "the collector cannot be reached in time"
        case requests.exceptions.Timeout():
            return "the collector did not answer in time"
        case requests.exceptions.ConnectionError():
            return "there is no connection to the collector"
        case _:
            return f"the collector's address cannot be used ({type(error).__name__})"


def ship(session: Session, batches: Iterator[Any], export: Callable[[Any], Any]) -> None:
    """Export one batch after another.

    Raises:
        NotTakenError: a batch was not taken; none after it was sent.
    """
    for batch in batches:
        session.problem = "nothing was sent"
        export(batch)
        if session.problem is not None:
            raise NotTakenError(session.problem)


def batches(all_of_them: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Yield the data in parts that each fit into a request."""
    for first in range(0, len(all_of_them), BATCH):
        yield all_of_them[first : first + BATCH]
