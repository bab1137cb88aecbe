"""JSON Schemas (2020-12) that artifacts must conform to: reading, refusing and applying them.

The only user of jsonschema-rs, an optional extra. Nothing is ever fetched for a schema, and no
other file is read; formats are checked; no message contains a value of a document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fsm_orchestrator.disk import files
from fsm_orchestrator.stages.asserting import Failure
from fsm_orchestrator.stages.json_document import (
    ABSENT,
    NoDocumentError,
    at_pointer,
    document_of,
    kind_words,
)
from fsm_orchestrator.stages.strict_json import problem_of
from fsm_orchestrator.text.hidden import copyable

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

SCHEMA_BYTES_MAX: Final = 4 * 1024**2
_FAILURES_MAX: Final = 20
_SHOWN_MAX: Final = 120
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_NOTHING: Final[tuple[Any, ...]] = (None, {}, [])
"""Documents of which a schema that demands anything refuses at least one."""


class SchemaError(Exception):
    """A schema that cannot be applied; the message says why.

    Attributes:
        remedy: what to do about it.
    """

    def __init__(self, message: str, remedy: str = "correct the schema") -> None:
        super().__init__(message)
        self.remedy = remedy


class Schema(NamedTuple):
    """A schema that was read and can be applied.

    Attributes:
        path: the path of its file.
        sha256: the digest of its bytes, in hexadecimal.
        document: its content.
        validator: applies it to a document.
    """

    path: str
    sha256: str
    document: Any
    validator: Draft202012Validator

    def failures(self, document: Any, ask: Callable[[], object]) -> Iterator[Failure]:
        """Yield the places where a document does not conform, up to `_FAILURES_MAX`."""
        ask()
        try:
            errors = self.validator.iter_errors(document)
            for _, error in zip(range(_FAILURES_MAX), errors, strict=False):
                pointer = "".join(f"/{_escaped(part)}" for part in error.instance_path)
                found = at_pointer(document, pointer)
                yield Failure(pointer, self._expected(error.schema_path), _found(found, error))
        except (ValueError, OverflowError, RecursionError):
            yield Failure("", f"what {self._name} says", "a document that cannot be judged by it")

    @property
    def _name(self) -> str:
        return f"schema {copyable(Path(self.path).name)}"

    def _expected(self, schema_path: list[str | int]) -> str:
        """Return what the schema says at a path, in its own terms."""
        keyword = str(schema_path[-1]) if schema_path else "false"
        said, here = "", self.document
        for part in schema_path:
            here = at_pointer(here, f"/{_escaped(part)}")
            if part == "$ref" and isinstance(here, str):
                here = at_pointer(self.document, here[1:]) if here[:1] == "#" else ABSENT
        if here is not ABSENT:
            said = json.dumps(here, ensure_ascii=False)
            said = f" {said[:_SHOWN_MAX]}{'...' if len(said) > _SHOWN_MAX else ''}"
        return f"{keyword}{said} ({self._name})"


def _found(found: Any, error: Any) -> str:
    """Return a description of a value that does not show it: names of members are content too."""
    name = getattr(getattr(error, "kind", None), "property", None)
    if isinstance(name, str) and isinstance(found, dict) and name not in found:
        return f"{kind_words(found)}, none of them {copyable(name)}"
    return kind_words(found)


def _escaped(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def read_schema(path: str) -> Schema:
    """Read the schema at an absolute path.

    Raises:
        SchemaError: it cannot be applied.
    """
    where = f"the JSON schema {copyable(path)}"
    try:
        data = files.read_bounded(Path(path), SCHEMA_BYTES_MAX, is_link_good=True)
    except OSError as error:
        raise SchemaError(
            f"{where} cannot be read: {files.reason(error)}", "name an existing file"
        ) from error
    problem = problem_of(data)
    if problem is not None:
        raise SchemaError(f"{where} is not JSON: {problem}")
    try:
        document = document_of(data, lambda: None)
    except NoDocumentError as error:
        raise SchemaError(f"{where} is not JSON: {error}") from error
    return Schema(path, hashlib.sha256(data).hexdigest(), document, _validator(where, document))


def _validator(where: str, document: Any) -> Draft202012Validator:
    try:
        import jsonschema_rs  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise SchemaError(
            f"{where} cannot be applied: jsonschema-rs is not installed",
            "pip install 'fsm-orchestrator[schemas]'",
        ) from error
    dialect = document.get("$schema", _DIALECT) if isinstance(document, dict) else _DIALECT
    if not isinstance(dialect, str) or dialect.rstrip("#") != _DIALECT:
        raise SchemaError(
            f"{where} has another dialect than 2020-12", f'give it "$schema": "{_DIALECT}"'
        )
    try:
        validator = jsonschema_rs.Draft202012Validator(
            document,
            validate_formats=True,
            ignore_unknown_formats=False,
            mask="***",
            offline=True,
        )
        takes_all = all(validator.is_valid(one) for one in _NOTHING)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise SchemaError(f"{where} cannot be applied: {said}") from error
    if takes_all:
        raise SchemaError(
            f"{where} accepts null, {{}} and []: it demands nothing",
            'have it state what must be there, such as "type": "object" and "required"',
        )
    return validator
