"""A stage's obligations besides an exit code of 0, and what it was found to have left.

Contracts on artifacts, protected paths and declared inputs: as they are given, as they are kept,
and what is recorded about them.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from fsm_orchestrator.constants import BYTES_MAX
from fsm_orchestrator.model.assertions import AssertionTable
from fsm_orchestrator.model.base import Count, Many, Ordinal, PathText, Sha256, StrictModel
from fsm_orchestrator.model.declared import (
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    WithJsonSchema,
    model_validator,
)
from fsm_orchestrator.model.option_kinds import Bounds
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted
from fsm_orchestrator.text.units import Measure

GLOB_CHARACTERS: Final = frozenset("*?[")
_JSON_ENCODINGS: Final = ("utf-8", "ascii")
_SIZE: Final = Bounds(0, BYTES_MAX, "a whole number of bytes", "SIZE", Measure.BYTES)


def _size(given: Any) -> Any:
    """Read a size that is given with a unit."""
    return _SIZE.read(given) if isinstance(given, str) else given


Size = Annotated[int, Field(strict=True, ge=0, le=BYTES_MAX)]
SizeGiven = Annotated[
    Size,
    BeforeValidator(_size),
    WithJsonSchema(
        {"anyOf": [{"type": "integer", "minimum": 0, "maximum": BYTES_MAX}, {"type": "string"}]}
    ),
]
"""A size that people may write with a unit: `10MiB`."""
Encoding = Literal["utf-8", "ascii", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]


def is_glob(path: str) -> bool:
    """Return whether a path is a pattern that stands for all paths that match it."""
    return not GLOB_CHARACTERS.isdisjoint(path)


def is_directory(path: str) -> bool:
    """Return whether a path is written as a directory's."""
    return path.endswith("/")


class ContractTerms(StrictModel):
    """The requirements on an artifact, without its path and its JSON Schema."""

    min_matches: Ordinal | None = Field(
        default=None,
        description="Least number of files that match, where the path is a glob: 1 unless given.",
    )
    max_bytes: Size | None = Field(
        default=None,
        description="Greatest size of the file, or of all files of the directory together.",
    )
    min_bytes: Size | None = Field(
        default=None,
        description="Least size of the file, or of all files of the directory together.",
    )
    encoding: Encoding | None = Field(
        default=None, description="Encoding in which all of the file has to be text."
    )


class ContractGiven(ContractTerms):
    """A contract on an artifact, as an operator gives it."""

    model_config = ConfigDict(populate_by_name=True, hide_input_in_errors=True)

    max_bytes: SizeGiven | None = Field(
        default=None,
        description="Greatest size of the file, or of all files of the directory together.",
    )
    min_bytes: SizeGiven | None = Field(
        default=None,
        description="Least size of the file, or of all files of the directory together.",
    )
    path: PathText = Field(
        description="Path of the artifact: a file, a directory (ends with a slash), or a glob."
    )
    json_schema: PathText | None = Field(
        default=None,
        description="Path of the JSON Schema (2020-12) that the document has to conform to.",
    )
    assertions: Annotated[tuple[AssertionTable, ...], Strict(strict=False)] = Field(
        default=(), alias="assert", description="Assertions that have to hold for the document."
    )

    @model_validator(mode="after")
    def _refuse_senseless(self) -> Self:
        """Refuse terms that nothing can meet, or that make no sense for such a path."""
        has_document = bool(self.json_schema or self.assertions)
        if self.min_matches is not None and not is_glob(self.path):
            raise ValueError("min_matches is for a glob, and the path is not one")
        if has_document and is_directory(self.path):
            raise ValueError("a directory is not a document: name a file, or a glob of files")
        if is_glob(self.path) and is_directory(self.path):
            raise ValueError("a glob names files: leave out the slash at its end")
        if has_document and self.encoding not in {None, *_JSON_ENCODINGS}:
            raise ValueError("JSON is UTF-8: leave out the encoding")
        if (self.min_bytes or 0) > (BYTES_MAX if self.max_bytes is None else self.max_bytes):
            raise ValueError("min_bytes is more than max_bytes")
        return self


