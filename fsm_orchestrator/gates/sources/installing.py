"""The commands that install the tools which sources ask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PACKAGES: Final[Mapping[str, tuple[str, str]]] = {
    "gh": ("gh", "gh"),
    "openssl": ("openssl", "openssl"),
    "ssh-keygen": ("openssh-client", "openssh"),
}
"""Each tool's package on Debian and its kin, and in Homebrew."""


def how_to_install(tool: str) -> str:
    """Return what to type to have a tool."""
    debian, homebrew = _PACKAGES[tool]
    return f"install it with `apt install {debian}` or `brew install {homebrew}`"
