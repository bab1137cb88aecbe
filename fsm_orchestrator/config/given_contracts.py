"""The given contracts on artifacts, converted for a run: paths absolute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.assertions import read_assertion
from fsm_orchestrator.model.contracts import Contract, ContractGiven, is_directory, is_glob
from fsm_orchestrator.text.hidden import copyable


def contracts_of(
    given: Sequence[ContractGiven], absolute: Callable[[str], str]
) -> tuple[Contract, ...]:
    """Return the contracts in the form that a run keeps; their schemas are not read yet.

    Raises:
        UsageError: two are about the same path.
    """
    made: dict[str, Contract] = {}
    for one in given:
        path = absolute_path(one.path, absolute)
        if path in made:
            raise UsageError(
                f"two contracts are about {copyable(path)}",
                remedy="put what both ask for into one [[stage.NAME.artifact]]",
            )
        schema = None if one.json_schema is None else absolute(one.json_schema)
        made[path] = Contract(
            path=path,
            min_matches=(one.min_matches or 1) if is_glob(path) else None,
            max_bytes=one.max_bytes,
            min_bytes=one.min_bytes,
            encoding=one.encoding,
            json_schema=schema,
            json_schema_sha256=None,
            assertions=one.assertions,
        )
    return tuple(made.values())


def absolute_path(path: str, absolute: Callable[[str], str]) -> str:
    """Return an absolute path; the trailing slash of a directory is kept."""
    made = absolute(path)
    return f"{made}/" if is_directory(path) and not is_directory(made) else made


def table_of(given: ContractGiven) -> dict[str, Any]:
    """Return a contract as a table of a config file."""
    said: Mapping[str, Any] = given.model_dump(mode="json", exclude_none=True)
    table = {key: value for key, value in said.items() if value or value == 0}
    if given.assertions:
        table["assert"] = table.pop("assertions")
    return table


def words_of(contract: Contract) -> str:
    """Return a contract on one line, for people."""
    said = [contract.path]
    if contract.min_matches is not None:
        said.append(f"min_matches {contract.min_matches}")
    for key in ("min_bytes", "max_bytes", "encoding", "json_schema"):
        value = getattr(contract, key)
        if value is not None:
            said.append(f"{key} {value}")
    said += [read_assertion(one).words for one in contract.assertions]
    return ", ".join(said)