class Contract(ContractTerms):
    """A contract on an artifact, as a run keeps it."""

    path: str = Field(
        description="Absolute path of the artifact: a file, a directory (ends with a slash), or a"
        " glob."
    )
    json_schema: str | None = Field(description="Absolute path of its JSON Schema; null for none.")
    json_schema_sha256: Sha256 | None = Field(
        description="SHA-256 of the schema's bytes, in hexadecimal; null for none."
    )
    assertions: tuple[AssertionTable, ...] = Field(
        description="Assertions that have to hold for the document, as they were given."
    )

    @property
    def is_json(self) -> bool:
        """True if the contract is about a JSON document, whatever the file is called."""
        return self.json_schema is not None or bool(self.assertions)

    @property
    def least_matches(self) -> int:
        """The number of files, written by this attempt, that a set must have at least."""
        return self.min_matches or 1

    @property
    def is_set(self) -> bool:
        """True if the contract is about several files: a directory, or a glob."""
        return is_glob(self.path) or is_directory(self.path)


class ContractViolation(StrictModel):
    """A requirement that an artifact did not meet."""

    path: str = Field(description="Absolute path of the file; known secret values are masked.")
    pointer: str | None = Field(
        description="JSON pointer (RFC 6901) to what is wrong in it; null where the file is."
    )
    expected: str = Field(description="What had to be there, cut where it is long.")
    found: str = Field(
        description="What was there, cut where it is long; known secret values are masked."
    )

    @property
    def lines(self) -> tuple[str, str, str]:
        """The violation, for people: where it is, what was expected, and what was found."""
        where = "" if self.pointer is None else f" at {self.pointer or 'its root'}"
        return f"{copyable(self.path)}{where}", f"expected {self.expected}", f"found {self.found}"

    @property
    def sentence(self) -> str:
        """The violation as a sentence, for people."""
        where, expected, found = self.lines
        return f"{where}: {expected}, {found}"


class PathChange(StrEnum):
    """The change of a protected path."""

    CHANGED = "changed"
    ADDED = "added"
    REMOVED = "removed"


class ProtectedChange(StrictModel):
    """A protected path that has changed since before its stage."""

    path: str = Field(description="Its absolute path; known secret values are masked.")
    change: PathChange = Field(description="Whether it was changed, added or removed.")

    @property
    def sentence(self) -> str:
        """The change as a sentence, for people."""
        return f"{self.path} ({self.change.value})"


class Protection(StrictModel):
    """The state of an attempt's protected paths from before the attempt."""

    file: str = Field(
        description="File with their digests from before the stage, relative to the output"
        " directory."
    )
    sha256: Sha256 = Field(description="SHA-256 of that file's bytes, in hexadecimal.")
    is_compared: bool = Field(
        description="Whether the paths were compared with it after the attempt; false while it"
        " runs, and where its end was not seen."
    )


class InputDigest(StrictModel):
    """An input that a stage declares, as it was when the stage completed."""

    path: str = Field(description="Its absolute path, or a glob.")
    sha256: Sha256 | None = Field(
        description="SHA-256 of the file, or of the sorted list of its files; null where it was not"
        " there, or could not be read."
    )
    files: Count = Field(description="How many files it had.")
    size_bytes: Count = Field(description="Their size together, in bytes.")
    problem: str | None = Field(
        description="Why it could not be read; null where it could, or was not there."
    )

    @property
    def lines(self) -> tuple[str, str]:
        """The input, for people: its path, and its state."""
        return copyable(self.path), self.state

    @property
    def short_state(self) -> str:
        """The state of the input, for people; a digest is cut."""
        is_known = self.problem is None and self.sha256 is not None
        return f"sha256 {(self.sha256 or '')[:12]}..." if is_known else self.state

    @property
    def state(self) -> str:
        """The state of the input, for people."""
        if self.problem is not None:
            return f"cannot be read ({self.problem})"
        if self.sha256 is None:
            return "not there"
        return f"{counted(self.files, 'file')}, {self.size_bytes} bytes, sha256 {self.sha256}"


Violations = Annotated[tuple[ContractViolation, ...], Many]
ProtectedChanges = Annotated[tuple[ProtectedChange, ...], Many]
Inputs = Annotated[tuple[InputDigest, ...], Many]
