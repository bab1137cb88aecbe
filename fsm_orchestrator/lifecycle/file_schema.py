"""The forms of a lifecycle file that its JSON Schema allows in addition to the model's own."""

from __future__ import annotations

from typing import Any, Final

from fsm_orchestrator.lifecycle.linear import NAMES_OR_TABLES, LinearLifecycle

_OF_OBJECT: Final = ("type", "properties", "required", "additionalProperties")


def allow_short_form(document: dict[str, Any]) -> None:
    """Allow in the JSON Schema of a lifecycle the keys that a file may omit, and short forms."""
    _allow_one_source(document)
    short = LinearLifecycle.model_json_schema()
    document["$defs"].update(short.pop("$defs"))
    for key in NAMES_OR_TABLES:
        items = short["properties"][key]
        tables = items if "items" in items else items["anyOf"][0]
        tables["items"] = {"anyOf": [{"type": "string"}, tables["items"]]}
    said = document["$defs"]["LinearStage"]["properties"]["exit_codes"]["anyOf"][0]
    said["additionalProperties"] = False  # only keys of its pattern
    written_out = {key: document.pop(key) for key in _OF_OBJECT if key in document}
    document["$defs"]["WrittenOut"] = written_out
    document["$defs"]["ShortForm"] = {key: short[key] for key in _OF_OBJECT if key in short}
    names = ("ShortForm", "WrittenOut")
    document["if"] = {"required": ["stages"]}
    document["then"], document["else"] = ({"$ref": f"#/$defs/{name}"} for name in names)


def _allow_one_source(document: dict[str, Any]) -> None:
    """Allow a transition from one state to name it without a list."""
    properties = document["$defs"]["Transition"]["properties"]
    names = properties["source"]
    description = names.pop("description")
    properties["source"] = {"anyOf": [names["items"], names], "description": description}
