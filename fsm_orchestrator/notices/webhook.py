"""Posts a notice to a URL: signed, retried where that may help, with limits on all it takes."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import os
import stat
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from fsm_orchestrator.clock import wall_seconds
from fsm_orchestrator.config.notice import problem_with_url
from fsm_orchestrator.constants import PRODUCT, __version__
from fsm_orchestrator.disk import files
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.text.hidden import printable

if TYPE_CHECKING:
    from fsm_orchestrator.config.notice import Notice as NoticeGiven

TRIES_MAX: Final = 4
PAUSES_SECONDS: Final = (0.5, 1.0, 2.0)
"""The pauses between tries; a receiver may ask for longer ones."""
ANSWER_BYTES_MAX: Final = 4096
ANSWER_CHARACTERS_SHOWN: Final = 80
SECRET_BYTES_MAX: Final = 4096
TIMESTAMP_HEADER: Final = "X-Fsm-Orchestrator-Timestamp"
SIGNATURE_HEADER: Final = "X-Fsm-Orchestrator-Signature"
DELIVERY_HEADER: Final = "X-Fsm-Orchestrator-Delivery"
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_TRY_AGAIN: Final = frozenset({408, 425, 429})
_SERVER_ERROR: Final = 500


class Delivery(NamedTuple):
    """The result of a delivery: the number of tries, and why it was not delivered."""

    tries: int
    problem: str | None


class _UnusableError(Exception):
    """Something that a webhook needs is missing; the message says what."""


class _Answer(NamedTuple):
    """The result of one try; `problem` is None if it was delivered."""

    problem: str | None
    may_help_again: bool
    wait_seconds: float = 0.0


def deliver(
    given: NoticeGiven, body: bytes, delivery_id: str, stopping: threading.Event
) -> Delivery:
    """Post `body` until it is taken, another try cannot help, or the time is up.

    `stopping` ends the pauses between tries.
    """
    deadline = time.monotonic() + given.timeout / 1000
    try:
        url, secret = _url_of(given), _secret_of(given)
    except _UnusableError as error:
        return Delivery(0, str(error))
    masker = _masker(url, secret)
    problem = ""
    for number in range(1, TRIES_MAX + 1):
        answer = _posted(_request(url, body, delivery_id, secret), deadline)
        if answer.problem is None:
            return Delivery(number, None)
        problem = masker.mask(answer.problem)
        pause = max(answer.wait_seconds, PAUSES_SECONDS[min(number, len(PAUSES_SECONDS)) - 1])
        is_last = number == TRIES_MAX or time.monotonic() + pause >= deadline
        if not answer.may_help_again or is_last or stopping.wait(pause):
            return Delivery(number, problem)
    return Delivery(TRIES_MAX, problem)


def _masker(url: str, secret: bytes | None) -> Masker:
    """Return a masker for a URL and a secret in an answer: a receiver may repeat them."""
    hidden = [url, urlsplit(url).path]
    if secret is not None:
        hidden.append(secret.decode(errors="replace"))
    return Masker(hidden)


def signature_of(secret: bytes, seconds: int, body: bytes) -> str:
    """Return the signature of a body sent at a time: HMAC-SHA-256 over both, joined by a dot."""
    signed = hmac.new(secret, f"{seconds}.".encode() + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def _request(
    url: str, body: bytes, delivery_id: str, secret: bytes | None
) -> urllib.request.Request:
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"{PRODUCT}/{__version__}",
        DELIVERY_HEADER: delivery_id,
        "Connection": "close",
    }
    if secret is not None:
        seconds = int(wall_seconds())
        headers[TIMESTAMP_HEADER] = str(seconds)
        headers[SIGNATURE_HEADER] = signature_of(secret, seconds, body)
    return urllib.request.Request(url, body, headers, method="POST")  # noqa: S310 - checked


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A handler that follows no redirect: the body is only for its receiver."""

    def redirect_request(self, *_: Any) -> None:
        """Return None: the answer is taken unchanged."""


def _posted(request: urllib.request.Request, deadline: float) -> _Answer:
    """Try once. What another machine answers is data, and little of it is shown."""
    left = max(0.001, deadline - time.monotonic())
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=left) as answer:
            answer.read(ANSWER_BYTES_MAX)
        return _Answer(None, may_help_again=False)
    except urllib.error.HTTPError as error:
        with error:
            return _refused(error)
    except urllib.error.URLError as error:
        why = error.reason
        said = why.strerror or type(why).__name__ if isinstance(why, OSError) else "cannot connect"
        return _Answer(said, may_help_again=True)
    except TimeoutError:
        return _Answer("no answer in time", may_help_again=True)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _Answer(f"no answer that is HTTP: {type(error).__name__}", may_help_again=True)


def _refused(error: urllib.error.HTTPError) -> _Answer:
    code = error.code
    if 300 <= code < 400:  # noqa: PLR2004 - the range of redirects
        return _Answer(f"HTTP {code}: redirects are not followed", may_help_again=False)
    try:
        said = error.read(ANSWER_BYTES_MAX).decode(errors="replace")
    except (OSError, http.client.HTTPException, ValueError):
        said = ""
    shown = printable(" ".join(said.split()))[:ANSWER_CHARACTERS_SHOWN]
    may_help = code in _TRY_AGAIN or code >= _SERVER_ERROR
    return _Answer(f"HTTP {code}{shown and f': {shown}'}", may_help, _asked_pause(error))


def _asked_pause(error: urllib.error.HTTPError) -> float:
    """Return the seconds that the receiver asks to wait; 0 if it gives no number."""
    asked = error.headers.get("Retry-After", "")
    return float(asked) if asked.isascii() and asked.isdigit() and len(asked) <= 4 else 0.0  # noqa: PLR2004


def _url_of(given: NoticeGiven) -> str:
    url = given.webhook
    if url is None:
        url = _hidden(given.webhook_env, given.webhook_file, "URL").decode(errors="replace")
        problem = problem_with_url(url)
        if problem is not None:
            where = f"${given.webhook_env}" if given.webhook_env else given.webhook_file
            raise _UnusableError(f"what is in {where} {problem}")
    return url


def _secret_of(given: NoticeGiven) -> bytes | None:
    if given.secret_env is None and given.secret_file is None:
        return None
    return _hidden(given.secret_env, given.secret_file, "secret")


def _hidden(variable: str | None, path: str | None, noun: str) -> bytes:
    """Return the value of a variable, or of a file that only its owner can read.

    Raises:
        _UnusableError: there is none, or others may read the file.
    """
    if variable is not None:
        found = os.environb.get(variable.encode(), b"").strip()
        if not found:
            raise _UnusableError(f"the variable {variable} with the {noun} is not set")
        return found
    place = Path(path or "")
    try:
        mode = os.stat(place).st_mode
        found = files.read_bounded(place, SECRET_BYTES_MAX, is_link_good=True).strip()
    except OSError as error:
        why = files.reason(error)
        raise _UnusableError(f"the file {place} with the {noun} cannot be read: {why}") from error
    if mode & _OF_OTHERS:
        raise _UnusableError(f"the file {place} with the {noun} can be used by others: chmod 600")
    if not found:
        raise _UnusableError(f"the file {place} with the {noun} is empty")
    return found
