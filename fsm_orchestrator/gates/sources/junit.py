"""JUnit reports: every file must parse, something must have been tested, and nothing may fail."""

from __future__ import annotations

import glob
import hashlib
import itertools
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final, Self

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.disk import files
from fsm_orchestrator.gates.sources.base import (
    EVIDENCE_BYTES_MAX,
    Evidence,
    PathWord,
    Span,
    Tools,
    WaitingModel,
    answer,
    based_path,
)
from fsm_orchestrator.gates.sources.times import problem_with_age, read_with_time
from fsm_orchestrator.model.declared import Field
from fsm_orchestrator.model.evidence import (
    Checks,
    EvidenceProblem,
    EvidenceRecord,
    SourceKind,
    Subject,
    SubjectEntry,
    nothing_from,
)
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted, described, listed

FILES_MAX: Final = 10_000
NAMED_MAX: Final = 5
_ROOTS: Final = frozenset({"testsuites", "testsuite"})
_BAD: Final = frozenset({"failure", "error"})
_BAD_WORDS: Final = frozenset({"failed", "failure", "error"})
_SKIPS: Final = frozenset({"skipped", "notrun", "disabled", "suppressed", "ignored"})
"""The words for a skipped test that some writers put only in its `status` or `result`."""


class JUnitSource(WaitingModel):
    """`junit = ["reports/*.xml"]`: the reports of a test run."""

    junit: Annotated[tuple[PathWord, ...], Field(min_length=1)] = Field(
        description="The files, by patterns with *, ? and **; relative to the config file. Each"
        " pattern must match one."
    )
    min_tests: Annotated[int, Field(ge=1)] = Field(
        default=1, description="How many tests must have passed at least."
    )
    max_age: Span | None = Field(
        default=None, description="How old the oldest of the files may be."
    )

    def source(self, tools: Tools) -> _JUnit:
        """Return the source, ready to be read."""
        return _JUnit(self, tools)

    def written(self, value: str) -> str:
        """Return a value as it is written into a pattern: escaped."""
        return glob.escape(value)

    def based(self, directory: str) -> Self:
        """Return the settings with absolute patterns."""
        base = glob.escape(directory)
        return self.model_copy(
            update={"junit": tuple(based_path(base, pattern) for pattern in self.junit)}
        )

    @property
    def can_name_subject(self) -> bool:
        """False: a report cannot name a subject."""
        return False

    @property
    def files(self) -> tuple[str, ...]:
        """The reports."""
        return self.junit

    @property
    def kind(self) -> SourceKind:
        """The kind of the source."""
        return SourceKind.JUNIT

    @property
    def words(self) -> str:
        """The patterns."""
        return f"JUnit {listed(self.junit)}"


class NotJUnitError(Exception):
    """A file is no JUnit report; the message says why."""


