"""The judging of a policy: files, a separate process, one verdict. Loaded when one is asked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import marshal
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.abc import SourceLoader
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Any, Final, NamedTuple, assert_never

from fsm_orchestrator.constants import DEFAULT_KILL_GRACE_MS
from fsm_orchestrator.disk import files, unchanged
from fsm_orchestrator.gates.policy_input import PolicyFile, PolicyFileKind, PolicyUsed
from fsm_orchestrator.gates.sources.base import (
    EVIDENCE_BYTES_MAX,
    Evidence,
    Tools,
    answer,
)
from fsm_orchestrator.gates.sources.envelope import RefusedError, json_value
from fsm_orchestrator.gates.sources.policy_terms import PolicyTerms
from fsm_orchestrator.gates.sources.running import Ran, ToRun, problem_with, run_for_gate
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.declared import ValidationError
from fsm_orchestrator.model.evidence import (
    EvidenceProblem,
    SourceKind,
    Subject,
    SubjectEntry,
    nothing_from,
)
from fsm_orchestrator.model.limits import Limits
from fsm_orchestrator.text.hidden import copyable

FILES_MAX: Final = 1000
FILE_BYTES_MAX: Final = 16 * 1024**2
"""The most bytes that all files of a policy may have together."""
_CHILD: Final = f"{__package__}.judge_child"
_BOOT: Final = (
    "import marshal, sys; held = marshal.loads(bytes.fromhex(sys.argv.pop()))\n"
    "if held['guard']: exec(held['guard'], guard := {'__name__': 'guard'});"
    " guard['install'](guard['Since'](*held['since']))\n"
    "exec(held['judge'], {'__name__': '__main__'})"
)
"""The boot code of the judging process: it runs code that this process has held, and none newer."""


class Verdict(StrEnum):
    """The verdict on a policy, as the judging process reports it."""

    ALLOWED = "allowed"
    DENIED = "denied"
    UNDEFINED = "undefined"
    NOT_BOOLEAN = "not_boolean"
    VACUOUS = "vacuous"
    ERROR = "error"
    MISSING = "missing"


class Answered(StrictModel):
    """The line that the judging process prints."""

    verdict: Verdict
    engine: str
    detail: str


@dataclass(frozen=True)
class ToJudge:
    """The parts of a judging that depend on the language.

    Attributes:
        what: the question, for people: `data.release.allow`, `the policy`.
        answers: the words for yes and no, for people.
        install: the missing engine, with how to install one.
        asked: additional values of the question to the process.
    """

    kind: SourceKind
    query: str | None
    what: str
    answers: tuple[str, str]
    install: str
    paths: Mapping[PolicyFileKind, tuple[str, ...]]
    suffixes: Mapping[PolicyFileKind, str]
    asked: Mapping[str, Any]


class Taken(NamedTuple):
    """A file with its bytes as read."""

    kind: PolicyFileKind
    path: str
    data: bytes


def judged(
    given: PolicyTerms,
    to_judge: ToJudge,
    tools: Tools,
    about: tuple[Subject | None, tuple[SubjectEntry, ...]],
) -> Evidence:
    """Judge a policy in a separate process; the document that it was given is the evidence."""
    record, document = nothing_from(to_judge.kind), None
    try:
        taken = tuple(_files(to_judge))
        used = PolicyUsed(
            language="rego" if to_judge.kind is SourceKind.REGO else "cedar",
            query=to_judge.query,
            files=tuple(_described(one, tools) for one in taken),
        )
        document = _document(tools, used)
        ran = _run(given, to_judge, tools, taken, document)
    except RefusedError as refused:
        return Evidence(document, answer(record, refused.problem, str(refused)))
    subject, work = about
    bound = () if subject is None else (*subject.entries, *work)
    problem, detail = _verdict(ran, to_judge)
    known = {"subject": bound, "log": ran.error_log}
    return Evidence(document, answer(record, problem, detail, **known), ran.complained)


def _document(tools: Tools, used: PolicyUsed) -> bytes:
    document = (tools.document(used).model_dump_json(indent=2) + "\n").encode()
    if len(document) > EVIDENCE_BYTES_MAX:
        said = f"the input of the policy has more than {EVIDENCE_BYTES_MAX} bytes"
        raise RefusedError(EvidenceProblem.OUTPUT_LIMIT, said)
    return document


def _described(one: Taken, tools: Tools) -> PolicyFile:
    path = one.path if tools.mask(one.path) == one.path else None
    return PolicyFile(kind=one.kind, path=path, sha256=hashlib.sha256(one.data).hexdigest())


def _files(to_judge: ToJudge) -> Iterator[Taken]:
    """Yield every file, read once, so that the judged bytes are those with the digest.

    Raises:
        RefusedError: a file is missing, or has a fault.
    """
    size_bytes = 0
    for kind, given in to_judge.paths.items():
        for path in _listed(given, to_judge.suffixes.get(kind)):
            try:
                data = files.read_bounded(Path(path), FILE_BYTES_MAX, is_link_good=True)
            except OSError as error:
                said = f"{copyable(path)}: {files.reason(error)}"
                raise RefusedError(EvidenceProblem.NOT_FOUND, said) from None
            size_bytes += len(data)
            if size_bytes > FILE_BYTES_MAX:
                said = f"the files of the policy have more than {FILE_BYTES_MAX} bytes"
                raise RefusedError(EvidenceProblem.OUTPUT_LIMIT, said)
            _check(kind, path, data)
            yield Taken(kind, path, data)


def _listed(given: Iterable[str], suffix: str | None) -> list[str]:
    """Return the files, each once; for a directory, those with the suffix, at any depth.

    Without a suffix, directories are not searched.

    Raises:
        RefusedError: a directory has no such file, or too many.
    """
    found: dict[str, None] = {}
    for path in given:
        if suffix is None or not os.path.isdir(path):
            found[path] = None
            continue
        inside = [
            os.path.join(place, name)
            for place, _, names in os.walk(path)
            for name in names
            if name.endswith(suffix)
        ]
        if not inside:
            said = f"no file in {copyable(path)} has a name that ends in {suffix}"
            raise RefusedError(EvidenceProblem.NOT_FOUND, said)
        found.update(dict.fromkeys(sorted(inside)))
        if len(found) > FILES_MAX:
            said = f"there are more than {FILES_MAX} files in {copyable(path)}"
            raise RefusedError(EvidenceProblem.OUTPUT_LIMIT, said)
    return list(found)


def _check(kind: PolicyFileKind, path: str, data: bytes) -> None:
    """Refuse a file that no engine can judge with."""
    name = copyable(path)
    if kind is PolicyFileKind.DATA:
        try:
            value = json_value(data)
        except RefusedError as refused:
            raise RefusedError(refused.problem, f"{name}: {refused}") from None
        if not isinstance(value, dict):
            raise RefusedError(EvidenceProblem.NOT_A_STATEMENT, f"{name} is no JSON object")
        return
    try:
        data.decode()
    except UnicodeDecodeError:
        raise RefusedError(EvidenceProblem.ENGINE_ERROR, f"{name} is not UTF-8") from None


def _run(
    given: PolicyTerms, to_judge: ToJudge, tools: Tools, taken: tuple[Taken, ...], document: bytes
) -> Ran:
    """Have the process judge copies of the files that were read.

    Raises:
        RefusedError: the copies cannot be made.
    """
    limits = Limits(
        timeout_ms=given.timeout,
        kill_grace_ms=DEFAULT_KILL_GRACE_MS,
        output_limit_bytes=given.output_limit,
    )
    with contextlib.ExitStack() as stack:
        try:
            place = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="fsm-orchestrator-", ignore_cleanup_errors=True)
            )
            asked = {"memory_bytes": given.memory_limit, **_asked(to_judge, place, taken, document)}
            question = _placed(place, "asked.json", json.dumps(asked).encode())
        except OSError as error:
            said = f"no scratch files can be made in {tempfile.gettempdir()}: {files.reason(error)}"
            raise RefusedError(EvidenceProblem.ENGINE_ERROR, said) from None
        child = ("-I", "-S", "-c", _BOOT, question, _held_code())
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
        return run_for_gate(tools, ToRun(sys.executable, child, place), environment, limits)


def _held_code() -> str:
    """Return the code of the judging process, as it was before any stage began."""
    since = unchanged.in_force()
    guard = None if since is None else _code_of(unchanged.__name__)
    held = {
        "judge": _code_of(_CHILD),
        "guard": guard,
        "since": None if since is None else (since.ns, dict(since.places)),
    }
    return marshal.dumps(held).hex()


def _code_of(name: str) -> CodeType | None:
    spec = find_spec(name)
    code: CodeType | None = (
        spec.loader.get_code(name)
        if spec is not None and isinstance(spec.loader, SourceLoader)
        else None
    )
    return code


def _asked(
    to_judge: ToJudge, place: str, taken: tuple[Taken, ...], document: bytes
) -> dict[str, Any]:
    """Write everything that is judged into a directory, and return the question to the process."""
    copies: dict[PolicyFileKind, list[tuple[str, str]]] = {one: [] for one in PolicyFileKind}
    for number, one in enumerate(taken):
        suffix = to_judge.suffixes.get(one.kind, "")
        copy = _placed(place, f"{one.kind.value}.{number}{suffix}", one.data)
        copies[one.kind].append((copyable(os.path.basename(one.path)), copy))
    return {
        "language": to_judge.kind.value,
        "python_path": [one for one in sys.path if os.path.isabs(one)],
        "input": _placed(place, "input.json", document),
        "empty_input": _placed(place, "empty.json", b"{}\n"),
        "query": to_judge.query,
        "policies": copies[PolicyFileKind.POLICY],
        "data": copies[PolicyFileKind.DATA],
        "schema": next((copy for _, copy in copies[PolicyFileKind.SCHEMA]), None),
        **to_judge.asked,
    }


def _placed(place: str, name: str, data: bytes) -> str:
    path = os.path.join(place, name)
    Path(path).write_bytes(data)
    return path


def _verdict(ran: Ran, to_judge: ToJudge) -> tuple[EvidenceProblem | None, str]:
    """Return the meaning of the verdict for the gate; only `allowed` passes."""
    problem, said = problem_with(ran)
    if problem is EvidenceProblem.EXIT_CODE:
        return EvidenceProblem.ENGINE_ERROR, f"the judging process failed: {said}"
    if problem is not None:
        return problem, said
    try:
        answered = Answered.model_validate_json(ran.printed)
    except ValidationError:
        return EvidenceProblem.ENGINE_ERROR, "the judging process gave no verdict"
    what, by = to_judge.what, f", by {answered.engine}"
    yes, no = to_judge.answers
    because = f": {answered.detail}" if answered.detail else ""
    match answered.verdict:
        case Verdict.ALLOWED:
            return None, f"{what} {yes}{because}{by}"
        case Verdict.DENIED:
            return EvidenceProblem.CHECK_FAILED, f"{what} {no}{because}{by}"
        case Verdict.UNDEFINED:
            return EvidenceProblem.UNDEFINED, f"{what} is undefined{because}{by}"
        case Verdict.NOT_BOOLEAN:
            said = f"{what} is {answered.detail}, not true or false{by}"
            return EvidenceProblem.UNDEFINED, said
        case Verdict.VACUOUS:
            said = f"{what} {yes} on an empty input too, so it asks for nothing{by}"
            return EvidenceProblem.VACUOUS, said
        case Verdict.ERROR:
            return EvidenceProblem.ENGINE_ERROR, f"{what} cannot be judged{because}"
        case Verdict.MISSING:
            said = f"{what} cannot be judged: there is no {to_judge.install}"
            return EvidenceProblem.ENGINE_ERROR, said
        case _:
            assert_never(answered.verdict)
