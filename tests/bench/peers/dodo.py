"""Two stages with doit: each is run every time, the second after the first."""

from __future__ import annotations

import os

TRUE = os.environ.get("STAGE", "true")


def task_manager() -> dict[str, object]:
    """Describe the first stage."""
    return {"actions": [[TRUE]], "uptodate": [False]}


def task_executor() -> dict[str, object]:
    """Describe the second stage."""
    return {"actions": [[TRUE]], "uptodate": [False], "task_dep": ["manager"]}
