"""The environment in which the selftest starts Python with this package."""

from __future__ import annotations

import os
from pathlib import Path


def with_this_package() -> dict[str, str]:
    """Return the environment in which a new Python finds this package."""
    package_root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path}
