"""Where runs are sent, as it may be shown: without a password, a path or a query."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import urlsplit

ENDPOINT_VARIABLE: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
DEFAULT: Final = "http://localhost:4318"


def shown_endpoint() -> str:
    """Return the collector's scheme, name and port."""
    try:
        asked = urlsplit(os.environ.get(ENDPOINT_VARIABLE, "").strip() or DEFAULT)
        port = "" if asked.port is None else f":{asked.port}"
    except ValueError:
        return f"what {ENDPOINT_VARIABLE} says"
    if not (asked.scheme and asked.hostname):
        return f"what {ENDPOINT_VARIABLE} says"
    return f"{asked.scheme}://{asked.hostname}{port}"
