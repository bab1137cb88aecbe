"""The installed package, whose cost is counted."""

from __future__ import annotations

import pytest

from tests.support.counting import Installed, install


@pytest.fixture(scope="session", name="installed")
def installed_package(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Return the installed package."""
    return install(tmp_path_factory.mktemp("installed"))
