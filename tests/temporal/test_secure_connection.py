"""A server with TLS that wants a certificate: the options for both."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.temporal.connecting import Connection, server_of
from tests.support.command import orchestrate
from tests.support.temporal_server import why_not

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


def certified(folder: Path) -> tuple[Path, Path, Path]:
    """Return a CA's certificate, a certificate by it for the loopback, and the latter's key."""
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in ("authority", "host")
    ]
    now, hour = dt.datetime.now(dt.UTC), dt.timedelta(hours=1)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    paths = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    for path, name, public in zip(paths, names, (authority, key), strict=False):
        made = (
            x509.CertificateBuilder(names[0], name, public.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - hour)
            .not_valid_after(now + hour)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .add_extension(x509.BasicConstraints(public is authority, None), critical=True)
            .sign(authority, hashes.SHA256())
        )
        path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[2].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@pytest.fixture(name="secure")
def secure_server(tmp_path: Path, temporal_address: str) -> Iterator[tuple[str, Path, Path, Path]]:
    """Yield address and files of a server behind TLS that wants a client certificate."""
    authority, certificate, key = certified(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    host, _, port = temporal_address.rpartition(":")

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        except OSError:
            pass
        finally:
            sink.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(forward, "127.0.0.1", 0, ssl=context)

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(
        lambda *_: None
    )  # of clients that leave in the middle of a handshake
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", authority, certificate, key
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_server_that_wants_tls_and_a_certificate(
    tmp_path: Path, secure: tuple[str, Path, Path, Path]
) -> None:
    """With the options the server answers; without them the error says what may be wrong."""
    address, authority, certificate, key = secure
    trusted = ("--address", address, "--tls", "--tls-ca-file", str(authority))
    mine = ("--tls-cert-file", str(certificate), "--tls-key-file", str(key))
    listed = orchestrate("temporal", "list", *trusted, *mine, "--json", cwd=tmp_path)
    assert (listed.code, listed.stderr) == (0, ""), listed
    for options in (trusted, ("--address", address)):
        refused = orchestrate("temporal", "list", *options, cwd=tmp_path)
        assert (refused.code, "cannot be reached" in refused.stderr) == (1, True), refused


def test_key_of_an_api_is_read_from_its_file_and_sent_by_tls_alone(tmp_path: Path) -> None:
    """An API key is sent without its line break, only over TLS; a bad one is refused unshown."""
    path = tmp_path / "key"
    path.write_text("k-1234\n")
    options = server_of(Connection(api_key_file=str(path))).options
    assert (options["api_key"], options["tls"]) == ("k-1234", True)
    path.write_text("schlüssel")
    with pytest.raises(UsageError, match="not ASCII") as refused:
        server_of(Connection(api_key_file=str(path)))
    assert "schl" not in str(refused.value)


def test_certificate_goes_with_its_key(tmp_path: Path) -> None:
    """A certificate without its key is refused, and so is the reverse."""
    _, certificate, _ = certified(tmp_path)
    with pytest.raises(UsageError, match="go together"):
        server_of(Connection(tls_cert_file=str(certificate)))
