"""The commands that install the tools of the sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_PACKAGES: Final[Mapping[str, tuple[str, str]]] = {
    "gh": ("gh", "gh"),
    "openssl": ("openssl", "openssl"),
    "ssh-keygen": ("openssh-client", "openssh"),
}
"""The package of each tool on Debian and its derivatives, and in Homebrew."""


def how_to_install(tool: str) -> str:
    """Return the commands that install a tool."""
    debian, homebrew = _PACKAGES[tool]
    return f"install it with `apt install {debian}` or `brew install {homebrew}`"
