"""The options that specify how to reach an engine, and when it counts a worker as gone."""

from __future__ import annotations

from typing import Final

import click

from fsm_orchestrator.cli.parser.parameters import FilePath, NonEmpty, Once, Section, Whole
from fsm_orchestrator.model.option_kinds import MILLISECONDS

_HEARTBEAT: Final = MILLISECONDS._replace(least=1_000, most=3_600_000)
ENGINE_KEYS: Final = (
    *("address", "namespace", "tls", "tls_ca_file", "tls_cert_file", "tls_key_file"),
    *("tls_server_name", "api_key_file", "heartbeat_ms"),
)
"""The parameters that these options set."""


def option_of(key: str) -> str:
    """Return the option that sets a parameter."""
    return "--heartbeat-timeout-ms" if key == "heartbeat_ms" else f"--{key.replace('_', '-')}"


def heartbeat_option(section: str) -> click.Option:
    """Return the option for the heartbeat timeout."""
    return Once(
        section,
        ("--heartbeat-timeout", "--heartbeat-timeout-ms", "heartbeat_ms"),
        type=Whole(_HEARTBEAT),
        help="How long after its last heartbeat a worker counts as gone (default 30s). Its stage is"
        " ended after three quarters of that.",
    )


def server_options() -> list[click.Parameter]:
    """Return the options that name a Temporal server, and how to reach it."""
    section = "Server"
    return [
        Once(
            section,
            "--address",
            type=NonEmpty("HOST:PORT"),
            help="The Temporal server (default: TEMPORAL_ADDRESS, or localhost:7233).",
        ),
        Once(
            section,
            "--namespace",
            type=NonEmpty("NAME"),
            help="The namespace in it (default: TEMPORAL_NAMESPACE, or default).",
        ),
        Section(section, "--tls", is_flag=True, help="Speak TLS with the server."),
        Once(
            section,
            "--tls-ca-file",
            type=FilePath("FILE"),
            help="The certificates, in PEM, that the server's must be signed by.",
        ),
        Once(
            section,
            "--tls-cert-file",
            type=FilePath("FILE"),
            help="The client certificate, in PEM.",
        ),
        Once(section, "--tls-key-file", type=FilePath("FILE"), help="Its key, in PEM."),
        Once(
            section,
            "--tls-server-name",
            type=NonEmpty("NAME"),
            help="The name that the server's certificate has, where it is not its host.",
        ),
        Once(
            section,
            "--api-key-file",
            type=FilePath("FILE"),
            help="A file with the API key (default: TEMPORAL_API_KEY).",
        ),
    ]
