"""Models without pydantic: what they accept and write directly, pydantic does the same way."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from pydantic import Field, ValidationError

from fsm_orchestrator import RunConfig, StageGiven, run
from fsm_orchestrator.constants import CHECKPOINT_FILE, REPORT_FILE
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.model import Lifecycle, State
from fsm_orchestrator.lifecycle.reading import find
from fsm_orchestrator.model.accepting import fill, plainly
from fsm_orchestrator.model.base import StrictModel
from fsm_orchestrator.model.checking import NotPlainError
from fsm_orchestrator.model.declared import left_out
from fsm_orchestrator.model.execution import Artifact, Resources
from fsm_orchestrator.model.parsed import parser_of, serializer_of
from fsm_orchestrator.record.checkpoint import Checkpoint
from fsm_orchestrator.record.report import Report
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import environment

GATES: Final = {Gate.POLICY: "allow", Gate.CI: "success", Gate.REVIEW: "approved"}
SHA256: Final = "0" * 64
ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, 1, -1, 2**63, 10**30, 1.0, 0.5, float("nan"), float("inf")),
    *("", "x", "X", "1", "x\n", SHA256, f"{SHA256}\n", "a:b", "run", "\ud800", "\0", "é"),
    *((), ("x",), ("x\n",), [], ["x"], {}, {"x": "y"}, {"x": 1}, {1: "x"}, b"x", Path("x")),
    *(object(), "a" * 300, "\u0661", "manager", "stage"),
    *("2026-01-02T03:04:05.006Z", "2026-01-02T03:04:05.006Z\n"),
    *(
        Gate.CI,
        "allow",
        "ci",
        "fail",
        {"ci": "success"},
        {"ci": "x"},
        {"manager": {}},
        {"manager": {"bin": "x"}},
        {Gate.CI: "success"},
    ),
)
"""Values that some fields take and others do not, or only nearly."""


@pytest.fixture(scope="module", name="records")
def records_of_a_run(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Any, Any]:
    """Return an instance of each model that a run makes, by its class."""
    out = tmp_path_factory.mktemp("models") / "out"
    artifact = out.parent / "made.json"
    stages = {
        "manager": StageGiven(
            bin="sh", args=("-c", f"echo '{{}}' > {artifact}"), expected_artifacts=(str(artifact),)
        ),
        "executor": StageGiven(bin="false", env={"TOKEN": "secret"}, args=("secret",)),
    }
    run(RunConfig(output_directory=out, gates=GATES, stages=stages, timeout_ms=60_000))
    checkpoint = Checkpoint.model_validate_json((out / CHECKPOINT_FILE).read_bytes())
    report = Report.model_validate_json((out / REPORT_FILE).read_bytes())
    config = RunConfig(output_directory="out", directory="/", gates=GATES, stages=stages)
    found: dict[Any, Any] = {}
    for one in (checkpoint, report, config):
        for model in _models_in(one):
            found.setdefault(type(model), model)
    assert len(found) > 20
    return found


def _models_in(value: Any) -> Iterator[Any]:
    if hasattr(value, "__declared__"):
        yield value
        value = tuple(vars(value).values())
    if isinstance(value, Mapping):
        value = (*value, *value.values())
    if isinstance(value, tuple):
        for one in value:
            yield from _models_in(one)


def _given(model: Any) -> dict[str, Any]:
    return {name: getattr(model, name) for name in type(model).model_fields}


def _taken_plainly(cls: Any, given: Any) -> Any:
    made = cls.__new__(cls)
    try:
        fill(made, given)
    except NotPlainError:
        return None
    return made


def test_what_a_run_makes_is_taken_plainly_and_as_pydantic_takes_it(
    records: Mapping[Any, Any],
) -> None:
    """Both ways give the same values, the same set fields and the same class."""
    for cls, model in records.items():
        plain = _taken_plainly(cls, _given(model))
        parsed = parser_of(cls).validate_python(_given(model))
        assert plain is not None, cls
        assert plain == parsed == model
        assert type(plain) is type(parsed) is cls
        assert plain.model_fields_set == parsed.model_fields_set
        assert [*vars(plain)] == [*vars(parsed)]


def test_nothing_is_taken_plainly_that_pydantic_refuses_or_changes(
    records: Mapping[Any, Any],
) -> None:
    """No field with an odd, extra or missing value is taken unless pydantic takes it unchanged."""
    tried = taken = 0
    for cls, model in records.items():
        given = _given(model)
        cases = [{**given, name: odd} for name in given for odd in ODD]
        cases += [{key: one for key, one in given.items() if key != name} for name in given]
        for case in [*cases, {**given, "more": 1}]:
            tried += 1
            try:
                plain = _taken_plainly(cls, case)
            except UsageError:  # an unknown keyword in an operator's input
                continue
            if plain is not None:
                taken += 1
                parsed = parser_of(cls).validate_python(case)
                assert plain == parsed, (cls, case)
                assert _types_in(plain) == _types_in(parsed), (cls, case)
    assert 0 < taken < tried


def _types_in(value: Any) -> Any:
    """Return the types in a value, because equal values such as 1 and True can differ in type."""
    if hasattr(value, "__declared__"):
        return type(value), [_types_in(one) for one in _given(value).values()]
    if isinstance(value, Mapping):
        return type(value), [(_types_in(key), _types_in(one)) for key, one in value.items()]
    return (type(value), [_types_in(one) for one in value]) if type(value) is tuple else type(value)


def test_lifecycle_is_taken_plainly_from_a_document_as_from_json() -> None:
    """Names become enum members and lists become tuples, and nothing invalid is taken."""
    lifecycle = find("governed_run", Path())
    document = lifecycle.model_dump(mode="json", exclude_none=True)
    assert plainly(Lifecycle, document) == lifecycle
    state, transition = document["state"], document["transition"]
    cases = [{**document, name: odd} for name in document for odd in ODD]
    for odd in ODD:
        cases += [{**document, "state": [{**state[1], key: odd}]} for key in State.model_fields]
        cases += [
            {**document, "transition": [{**transition[1], key: odd}]} for key in transition[1]
        ]
    for case in cases:
        plain = plainly(Lifecycle, case)
        if plain is not None:
            assert plain == parser_of(Lifecycle).validate_json(json.dumps(case)), case


def test_models_are_written_as_pydantic_writes_them(records: Mapping[Any, Any]) -> None:
    """Both write the same JSON, on a line or indented, and the same dictionaries or parts."""
    for cls, model in records.items():
        pydantic = serializer_of(cls)
        assert model.model_dump_json() == pydantic.to_json(model).decode()
        assert model.model_dump_json(indent=2) == pydantic.to_json(model, indent=2).decode()
        for mode in ("json", "python"):
            assert model.model_dump(mode=mode) == pydantic.to_python(model, mode=mode)
            some: dict[str, Any] = {"exclude": {next(iter(cls.model_fields))}, "exclude_none": True}
            assert model.model_dump(mode=mode, **some) == pydantic.to_python(
                model, mode=mode, **some
            )


@pytest.mark.parametrize(
    "text", ["", '"\\/', "\0\x1f\x7f\x80", "\n\r\t\b\f", "é\u2028𐍈", "</script>"]
)
def test_text_is_written_as_pydantic_writes_it(text: str) -> None:
    """Each character is escaped in the same way."""
    model = Artifact(path=text, sha256=SHA256, size_bytes=2**60, judged_by=None)
    assert model.model_dump_json() == serializer_of(Artifact).to_json(model).decode()


@pytest.mark.parametrize(
    "number",
    [
        0.0,
        -0.0,
        0.1,
        1e-7,
        9.9e-05,
        -1.5e-05,
        1e-05,
        1e-06,
        1.25e-12,
        1e16,
        1.5e300,
        123456.789,
        2.0,
    ],
)
def test_number_is_written_as_pydantic_writes_it(number: float) -> None:
    """A number is written as pydantic does, even if Python itself differs."""
    model = Resources(user_seconds=number, system_seconds=0.0, rss_bytes_max=None)
    assert model.model_dump_json() == serializer_of(Resources).to_json(model).decode()


class _Sparing(StrictModel):
    """A model with a field that is written only if it has a value."""

    name: str
    more: tuple[int, ...] = left_out((), "More of it.")


def test_field_at_its_default_is_left_out_and_read_back_as_pydantic_does() -> None:
    """Both writers leave the field out, both readers restore it, and no schema requires it."""
    plain, full = _Sparing(name="x"), _Sparing(name="x", more=(1,))
    for one, written in ((plain, {"name": "x"}), (full, {"name": "x", "more": [1]})):
        assert one.model_dump(mode="json") == written
        assert serializer_of(_Sparing).to_python(one, mode="json") == written
        assert json.loads(one.model_dump_json()) == json.loads(one.model_dump_json(indent=2))
        assert _Sparing.model_validate_json(one.model_dump_json()) == one
        assert plainly(_Sparing, written) == one
    assert _Sparing.model_json_schema()["required"] == ["name"]


def test_copy_is_written_with_its_own_values() -> None:
    """The cached text of a model is not used for a changed copy."""
    model = Artifact(path="a", sha256=SHA256, size_bytes=1, judged_by=None)
    assert '"path":"a"' in model.model_dump_json()
    assert '"path":"b"' in model.model_copy(update={"path": "b"}).model_dump_json()


def test_model_is_a_frozen_value() -> None:
    """A model is equal by its fields, usable as a key, copied and pickled whole, and immutable."""
    model = Artifact(path="a", sha256=SHA256, size_bytes=1, judged_by=None)
    again = Artifact(path="a", sha256=SHA256, size_bytes=1, judged_by=None)
    assert model == again
    assert hash(model) == hash(again)
    assert model != model.model_copy(update={"size_bytes": 2})
    assert model == copy.copy(model) == copy.deepcopy(model) == pickle.loads(pickle.dumps(model))  # noqa: S301
    said = f"path='a', sha256='{SHA256}', size_bytes=1, judged_by=None, files=None"
    assert repr(model) == f"Artifact({said})"
    with pytest.raises(ValidationError, match="frozen"):
        model.path = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        del model.path
    assert model == again


def test_wrong_value_is_refused_as_pydantic_refuses_it() -> None:
    """The refusal has all errors at once, each with its place."""
    with pytest.raises(ValidationError) as caught:
        Artifact(path=1, sha256="x", size_bytes=True, judged_by=None)  # type: ignore[arg-type]
    places = [one["loc"] for one in caught.value.errors()]
    assert places == [("path",), ("sha256",), ("size_bytes",)]


def test_field_of_pydantic_itself_is_refused_where_it_is_declared() -> None:
    """A pydantic `Field` in a model is refused, because it would be taken for a default."""
    with pytest.raises(TypeError, match=r"Wrong\.name: declare it with the Field of"):

        class Wrong(StrictModel):
            name: str = Field()


def test_good_run_loads_no_pydantic_and_a_wrong_option_does(tmp_path: Path) -> None:
    """A program whose input is valid never loads pydantic."""
    program = (
        "import sys; from fsm_orchestrator import *\n"
        "stages = {'manager': StageGiven(bin='true'), 'executor': {'bin': 'true'}}\n"
        "given = RunConfig(output_directory='out', gates={'policy': 'allow'}, stages=stages)\n"
        "report = run(given)\n"
        "print(report.exit_code, 'pydantic' in sys.modules)\n"
        "try: StageGiven(timeout_ms='1')\n"
        "except ValueError as error: print(type(error).__name__, 'pydantic' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "3 False\nValidationError True\n"


def test_rare_fields_are_written_where_they_say_something() -> None:
    """Empty fields are left out with and without pydantic, and are read back unchanged."""
    plain = Artifact(path="a", sha256=SHA256, size_bytes=1, judged_by=None)
    of_many = plain.model_copy(update={"files": 3})
    for model, is_there in ((plain, False), (of_many, True)):
        for written in (model.model_dump(), model.model_dump(mode="json")):
            assert ("files" in written) is is_there
        assert ('"files"' in model.model_dump_json()) is is_there
        assert ('"files"' in model.model_dump_json(indent=2)) is is_there
        by_pydantic = serializer_of(Artifact).to_json(model).decode()
        assert by_pydantic == model.model_dump_json()
        assert Artifact.model_validate_json(by_pydantic) == model
    assert "files" not in Artifact.model_json_schema()["required"]
