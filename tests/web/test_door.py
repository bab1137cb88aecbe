"""Access control and the headers of every answer: raw HTTP to the real server."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.web.runs import make_runs
from tests.web.served import Answer, Served, answer_of, served

ALWAYS: Final = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
FRAMELESS: Final = "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield one server for all tests of this file."""
    folder = tmp_path_factory.mktemp("serve")
    make_runs(folder)
    (folder / "outside.txt").write_text("not to be served")
    with served("runs", cwd=folder) as server:
        yield server


@pytest.fixture(name="key", scope="module")
def _key(server: Served) -> str:
    """Return the key of the failed run in addresses."""
    with server.events() as events:
        _, document = next(events)
    return str(next(row["key"] for row in document["rows"] if row["name"] == "failed"))


def _is_guarded(answer: Answer) -> bool:
    policy = answer.headers["content-security-policy"]
    same = all(answer.headers[name] == value for name, value in ALWAYS.items())
    return same and policy.startswith("default-src 'none'; ") and FRAMELESS in policy


def test_address_is_local_and_its_secret_is_long(server: Served, tmp_path: Path) -> None:
    """The secret has 256 bits and is new each time; the address is 127.0.0.1 alone."""
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/[A-Za-z0-9_-]{43}/", server.url)
    with served(".", cwd=tmp_path) as other:
        assert other.secret != server.secret


PLACES: Final = (
    "",
    "events",
    "style.css",
    "runs.js",
    "run.js",
    "live.js",
    "run/{key}/",
    "run/{key}/events",
)


@pytest.mark.parametrize("place", PLACES)
def test_nothing_is_told_without_the_secret(server: Served, key: str, place: str) -> None:
    """The answer is 403 everywhere with no secret, a wrong one, a part of it, or more than it."""
    at = place.format(key=key)
    for secret in ("", "x" * 43, server.secret[:-1], f"{server.secret}x", server.secret.swapcase()):
        path = f"/{secret}/{at}" if secret else f"/{at}"
        for method in ("GET", "HEAD", "POST"):
            answer = server.ask(path, method=method)
            assert answer.status == 403, (path, method)
            assert _is_guarded(answer)
            assert server.secret.encode() not in answer.body


@pytest.mark.parametrize("place", PLACES)
def test_only_reading_at_a_local_name(server: Served, key: str, place: str) -> None:
    """A foreign name or none gives 421, a writing method 405; HEAD is answered like GET."""
    at = place.format(key=key)
    for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", None):
        answer = server.ask(at, host=host)
        assert answer.status in {400, 421}, host  # 400: h11 itself requires a name
        assert host in {None, ""} or answer.status == 421, host
        assert server.secret.encode() not in answer.body
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = server.ask(at, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD"), method
        assert _is_guarded(answer)
    for host in ("localhost", "127.0.0.1", f"127.0.0.1:{server.port}", "LOCALHOST:9000"):
        answer = server.ask(at, method="HEAD", host=host)
        assert (answer.status, answer.body) == (200, b""), host
        assert _is_guarded(answer)


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt",
        "..%2foutside.txt",
        "..%2f..%2f..%2fetc/passwd",
        "run/..%2f..%2foutside.txt/",
        "run/%2e%2e/",
        "run/no-run/",
        "run/0123456789abcdef/",
        "run/failed/orchestrator_checkpoint.json",
        "files/runs.js",
        "runs.js/",
        "%00",
        "/etc/passwd",
    ],
)
def test_no_address_is_a_path(server: Served, path: str) -> None:
    """An address other than the few known ones gives 404, whatever is on disk."""
    answer = server.ask(f"/{server.secret}/{path}")
    assert answer.status == 404
    assert _is_guarded(answer)
    assert b"not to be served" not in answer.body
    assert b"root:" not in answer.body


def test_policies_are_strict(server: Served, key: str) -> None:
    """Only the server's own scripts are allowed, and inline styles only on the page of a run."""
    pages = {one: server.ask(one) for one in ("", f"run/{key}/")}
    for answer in pages.values():
        policy = answer.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "script-src-" not in policy
        assert "unsafe-eval" not in policy
        assert "<script>" not in answer.body.decode()
        assert not re.search(
            rb"<script(?! type=\"module\" src=\"[./]*[a-z]+\.js\"></script>)", answer.body
        )
        assert not re.search(rb"\son[a-z]+=(?![^<]*&gt;)", answer.body)
        assert b"http-equiv" not in answer.body
    assert "unsafe-inline" not in pages[""].headers["content-security-policy"]


def test_secret_without_a_slash_leads_to_the_page(server: Served) -> None:
    """An address without its last character leads to the page all the same."""
    answer = server.ask(f"/{server.secret}")
    assert (answer.status, answer.headers["location"]) == (308, f"/{server.secret}/")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
        + b"y" * 100_000
        + b"\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /%zz HTTP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\r\n" * 50_000,
    ],
    ids=["long address", "long header", "two hosts", "no host", "TLS", "empty lines"],
)
def test_odd_requests_are_refused(server: Served, data: bytes) -> None:
    """Odd requests get an error or no answer, and others are still served."""
    got = server.raw(data)
    assert got == b"" or answer_of(got).status in {400, 403, 421}
    assert server.secret.encode() not in got
    assert server.ask("").status == 200


def test_large_body_is_not_read(server: Served) -> None:
    """The body of a request is ignored, however large."""
    with server.connected() as connection, contextlib.suppress(OSError):
        head = f"POST /{server.secret}/ HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(f"{head}Content-Length: 999999999\r\n\r\n".encode())
        assert answer_of(connection.recv(65536)).status == 405
    assert server.ask("").status == 200


def test_secret_is_told_to_nobody_but_who_asked(tmp_path: Path) -> None:
    """The secret is on stdout alone: not on stderr, in no argument, in no file."""
    with served(".", cwd=tmp_path) as server:
        server.ask("")
        server.ask("/wrong/")
        server.raw(b"nonsense\r\n\r\n")
        words = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
        environment = Path(f"/proc/{server.process.pid}/environ").read_bytes()
        files = [one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()]
        code, said = server.end(signal.SIGINT)
    assert code == 130
    for one in (words, environment, said.encode(), *files):
        assert server.secret.encode() not in one
