"""The places where costs are counted."""

from __future__ import annotations

import sys

import pytest

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="counted where there is a keeper"
)
