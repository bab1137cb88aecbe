"""The gates that were given signals or sources, checked against those of the lifecycle."""

from __future__ import annotations

from collections.abc import Iterable

from fsm_orchestrator.config.origins import GivenFile
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.text.phrases import described, suggestion
from fsm_orchestrator.vocabulary import GateSource


def settled_gates(config: RunConfig, lifecycle: Lifecycle) -> RunConfig:
    """Return a configuration with one signal for each gate that was given any.

    Raises:
        UsageError: the lifecycle has no such gate, or the gate no such value.
    """
    for gate in (*config.gates, *config.sources):
        if gate not in lifecycle.gates:
            raise UsageError(
                f"the lifecycle {lifecycle.name!r} has no gate {described(gate)}"
                f"{suggestion(gate, lifecycle.gates)}",
                remedy=f"its gates are {', '.join(lifecycle.gates)}",
            )
    for gate, status in (*config.gates.items(), *config.signals_in_file.items()):
        values = lifecycle.gates[gate].values
        if status not in values:
            raise UsageError(
                f"the gate {gate} has no value {described(status)}{suggestion(status, values)}",
                remedy=f"its values are {', '.join(values)}",
            )
    stricter = {
        gate: status
        for gate, status in config.signals_in_file.items()
        if lifecycle.gates[gate].is_tighter(status, config.gates[gate])
    }
    if not stricter:
        return config
    sources = {**config.gate_sources, **dict.fromkeys(stricter, GateSource.CONFIG)}
    changes = {"gates": {**config.gates, **stricter}, "gate_sources": sources}
    return config.model_copy(update={**changes, "config_file": _with_keys(config, stricter)})


def _with_keys(config: RunConfig, gates: Iterable[str]) -> GivenFile | None:
    """Return the config file with the signals of these gates among the settings that it decides."""
    file = config.config_file
    if file is None:
        return None
    return file.model_copy(update={"keys": (*file.keys, *(f"gates.{gate}" for gate in gates))})
