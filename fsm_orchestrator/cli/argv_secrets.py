"""The secrets that a command line declares, for an error that quotes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fsm_orchestrator.cli.parser.prescan import prescan, tokens
from fsm_orchestrator.disk import peek
from fsm_orchestrator.disk.files import read_bounded
from fsm_orchestrator.model.stage_options import OPTION_OF_KEY
from fsm_orchestrator.secrets import declared
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.text.toml import NotATableError, table_of

_SECRET: Final = f"-{OPTION_OF_KEY['secrets'].suffix}"
_SETTING: Final = f"-{OPTION_OF_KEY['env'].suffix}"


def masker_of(argv: Sequence[str]) -> Masker:
    """Return a masker of the secrets that a command line and its config file declare."""
    return Masker(value for value in _values(argv) if value)


def _values(argv: Sequence[str]) -> Iterator[str | None]:
    for option, value, _ in tokens(argv):
        key, equals, given = value.partition("=")
        if option.endswith(_SECRET):
            yield given if equals else declared.known(key)
        elif option.endswith(_SETTING) and declared.looks_secret(key):
            yield given
    name = prescan(argv).config
    yield from map(declared.known, () if name is None else _names_in(name))


def _names_in(name: str) -> Iterator[str]:
    try:
        content = table_of(read_bounded(Path(name), peek.RECORD_BYTES_MAX))
    except (OSError, NotATableError):
        return
    for stage in _tables(content.get("stage")):
        names = stage.get("secrets")
        yield from (one for one in names if isinstance(one, str)) if isinstance(names, list) else ()


def _tables(found: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(found, dict):
        yield from (one for one in found.values() if isinstance(one, dict))
