"""The files that `init` is going to write."""

from __future__ import annotations

from typing import Final, NamedTuple

CONFIG_NAME: Final = "run.toml"
SCRIPT_MODE: Final = 0o777
TEXT_MODE: Final = 0o666


class NewFile(NamedTuple):
    """A file to be written."""

    content: bytes
    mode: int
