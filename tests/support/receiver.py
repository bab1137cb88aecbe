"""A server on the loopback that receives notices and answers as it is set up."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Post(NamedTuple):
    """One request: its path, its headers by lower-case name, and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


class Receiver:
    """The requests that arrived, and the answers: by each path in turn, the last one forever.

    An answer is a status, headers, a body, and seconds to wait before it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.posts: list[Post] = []
        self.answers: dict[str, list[tuple[int, dict[str, str], bytes, float]]] = {}

    def answer(
        self,
        path: str,
        *statuses: int,
        headers: dict[str, str] | None = None,
        wait: float = 0.0,
        said: str = "said",
    ) -> str:
        """Make a path answer with these statuses; return its URL."""
        self.answers[path] = [(one, headers or {}, said.encode(), wait) for one in statuses]
        return self.url + path


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve until the end of the block. A request without an answer is judged as by Slack."""
    receiver: Receiver

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {key.lower(): value for key, value in self.headers.items()}
            receiver.posts.append(Post(self.path, headers, body))
            known = receiver.answers.get(self.path)
            if known is None:
                status, said = as_slack_judges(headers, body)
                self._answer(status, {}, said)
                return
            status, more, said, wait = known.pop(0) if len(known) > 1 else known[0]
            time.sleep(wait)
            with contextlib.suppress(OSError):
                self._answer(status, more, said)

        do_GET = do_POST  # noqa: N815 - the name that the server calls

        def _answer(self, status: int, headers: dict[str, str], said: bytes) -> None:
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def as_slack_judges(headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
    """Answer as an incoming webhook of Slack does: only a message with a text is accepted."""
    if headers.get("content-type", "").split(";")[0] != "application/json":
        return 400, b"invalid_payload"
    try:
        document = json.loads(body)
    except ValueError:
        return 400, b"invalid_payload"
    if not isinstance(document, dict):
        return 400, b"invalid_payload"
    known = {"text", "blocks", "attachments", "thread_ts", "mrkdwn"}
    if not document.keys() <= known:
        return 400, b"invalid_payload"
    text = document.get("text")
    if not isinstance(text, str) or not text.strip():
        return 400, b"no_text"
    return (200, b"ok") if len(text) <= 40_000 else (400, b"msg_too_long")
