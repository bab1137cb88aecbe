"""Refuses a secret whose value is in a name: everything that is written uses names, unmasked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from fsm_orchestrator.config.hidden_text import SecretValues
from fsm_orchestrator.config.origins import InputKind, Origins
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.disk.where import run_of
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.model import Lifecycle
from fsm_orchestrator.secrets.masking import Masker

_FILES = {InputKind.CONFIG: "config file", InputKind.LIFECYCLE: "lifecycle file"}
_ANOTHER_VALUE = "give the secret another value: what is in a name is known to everybody"


class _Name(NamedTuple):
    """A text that is shown unmasked: what it is, and how to change it."""

    what: str
    text: str
    remedy: str


def refuse_shown_secrets(
    config: RunConfig,
    lifecycle: Lifecycle,
    settings: Mapping[str, StageSettings],
    origins: Origins,
    values: SecretValues,
    masker: Masker,
) -> None:
    """Refuse a request whose names hold the value of a declared secret.

    Raises:
        UsageError: one does; neither is shown.
    """
    for name in (
        *_of_request(config, origins),
        *_of_lifecycle(lifecycle),
        *_of_variables(settings),
        *_of_cages(settings),
        *_of_earning(settings),
        *_of_queues(config, settings),
    ):
        if masker.hides(name.text):
            key = next(
                (one.key for one, value in values.items() if Masker([value]).hides(name.text)), None
            )
            secret = "a declared secret" if key is None or masker.hides(key) else f"secret {key}"
            raise UsageError(
                f"the value of {secret} is in {name.what} (not shown), which everything that"
                " is written would show",
                remedy=name.remedy,
            )


def _of_request(config: RunConfig, origins: Origins) -> Iterator[_Name]:
    if config.run_id is not None:
        yield _Name("the run id", config.run_id, "give another --run-id, or none")
    yield _Name(
        "the path of the output directory",
        str(run_of(config.output_path)),
        "name another output directory; where a run is in it already, move it there first",
    )
    # The lock file names the machine, and `stop` decides by that: it cannot be masked.
    yield _Name("the name of this machine", os.uname().nodename, _ANOTHER_VALUE)
    for file in origins.files:
        noun = _FILES[file.kind]
        yield _Name(f"the path of the {noun}", file.path, f"give the {noun} another path")


def _of_lifecycle(lifecycle: Lifecycle) -> Iterator[_Name]:
    for what, text in (("name", lifecycle.name), ("title", lifecycle.title)):
        yield _Name(f"the {what} of the lifecycle", text, _ANOTHER_VALUE)
    for state in lifecycle.states:
        yield _Name("a state of the lifecycle", state, _ANOTHER_VALUE)
    for edge in lifecycle.edges:
        yield _Name("a reason (`why`) in the lifecycle", edge.why, _ANOTHER_VALUE)


def _of_cages(settings: Mapping[str, StageSettings]) -> Iterator[_Name]:
    for stage, one in settings.items():
        for path in (
            ()
            if one.confine is None
            else (
                *(one.confine.write or ()),
                *(one.confine.read or ()),
            )
        ):
            yield _Name(f"a path that stage {stage!r} is confined to", path, _ANOTHER_VALUE)


def _of_earning(settings: Mapping[str, StageSettings]) -> Iterator[_Name]:
    for stage, one in settings.items():
        if not one.must_earn:
            continue
        for path in (*one.protect, *one.inputs):
            yield _Name(f"a path that stage {stage!r} protects or goes by", path, _ANOTHER_VALUE)
        for contract in one.contracts:
            text = contract.model_dump_json()
            yield _Name(f"a contract of stage {stage!r}", text, _ANOTHER_VALUE)


def _of_queues(config: RunConfig, settings: Mapping[str, StageSettings]) -> Iterator[_Name]:
    if config.task_queue is not None:
        yield _Name("the task queue of the run", config.task_queue, _ANOTHER_VALUE)
    for stage, one in settings.items():
        if one.task_queue is not None:
            yield _Name(f"the task queue of stage {stage!r}", one.task_queue, _ANOTHER_VALUE)


def _of_variables(settings: Mapping[str, StageSettings]) -> Iterator[_Name]:
    for stage, one in settings.items():
        inherited = () if isinstance(one.env_inherit, str) else one.env_inherit
        for key in (*one.variables, *inherited):
            yield _Name(f"the name of a variable of stage {stage!r}", key, _ANOTHER_VALUE)
