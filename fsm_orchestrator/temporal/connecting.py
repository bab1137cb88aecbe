"""The connection to a Temporal server: options first, then the environment, then its config file.

Loads the SDK, from the extra `temporal`.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import socket
import ssl
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.text.hidden import copyable, quoted

if TYPE_CHECKING:
    from temporalio.client import Client
    from temporalio.service import RPCError

ADDRESS: Final = "localhost:7233"
NAMESPACE: Final = "default"
CONNECT_SECONDS: Final = 10
ASK_SECONDS: Final = 10
_TRY_SECONDS: Final = 3
_CREDENTIAL_BYTES_MAX: Final = 1024 * 1024


class Connection(NamedTuple):
    """The settings for reaching a server, as far as options give them."""

    address: str | None = None
    namespace: str | None = None
    tls: bool = False
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    tls_server_name: str | None = None
    api_key_file: str | None = None

    @classmethod
    def of(cls, parameters: Mapping[str, Any]) -> Connection:
        """Return the connection that the options of a command give."""
        return cls(**{name: parameters[name] for name in cls._fields})


class Server(NamedTuple):
    """A server, with the options that a client connects with."""

    options: Mapping[str, Any]

    @property
    def address(self) -> str:
        """The host and port of the server."""
        return str(self.options["target_host"])

    @property
    def namespace(self) -> str:
        """The namespace on the server."""
        return str(self.options["namespace"])


def refuse_without_the_extra() -> None:
    """Refuse commands that cannot work without the SDK.

    Raises:
        UsageError: it is not installed.
    """
    try:
        importlib.import_module("temporalio.client")
    except ImportError as error:
        raise UsageError(
            "runs across machines need temporalio, which is not installed",
            remedy="pip install 'fsm-orchestrator[temporal]'",
        ) from error


def server_of(asked: Connection) -> Server:
    """Return the server that options, environment and config file name.

    Raises:
        UsageError: the extra is not installed, or a named file cannot be used.
    """
    refuse_without_the_extra()
    from temporalio.envconfig import ClientConfigProfile  # noqa: PLC0415 - of the extra

    try:
        given = ClientConfigProfile.load().to_client_connect_config()
    except (RuntimeError, OSError, ValueError) as error:
        raise UsageError(
            f"the Temporal configuration cannot be used: {error}",
            remedy="correct the file that TEMPORAL_CONFIG_FILE names, or the variables TEMPORAL_*",
        ) from error
    options: dict[str, Any] = {"target_host": ADDRESS, "namespace": NAMESPACE, **given}
    if asked.address is not None:
        options["target_host"] = asked.address
    if asked.namespace is not None:
        options["namespace"] = asked.namespace
    if asked.api_key_file is not None:
        key = _content("--api-key-file", asked.api_key_file).strip()
        try:
            options["api_key"] = key.decode("ascii")
        except UnicodeDecodeError:
            raise UsageError(
                "--api-key-file holds no API key: it is not ASCII (not shown)"
            ) from None
        options.setdefault("tls", True)
    files_of_tls = (asked.tls_ca_file, asked.tls_cert_file, asked.tls_key_file)
    if asked.tls or asked.tls_server_name or any(files_of_tls):
        options["tls"] = _tls(asked)
    return Server(options)


def _tls(asked: Connection) -> Any:
    from temporalio.service import TLSConfig  # noqa: PLC0415 - of the extra

    if (asked.tls_cert_file is None) is not (asked.tls_key_file is None):
        raise UsageError(
            "--tls-cert-file and --tls-key-file go together: the certificate, and its key",
            remedy="give both, or neither",
        )
    ca, certificate, key = asked.tls_ca_file, asked.tls_cert_file, asked.tls_key_file
    return TLSConfig(
        domain=asked.tls_server_name,
        server_root_ca_cert=None if ca is None else _content("--tls-ca-file", ca),
        client_cert=None if certificate is None else _content("--tls-cert-file", certificate),
        client_private_key=None if key is None else _content("--tls-key-file", key),
    )


def _content(option: str, name: str) -> bytes:
    try:
        return files.read_bounded(Path(name), _CREDENTIAL_BYTES_MAX, is_link_good=True)
    except OSError as error:
        raise UsageError(
            f"cannot read {copyable(name)}: {files.reason(error)}",
            remedy=f"name a file that you may read with {option}",
        ) from error


async def connected(server: Server) -> Client:
    """Connect, and return the client.

    Raises:
        CommandError: the server does not answer, or refuses this client.
    """
    from temporalio.client import Client  # noqa: PLC0415 - of the extra
    from temporalio.service import RPCError  # noqa: PLC0415 - as above

    _silence()
    try:
        return await Client.connect(
            **server.options,
            runtime=_quiet_runtime(),
            connect_timeout=timedelta(seconds=CONNECT_SECONDS),
        )
    except (RPCError, RuntimeError, ValueError):
        raise unreachable(server, await _why(server)) from None


async def _why(server: Server) -> str:
    """Return why a server does not answer, in plain words."""
    host, _, port = server.address.rpartition(":")
    try:
        async with asyncio.timeout(_TRY_SECONDS):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except ValueError:
        return "an address is HOST:PORT"
    except TimeoutError:
        return f"no answer within {_TRY_SECONDS} seconds"
    except OSError as error:  # an error without a number has its own message
        number = None if isinstance(error, socket.gaierror) else error.errno
        return files.reason(error) if number is None else os.strerror(number).lower()
    writer.close()
    refusal = await _why_no_tls(server, host.strip("[]"), int(port))
    return refusal or "the listener there does not answer as one; it may want TLS, or none"


async def _why_no_tls(server: Server, host: str, port: int) -> str | None:
    """Return why the certificate of a server is not trusted; None if that is not the cause."""
    from temporalio.service import TLSConfig  # noqa: PLC0415 - of the extra

    asked = server.options.get("tls")
    if not asked:
        return None
    given = asked if isinstance(asked, TLSConfig) else TLSConfig()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2"])
    try:
        if given.server_root_ca_cert is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(cadata=given.server_root_ca_cert.decode("ascii"))
        async with asyncio.timeout(_TRY_SECONDS):
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=given.domain or host
            )
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted: {error.verify_message.rstrip('.')}"
    except (OSError, ValueError):  # also if the file is not a certificate
        return None
    writer.close()
    return None


def unreachable(server: Server, why: str) -> CommandError:
    """Return the error of a server that cannot be reached."""
    return CommandError(
        f"the Temporal server at {quoted(server.address)} cannot be reached: {why}",
        remedy="start it, or name another one with --address or TEMPORAL_ADDRESS; nothing was"
        " changed",
    )


def refused(server: Server, error: RPCError) -> CommandError:
    """Return the error for a server that answers with an error."""
    from temporalio.service import RPCStatusCode  # noqa: PLC0415 - of the extra

    code = error.status
    if code in {
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.CANCELLED,
    }:
        return unreachable(server, first_line(error))
    remedy = "see the log of the server"
    if code in {RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNAUTHENTICATED}:
        remedy = "give a key that may do this with --api-key-file, or a certificate"
    elif code is RPCStatusCode.NOT_FOUND:
        remedy = "create the namespace, or name another one with --namespace or TEMPORAL_NAMESPACE"
    return CommandError(
        f"the Temporal server at {quoted(server.address)} refuses: {first_line(error)}",
        remedy=remedy,
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an SDK error's message, without the bytes of an answer."""
    line = next(iter(str(error).splitlines()), "").partition(": Status {")[0]
    return line or type(error).__name__


_RUNTIMES: Final[list[Any]] = []


def _quiet_runtime() -> Any:
    """Return the SDK's runtime, without its own log: the worker's log has the essentials."""
    from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig  # noqa: PLC0415 - of the extra

    if not _RUNTIMES:
        _RUNTIMES.append(Runtime(telemetry=TelemetryConfig(logging=LoggingConfig(filter="off"))))
    return _RUNTIMES[0]


def _silence() -> None:
    """Keep the SDK's own log lines, with tracebacks, off stderr."""
    logger = logging.getLogger("temporalio")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
