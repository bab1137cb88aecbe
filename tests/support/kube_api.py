"""A stand-in for the API server of Kubernetes, as far as a pod asks it about itself."""

from __future__ import annotations

import datetime as dt
import http.server
import ipaddress
import json
import socket
import ssl
import threading
from pathlib import Path
from typing import Any, Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST: Final = "127.0.0.1"
TOKEN: Final = "the-token-of-the-account"  # noqa: S105 - nobody's


class KubeApi:
    """Answers `GET` of one pod.

    Attributes:
        account: a folder with what Kubernetes mounts for a service account.
        asked: the number of requests.
        is_silent: True if it hangs up instead of answering.
    """

    def __init__(self, folder: Path, *, namespace: str, name: str, uid: str) -> None:
        self.account = folder
        self.asked = 0
        self.is_silent = False
        self._path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        self._pod: dict[str, Any] | None = {
            "kind": "Pod",
            "metadata": {"namespace": namespace, "name": name, "uid": uid},
        }
        folder.mkdir()
        (folder / "token").write_text(TOKEN)
        _write_certificate(folder)
        self._server = http.server.ThreadingHTTPServer((HOST, 0), _handler(self))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "ca.crt", folder / "key.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self._server.server_address[1])

    def delete_pod(self) -> None:
        """Mark the pod as being deleted, as `kubectl delete` and evictions do."""
        assert self._pod is not None
        self._pod["metadata"]["deletionTimestamp"] = "2026-11-29T22:04:23Z"

    def force_delete_pod(self) -> None:
        """Forget the pod."""
        self._pod = None

    def answer(self, path: str, token: str | None) -> tuple[int, object]:
        """Return the status and the document of an answer."""
        self.asked += 1
        if token != f"Bearer {TOKEN}":
            return 401, {"kind": "Status", "code": 401}
        if path != self._path:
            return 403, {"kind": "Status", "code": 403}
        return (200, self._pod) if self._pod is not None else (404, {"kind": "Status", "code": 404})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(api: KubeApi) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if api.is_silent:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            status, document = api.answer(self.path, self.headers.get("Authorization"))
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    return Handler


def _write_certificate(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(private)
