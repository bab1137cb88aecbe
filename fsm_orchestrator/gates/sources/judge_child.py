"""The process that judges one policy: a part of the orchestrator that runs outside of it.

Its code is handed to an isolated interpreter and imports nothing of this package: an engine may
crash, loop or take all memory here without harm to others. Its question is a JSON file; its answer
is one JSON object on stdout, see `Verdict` in policy.py. The output of a policy goes to stderr.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

ANSWER_BYTES_MAX = 1024**2
"""The most bytes that `opa` may answer: a yes or a no is short."""
DETAIL_CHARACTERS_MAX = 500
REASONS_MAX = 5


class Answer(NamedTuple):
    """The verdict on the policy, the engine that gave it, and the details."""

    verdict: str
    engine: str
    detail: str = ""


class EngineError(Exception):
    """The engine cannot judge; the message says why."""


def main() -> None:
    """Judge the question in the file that the only argument names."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with open(sys.argv[1], encoding="utf-8") as file:
        asked = json.load(file)
    _limit(resource.RLIMIT_DATA, asked["memory_bytes"])
    _limit(resource.RLIMIT_CORE, 0)
    sys.path[:] = asked["python_path"]
    try:
        answer = _ENGINES[asked["language"]](asked)
    except EngineError as error:
        answer = Answer("error", "", str(error))
    except MemoryError:
        answer = Answer("error", "", "it needs more than memory_limit")
    said = answer._replace(detail=" ".join(answer.detail.split())[:DETAIL_CHARACTERS_MAX])
    print(json.dumps(said._asdict()), file=answers, flush=True)


def _limit(what: int, most: int) -> None:
    """Lower a limit permanently; a limit that is lower already stays."""
    now = resource.getrlimit(what)[1]
    least = most if now == resource.RLIM_INFINITY else min(most, now)
    resource.setrlimit(what, (least, least))


def _text(path: str) -> str:
    with open(path, encoding="utf-8", newline="") as file:
        return file.read()


def _version(distributions: tuple[str, ...]) -> str:
    for one in distributions:
        try:
            return importlib.metadata.version(one)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "of an unknown version"


# -- Rego ---------------------------------------------------------------------------------------


def _judge_rego(asked: Mapping[str, Any]) -> Answer:
    """Judge on an empty input first: a policy that allows on nothing allows on everything."""
    evaluate, engine = (_with_opa, "opa") if asked["opa"] else (_with_regorus, "regorus")
    if engine == "regorus":
        try:
            import regorus  # noqa: F401, PLC0415
        except ImportError:
            return Answer("missing", "regorus")
        engine = f"regorus {_version(('gordon-to-regorus', 'celine-regorus', 'regorus'))}"
    try:
        with _nothing_heard():
            is_vacuous = _is(evaluate(asked, asked["empty_input"]), wanted=True)
    except EngineError:
        is_vacuous = False  # faults of the policy itself are reported below
    if is_vacuous:
        return Answer("vacuous", engine)
    values = evaluate(asked, asked["input"])
    if not values:
        return Answer("undefined", engine)
    if _is(values, wanted=True):
        return Answer("allowed", engine)
    if _is(values, wanted=False):
        return Answer("denied", engine)
    return Answer("not_boolean", engine, _kind_of(values[0]))


