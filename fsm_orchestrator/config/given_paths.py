"""The paths of a stage as they were given: the typed text, and what it is relative to."""

from __future__ import annotations

import os

from fsm_orchestrator.config.file_texts import (
    from_file,
    is_path,
    relative_to_operator,
    said_relative,
)
from fsm_orchestrator.config.run_config import RunConfig
from fsm_orchestrator.config.stage_settings import StageSettings
from fsm_orchestrator.config.templates import is_absolute
from fsm_orchestrator.text.phrases import described


def given_paths(config: RunConfig, stage: str, settings: StageSettings) -> dict[str, str]:
    """Return by path how each relative path of a stage was given now."""
    given, in_file = config.stages.get(stage), from_file(config, stage)
    if given is None:
        return {}
    artifacts = given.expected_artifacts or ()
    if len(artifacts) != len(settings.expected_artifacts):
        artifacts = ()  # one was given twice: the two lists do not correspond
    texts = [
        ("bin", given.bin, settings.command),
        ("cwd", given.cwd, settings.cwd),
        *(
            ("expected_artifacts", text, path)
            for text, path in zip(artifacts, settings.expected_artifacts, strict=False)
        ),
    ]
    said = {}
    for key, text, path in texts:
        if text is None or not is_path(key, text):
            continue
        is_from_file = key in in_file
        if not (is_absolute(text) if is_from_file else os.path.isabs(text)):
            base = said_relative(config) if is_from_file else relative_to_operator(config)
            said[path] = f"it was given as {described(text)}, {base}"
    return said
