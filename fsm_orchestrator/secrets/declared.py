"""Secrets: the variables that look like one, and their values in the operator's environment."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Final

from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.text.late_pattern import late_pattern

_CREDENTIAL: Final = late_pattern(
    r"TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY"
    r"|_(?:KEY|PASS|PWD|PAT|AUTH)$",
    re.IGNORECASE,
)


def looks_secret(key: str) -> bool:
    """Return whether a variable is probably a credential, judging by its name."""
    return _CREDENTIAL.search(key) is not None


def known(key: str) -> str | None:
    """Return the value of a secret in the operator's environment, or None if it has no text."""
    with contextlib.suppress(UsageError):
        return asked(key)
    return None


def asked(key: str) -> str | None:
    """Return the value of a secret in the operator's environment, or None if it is not set.

    Raises:
        UsageError: it is not text.
    """
    value = os.environ.get(key)
    if value is None:
        return None
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the value of the secret {key} in the environment is not UTF-8 (not shown)",
            remedy=f"set {key} to text",
        ) from None
    return value
