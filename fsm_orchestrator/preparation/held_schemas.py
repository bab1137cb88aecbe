"""The JSON Schemas of contracts: read before a run begins, refused if they cannot be used."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.contracts import Contract
from fsm_orchestrator.stages.json_schemas import SchemaError, read_schema


def with_schemas(
    settings: Mapping[str, StageSettings], must_read: Collection[str]
) -> dict[str, StageSettings]:
    """Return settings whose contracts have the current digests of their schemas.

    If a stage is not in `must_read`, a schema that cannot be read keeps its digest.

    Raises:
        UsageError: a schema cannot be used.
    """
    return {
        stage: one._replace(
            contracts=tuple(
                _held(stage, contract, must=stage in must_read) for contract in one.contracts
            ),
        )
        for stage, one in settings.items()
    }


def _held(stage: str, contract: Contract, *, must: bool) -> Contract:
    if contract.json_schema is None:
        return contract
    try:
        sha256 = read_schema(contract.json_schema).sha256
    except SchemaError as error:
        if not must and contract.json_schema_sha256 is not None:
            return contract
        raise UsageError(f"stage {stage!r}: {error}", remedy=error.remedy) from error
    return contract.model_copy(update={"json_schema_sha256": sha256})
