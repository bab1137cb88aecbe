"""The address that runs are sent to, as it may be shown: without password, path or query."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

ENDPOINT_VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_VARIABLE: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
DEFAULT: Final = "http://localhost:4318"
_UNKNOWN: Final = f"what {ENDPOINT_VARIABLE} says"


def shown_endpoint() -> str:
    """Return the collector's scheme, name and port, where known."""
    of_traces, of_all = (os.environ.get(one) for one in (TRACES_VARIABLE, ENDPOINT_VARIABLE))
    try:
        asked = urlsplit((of_traces or of_all or DEFAULT).strip())
        port = "" if asked.port is None else f":{asked.port}"
    except ValueError:
        return _UNKNOWN
    return f"{asked.scheme}://{asked.hostname}{port}" if asked.hostname else _UNKNOWN
