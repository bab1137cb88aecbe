"""The door of the page: who is let in, which requests are allowed, and the headers of answers.

Nothing behind it is asked before the host name, the secret and the method are right. It knows
nothing of runs.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http import HTTPStatus
from typing import Any, Final

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SECRET_BYTES: Final = 32
METHODS: Final = ("GET", "HEAD")
_HOST: Final = re.compile(rb"(?:127\.0\.0\.1|localhost)(?::[0-9]{1,5})?", re.IGNORECASE)
"""The names that a browser on this machine, or at the other end of a tunnel, uses for it. Any other
name is one that somebody else has had resolved to this machine."""
_FRAME: Final = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
NOTHING: Final = f"default-src 'none'; {_FRAME}"
"""The policy of anything but a page: nothing may be loaded."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:;"
    f" {_FRAME}"
)
"""The policy of a page: its own script, style sheet and events, and nothing else."""
REPORT_POLICY: Final = f"{POLICY}; style-src-attr 'unsafe-inline'"
"""The same for the page of a run, whose bars have widths and whose output has colors."""
CSP: Final = b"content-security-policy"
HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
"""The headers of every answer."""


def new_secret() -> str:
    """Return a secret that nobody can guess, as a part of an address."""
    return secrets.token_urlsafe(SECRET_BYTES)


class Guard:
    """A guard that lets in requests with the secret, and passes them on without it.

    `on_bug` is called with errors behind the door.
    """

    def __init__(self, app: App, secret: str, on_bug: Callable[[Exception], None]) -> None:
        self._app = app
        self._secret = secret.encode()
        self._on_bug = on_bug

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = False

        async def sent(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message = {**message, "headers": _with_all(message.get("headers", ()))}
            await send(message)

        segment, slash, rest = scope["raw_path"].removeprefix(b"/").partition(b"/")
        if not _is_local(scope["headers"]):
            said = "This page is served to 127.0.0.1 and localhost, under no other name."
            await answer(scope, sent, HTTPStatus.MISDIRECTED_REQUEST, said)
        elif not hmac.compare_digest(segment, self._secret):
            said = "The address lacks the secret: open the one that `serve` has printed."
            await answer(scope, sent, HTTPStatus.FORBIDDEN, said)
        elif scope["method"] not in METHODS:
            allow = (b"allow", ", ".join(METHODS).encode())
            said = "This page only reads."
            await answer(scope, sent, HTTPStatus.METHOD_NOT_ALLOWED, said, (allow,))
        elif not slash:
            to = (b"location", b"/" + self._secret + b"/")
            await answer(scope, sent, HTTPStatus.PERMANENT_REDIRECT, "", (to,))
        else:
            inner = {**scope, "path": f"/{rest.decode('ascii', 'replace')}", "root_path": ""}
            try:
                await self._app(inner, receive, sent)
            except Exception as error:  # noqa: BLE001 - the boundary: one request is not the server
                self._on_bug(error)
                if not begun:
                    said = "Internal error: this is a bug. The terminal of `serve` says more."
                    await answer(scope, sent, HTTPStatus.INTERNAL_SERVER_ERROR, said)


async def answer(
    scope: Scope,
    send: Send,
    status: HTTPStatus,
    said: str,
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """Answer with a status and a sentence."""
    body = f"{said}\n".encode() if said else b""
    kind = (b"content-type", b"text/plain; charset=utf-8")
    length = (b"content-length", str(len(body)).encode())
    start = {"status": int(status), "headers": [kind, length, *headers]}
    await send({"type": "http.response.start", **start})
    shown = b"" if scope["method"] == "HEAD" else body
    await send({"type": "http.response.body", "body": shown})


def _is_local(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    named = [value for name, value in headers if name == b"host"]
    return len(named) == 1 and _HOST.fullmatch(named[0]) is not None


def _with_all(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    own = list(headers)
    policy = [] if any(name == CSP for name, _ in own) else [(CSP, NOTHING.encode())]
    return [*own, *policy, *HEADERS]
