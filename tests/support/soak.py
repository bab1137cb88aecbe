"""The choice between every point of every sweep, however long that takes, and a sample."""

from __future__ import annotations

import os
from typing import Final

SOAK: Final = bool(os.environ.get("SOAK"))
"""`SOAK=1` looks everywhere; without it, a run of the tests takes a sample of each kind."""
WHOLE: Final = SOAK or bool(os.environ.get("WHOLE"))
"""`WHOLE=1` takes every case of every test; without it, those of a matrix that are drawn."""