@dataclass
class Tally:
    """The counts while reports are read."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    named: list[str] = field(default_factory=list)
    """Some of the tests that failed."""

    def count(self, name: str, *, is_bad: bool, is_skipped: bool) -> None:
        """Count one test."""
        if is_bad:
            self.failed += 1
            if len(self.named) < NAMED_MAX:
                self.named.append(described(name))
        elif is_skipped:
            self.skipped += 1
        else:
            self.passed += 1


def read_junit(data: bytes, tally: Tally) -> None:
    """Count the tests of a report while parsing it, without building a tree; refuse entities.

    A suite's total that is worse than its tests counts: tests were left out.

    Raises:
        NotJUnitError: it is no JUnit report.
    """
    from xml.parsers import expat  # noqa: PLC0415 - only for this source

    parser = expat.ParserCreate(namespace_separator="}")
    depth, case = 0, None
    is_bad = is_skipped = False
    suites: list[int] = []  # the failures that each open suite states

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, case, is_bad, is_skipped
        depth += 1
        tag = name.rpartition("}")[2]
        if depth == 1 and tag not in _ROOTS:
            raise NotJUnitError(f"its root is {described(tag)}, not testsuites or testsuite")
        if tag in _ROOTS:
            suites.append(_number(attributes, "failures") + _number(attributes, "errors"))
        elif tag == "testcase" and case is not None:
            raise NotJUnitError(f"a test is within the test {described(case[1])}")
        elif tag == "testcase":
            case = (depth, ".".join(filter(None, map(attributes.get, ("classname", "name")))))
            words = {attributes.get(key, "").lower() for key in ("status", "result")}
            is_bad, is_skipped = not words.isdisjoint(_BAD_WORDS), not words.isdisjoint(_SKIPS)
        elif tag in _BAD and case is None:
            tally.count("a suite itself", is_bad=True, is_skipped=False)
        elif tag in _BAD:
            is_bad = True
        elif tag == "skipped":
            is_skipped = True

    def end(name: str) -> None:
        nonlocal depth, case
        if case is not None and case[0] == depth:
            tally.count(case[1], is_bad=is_bad, is_skipped=is_skipped)
            case = None
        elif name.rpartition("}")[2] in _ROOTS and suites.pop() > tally.failed:
            tally.count("the totals of a suite", is_bad=True, is_skipped=False)
        depth -= 1

    def refuse(*_: object) -> None:
        raise NotJUnitError("it declares a document type, which no report needs")

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise NotJUnitError(f"it is not XML: {error}") from None


def _number(attributes: dict[str, str], key: str) -> int:
    text = attributes.get(key, "0").strip() or "0"
    if not text.isdecimal() or len(text) > 9:  # noqa: PLR2004 - no report has a thousand million
        raise NotJUnitError(f"{key} is {described(text)}, which is no count")
    return int(text)


@dataclass(frozen=True)
class _JUnit:
    """One look at the reports."""

    given: JUnitSource
    tools: Tools

    def collect(self, subject: Subject | None, work: tuple[SubjectEntry, ...]) -> Evidence:
        """Read every report, and count its tests."""
        del subject, work  # a report names no subject
        record, tally = nothing_from(SourceKind.JUNIT), Tally()
        kept: list[dict[str, str]] = []
        oldest: datetime | None = None
        size_bytes = 0
        try:
            paths, unmatched = self._paths()
            for path in paths:
                data, modified = read_with_time(path, EVIDENCE_BYTES_MAX)
                size_bytes += len(data)
                if size_bytes > EVIDENCE_BYTES_MAX:
                    said = f"the reports have more than {EVIDENCE_BYTES_MAX} bytes"
                    return _refused(record, EvidenceProblem.OUTPUT_LIMIT, said)
                oldest = modified if oldest is None else min(oldest, modified)
                kept.append(_kept(path, data, timestamp(modified)))
                read_junit(data, tally)
        except OSError as error:
            said = f"{copyable(str(error.filename or path))}: {files.reason(error)}"
            return _refused(record, EvidenceProblem.NOT_FOUND, said)
        except NotJUnitError as error:
            said = f"{copyable(path)} is no JUnit report: {error}"
            return _refused(record, EvidenceProblem.NOT_A_STATEMENT, said, _raw(kept))
        if oldest is None or (unmatched and not tally.failed):
            said = f"no file matches {listed([copyable(one) for one in unmatched])}"
            return _refused(record, EvidenceProblem.NOT_FOUND, said, _raw(kept) if kept else None)
        record = record.model_copy(
            update={
                "issued_at": timestamp(oldest),
                "is_issued_by_file": True,
                "checks": Checks(
                    passed=tally.passed, failed=tally.failed, skipped=tally.skipped, missing=0
                ),
            }
        )
        aged = problem_with_age(oldest, self.tools.now, self.given.max_age)
        problem, detail = aged or self._verdict(tally, len(kept))
        return Evidence(_raw(kept), answer(record, problem, detail))

    def _verdict(self, tally: Tally, count: int) -> tuple[EvidenceProblem | None, str]:
        said = f"{counted(tally.passed, 'test')} passed, {tally.failed} failed,"
        said += f" {tally.skipped} skipped in {counted(count, 'file')}"
        if tally.failed:
            more = tally.failed - len(tally.named)
            named = listed([*tally.named, *([f"{more} more"] if more else [])])
            return EvidenceProblem.CHECK_FAILED, f"{said}; failed: {named}"
        if not tally.passed:
            return EvidenceProblem.NOTHING_CHECKED, said
        if tally.passed < self.given.min_tests:
            return EvidenceProblem.CHECK_MISSING, f"{said}, and min_tests is {self.given.min_tests}"
        return None, said

    def _paths(self) -> tuple[list[str], list[str]]:
        """Return the files, each once, and the patterns that match none.

        Raises:
            OSError: a pattern matches too many.
        """
        found: dict[str, None] = {}
        unmatched = []
        for pattern in self.given.junit:
            matched = sorted(itertools.islice(glob.iglob(pattern, recursive=True), FILES_MAX + 1))
            found |= dict.fromkeys(matched)
            if len(found) > FILES_MAX:
                raise OSError(7, f"matches more than {FILES_MAX} files", pattern)
            if not matched:
                unmatched.append(pattern)
        return list(found), unmatched


def _refused(
    record: EvidenceRecord, problem: EvidenceProblem, detail: str, raw: bytes | None = None
) -> Evidence:
    return Evidence(raw, answer(record, problem, detail))


def _kept(path: str, data: bytes, modified_at: str) -> dict[str, str]:
    """Return a report in the form that is kept: as text if it is text, else as bytes in base64."""
    known = {
        "path": path,
        "sha256": hashlib.sha256(data).hexdigest(),
        "modified_at": modified_at,
    }
    try:
        return {**known, "text": data.decode()}
    except UnicodeDecodeError:
        import base64  # noqa: PLC0415 - rare

        return {**known, "base64": base64.b64encode(data).decode()}


def _raw(kept: list[dict[str, str]]) -> bytes:
    return (json.dumps({"files": kept}, indent=2) + "\n").encode()
