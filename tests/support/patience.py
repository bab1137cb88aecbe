"""Wait for what must come true: as long as it takes on a machine that is busy with other things."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

PATIENCE_SECONDS: Final = 180.0
"""When a test gives up on what hangs. Never a bound of the program: a test that passes waits for
what happens, and no longer."""
_NAP_SECONDS: Final = 0.02


def wait_until(holds: Callable[[], object], what: object = "it does not come true") -> None:
    """Return as soon as `holds()` is true; fail with `what` when patience is at an end."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(_NAP_SECONDS)