@contextlib.contextmanager
def _nothing_heard() -> Iterator[None]:
    """Suppress all output: what a policy prints on an empty input is no reason for its verdict."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _is(values: list[Any], *, wanted: bool) -> bool:
    return len(values) == 1 and values[0] is wanted


def _kind_of(value: object) -> str:
    names = {dict: "an object", list: "an array", set: "a set", str: "a string", type(None): "null"}
    return names.get(type(value), "a number")


def _values(result: Any) -> list[Any]:
    """Return the values of the one expression of a result, in the form of OPA and regorus."""
    sets = result.get("result", []) if isinstance(result, dict) else None
    if not isinstance(sets, list):
        raise EngineError("it did not answer as an engine for Rego does")
    try:
        expressions = [one["expressions"] for one in sets]
        return [expression["value"] for one in expressions for expression in one]
    except (KeyError, TypeError):
        raise EngineError("it did not answer as an engine for Rego does") from None


def _with_regorus(asked: Mapping[str, Any], document: str) -> list[Any]:
    import regorus  # noqa: PLC0415

    engine = regorus.Engine()
    try:
        for name, path in asked["policies"]:
            engine.add_policy(name, _text(path))
        for _, path in asked["data"]:
            engine.add_data_json(_text(path))
        engine.set_input_json(_text(document))
        return _values(engine.eval_query(asked["query"]))
    except (EngineError, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 - an engine's panic is no Exception
        raise EngineError(_said_by_regorus(str(error))) from None


def _said_by_regorus(text: str) -> str:
    """Return the place and the text of an error, without quoted lines and backtrace."""
    lines = [line.strip() for line in text.partition("Stack backtrace:")[0].splitlines()]
    places = [line.removeprefix("--> ") for line in lines if line.startswith("--> ")]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return ": ".join([*places[:1], *errors[:1]]) if errors else " ".join(lines)


def _with_opa(asked: Mapping[str, Any], document: str) -> list[Any]:
    files = [word for _, path in (*asked["policies"], *asked["data"]) for word in ("--data", path)]
    options = ["--format", "json", "--strict-builtin-errors", "--input", document]
    command = [asked["opa"], "eval", *options, *files, asked["query"]]
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    except OSError as error:
        raise EngineError(f"cannot run {asked['opa']}: {error.strerror}") from None
    printed = _printed_by(process)
    try:
        result = json.loads(printed)
    except (ValueError, RecursionError):
        raise EngineError(f"opa exited with {process.returncode}, and printed no JSON") from None
    errors = result.get("errors") if isinstance(result, dict) else None
    if errors:
        raise EngineError(_said_by_opa(errors, asked))
    if process.returncode != 0:
        raise EngineError(f"opa exited with {process.returncode}")
    return _values(result)


def _printed_by(process: subprocess.Popen[bytes]) -> bytes:
    """Return the output of `opa`, which is killed if it prints too much."""
    with process:
        printed = b"" if process.stdout is None else process.stdout.read(ANSWER_BYTES_MAX + 1)
        if len(printed) > ANSWER_BYTES_MAX:
            process.kill()
            raise EngineError(f"opa printed more than {ANSWER_BYTES_MAX} bytes")
    return printed


def _said_by_opa(errors: Any, asked: Mapping[str, Any]) -> str:
    """Return the first of OPA's errors, with the operator's name of the file."""
    names = {path: name for name, path in (*asked["policies"], *asked["data"])}
    try:
        first = errors[0]
        place = first.get("location") or {}
        file = names.get(place.get("file", ""), place.get("file", ""))
        where = f"{file}:{place.get('row')}: " if file else ""
        return f"{where}{first['message']}"
    except (AttributeError, IndexError, KeyError, TypeError):
        return "opa has an error, which it does not report as it should"


# -- Cedar --------------------------------------------------------------------------------------


def _judge_cedar(asked: Mapping[str, Any]) -> Answer:
    try:
        import cedarpy  # noqa: PLC0415
    except ImportError:
        return Answer("missing", "cedarpy")
    engine = f"cedarpy {_version(('cedarpy',))}"
    policies = "\n".join(_text(path) for _, path in asked["policies"])
    schema = _text(asked["schema"]) if asked["schema"] else None
    context = _without_null(json.loads(_text(asked["input"])))
    try:
        kept = json.loads(cedarpy.policies_to_json_str(policies))
        wrong = [] if schema is None else cedarpy.validate_policies(policies, schema).errors
        nothing = cedarpy.is_authorized(_request(asked, {}), policies, [])
        judged = cedarpy.is_authorized(_request(asked, context), policies, [], schema)
    except MemoryError:
        raise
    except BaseException as error:  # noqa: BLE001 - an engine's panic is no Exception
        raise EngineError(str(error)) from None
    if not kept.get("staticPolicies"):
        return Answer("undefined", engine, "there is no policy in its files")
    errors = wrong or judged.diagnostics.errors  # Cedar skips a `forbid` that errs
    if errors:
        raise EngineError("; ".join(map(str, errors[:REASONS_MAX])))
    if nothing.allowed and not nothing.diagnostics.errors:
        return Answer("vacuous", engine)
    named = judged.diagnostics.id_annotations_by_reason
    reasons = [named.get(one) or one for one in judged.diagnostics.reasons]
    verdict = "allowed" if judged.allowed else "denied"
    return Answer(verdict, engine, ", ".join(reasons[:REASONS_MAX]))


def _request(asked: Mapping[str, Any], context: object) -> dict[str, Any]:
    return {key: asked[key] for key in ("principal", "action", "resource")} | {"context": context}


def _without_null(value: Any) -> Any:
    """Return a value in the form that Cedar takes: without nulls."""
    if isinstance(value, dict):
        return {key: _without_null(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_null(one) for one in value if one is not None]
    return value


_ENGINES = {"rego": _judge_rego, "cedar": _judge_cedar}

if __name__ == "__main__":
    main()
