"""The settings of a stage: given now, kept, recorded and compared."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsm_orchestrator.config.hidden_text import Hider, SecretReference
from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.config.stage_record import StageRecord, env_digest, record_of, settings_of
from fsm_orchestrator.config.stage_settings import StageSettings, given_settings
from fsm_orchestrator.constants import MILLISECONDS_MAX
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.lifecycle.reading import shipped
from fsm_orchestrator.model.limits import GivenLimits
from fsm_orchestrator.preparation.changes import Change, Version, differences
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.vocabulary import Compared
from tests.config.config_cases import VALUE, config

LIFECYCLE = shipped("governed_run")
PLAIN = Masker(())
KEY = b"k" * 32
KEPT = StageSettings(
    command="/bin/old",
    args=("old", "arguments"),
    cwd="/old",
    env={"KEPT": "kept value", "CHANGED": "old value"},
    expected_artifacts=("/old/one", "/old/two"),
    limits=GivenLimits(timeout_ms=1000),
    allow_stale=True,
)


def merged(kept: StageSettings | None, **given_now: Any) -> StageSettings:
    """Return the manager's settings: the `kept` ones, overlaid by those given now."""
    known = {} if kept is None else {"manager": kept}
    return given_settings(config(**given_now), LIFECYCLE, known, "a-run")["manager"]


def hider(*secrets: str) -> Hider:
    """Return what hides these secrets of the manager."""
    names = (SecretReference(stage="manager", key=f"KEY{n}") for n, _ in enumerate(secrets))
    return Hider(Masker(secrets), dict(zip(names, secrets, strict=True)), KEY)


def recorded(of: StageSettings, by: Hider | None = None) -> StageRecord:
    """Return what the checkpoint keeps."""
    return record_of("manager", of, by or hider(), None)


def changes(then: StageSettings, now: StageSettings, *secrets: str) -> list[Change]:
    """Return the differences between settings where these secrets are known."""
    by = hider(*secrets)
    before, after = Version(then, recorded(then, by)), Version(now, recorded(now, by))
    return list(differences(before, after, by, key_is_lost=False))


# -- precedence: given now, else kept, else the default -------------------------------------


def test_what_is_not_given_is_kept() -> None:
    """Without given settings the kept ones stay, and a stage without any has none."""
    found = given_settings(
        RunConfig(output_directory="out", directory="/here"),
        LIFECYCLE,
        {"executor": KEPT},
        "a-run",
    )
    assert found == {"executor": KEPT}


@pytest.mark.parametrize(
    ("given_now", "expected"),
    [
        ({"args": ("new",)}, {"args": ("new",)}),
        ({"args": ()}, {"args": ()}),
        (
            {"env": {"CHANGED": "new value", "ADDED": ""}},
            {"env": {"KEPT": "kept value", "CHANGED": "new value", "ADDED": ""}},
        ),
        ({"expected_artifacts": ("a",)}, {"expected_artifacts": ("/here/a",)}),
        ({"expected_artifacts": ()}, {"expected_artifacts": ()}),
        ({"timeout_ms": 5}, {"limits": GivenLimits(timeout_ms=5)}),
        ({"slow_after_ms": 5}, {"limits": GivenLimits(timeout_ms=1000, slow_after_ms=5)}),
        ({"cwd": "there"}, {"cwd": "/here/there"}),
        ({"allow_stale": False}, {"allow_stale": False}),
    ],
    ids=lambda value: next(iter(value)),
)
def test_each_setting_given_now_replaces_its_own(
    given_now: dict[str, Any], expected: dict[str, Any]
) -> None:
    """Lists are replaced whole, environment by key, and nothing else changes."""
    assert merged(KEPT, **given_now) == KEPT._replace(**expected)


def test_a_binary_redeclares_its_stage_whole() -> None:
    """With a given binary nothing kept counts, only the other given settings."""
    assert merged(KEPT, bin="/bin/new", args=("x",)) == StageSettings(
        command="/bin/new", args=("x",), cwd="/here"
    )
    assert merged(KEPT, bin="/bin/old") == StageSettings(command="/bin/old", args=(), cwd="/here")


def test_settings_of_one_stage_leave_the_other_alone() -> None:
    """Each stage is merged separately."""
    found = given_settings(
        config(timeout_ms=7), LIFECYCLE, {"manager": KEPT, "executor": KEPT}, "a-run"
    )
    assert found == {"manager": KEPT._replace(limits=GivenLimits(timeout_ms=7)), "executor": KEPT}


@pytest.mark.parametrize(
    "given_now",
    [{"args": ()}, {"env": {"A": "b"}}, {"timeout_ms": 1}, {"cwd": "x"}, {"allow_stale": True}],
    ids=lambda value: next(iter(value)),
)
def test_settings_without_a_binary_are_refused(given_now: dict[str, Any]) -> None:
    """Settings for a stage without a binary are refused; the remedy names the option."""
    with pytest.raises(UsageError, match="manager") as caught:
        merged(None, **given_now)
    assert "--manager-bin" in caught.value.remedy


def test_an_unknown_stage_is_refused() -> None:
    """Settings for an unknown stage are refused with its name and those of the lifecycle."""
    wrong = RunConfig(output_directory="out", stages={"reviewer": StageGiven(bin="true")})
    with pytest.raises(UsageError, match="reviewer") as caught:
        given_settings(wrong, LIFECYCLE, {}, "a-run")
    assert "manager, executor" in caught.value.remedy


# -- paths ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("true", "true"),
        ("./true", "/here/true"),
        ("tools/true", "/here/tools/true"),
        ("/bin/true", "/bin/true"),
    ],
)
def test_a_binary_with_a_slash_is_made_absolute_and_a_bare_name_stays(
    typed: str, expected: str
) -> None:
    """A path is the operator's; a bare name is looked up on PATH when it is started."""
    assert merged(None, bin=typed).command == expected


def test_paths_are_relative_to_the_operators_directory() -> None:
    """OUT, artifacts and directory of a stage become absolute; an artifact counts once."""
    found = merged(None, bin="true", cwd="w", expected_artifacts=("b", "/x/a", "./b", "b"))
    assert (found.cwd, found.expected_artifacts) == ("/here/w", ("/here/b", "/x/a"))
    assert config().output_path == Path("/here/out")
    assert RunConfig(output_directory="out").output_path == Path.cwd() / "out"
    elsewhere = config().model_copy(update={"directory": "/there"})
    assert elsewhere.output_path == Path("/there/out")
    assert elsewhere.model_copy(update={"output_directory": "b"}).output_path == Path("/there/b")


def test_a_path_through_a_link_names_the_file_that_the_stage_names(tmp_path: Path) -> None:
    """`link/../file` is resolved like the operating system does, not by its text."""
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("far/deep")
    (tmp_path / "far" / "file").write_text("the one meant")
    here = RunConfig(output_directory="out", directory=str(tmp_path))
    meant = os.path.join(tmp_path, "link/../file")
    assert os.path.samefile(meant, tmp_path / "far" / "file")
    assert os.path.realpath(here.absolute("link/../file")) == os.path.realpath(meant)


# -- what the checkpoint keeps --------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@settings(deadline=None)
@given(
    args=st.lists(TEXT, max_size=4),
    artifacts=st.lists(TEXT, max_size=3),
    timeout_ms=st.none() | st.integers(1, MILLISECONDS_MAX),
    allow_stale=st.booleans(),
)
def test_settings_without_environment_come_back_from_the_checkpoint_as_they_were(
    args: list[str], artifacts: list[str], timeout_ms: int | None, *, allow_stale: bool
) -> None:
    """Settings survive the way through record and JSON and back."""
    before = StageSettings(
        command="/bin/x",
        args=tuple(args),
        cwd="/w",
        expected_artifacts=tuple(artifacts),
        limits=GivenLimits(timeout_ms=timeout_ms),
        allow_stale=allow_stale,
    )
    text = recorded(before).model_dump_json()
    assert settings_of("manager", StageRecord.model_validate_json(text), {}) == before


def test_a_record_holds_no_environment_value() -> None:
    """Of each pair only a keyed digest is kept, which nobody without the key can repeat."""
    of = KEPT._replace(args=("-t", f"x{VALUE}y"), env={"A": VALUE}, secrets={"KEY0": VALUE})
    kept = recorded(of, hider(VALUE))
    assert VALUE not in kept.model_dump_json()
    secret = SecretReference(stage="manager", key="KEY0")
    assert (kept.args, kept.hidden[0].parts) == (("-t", "x***y"), ("x", secret, "y"))
    plain = {hashlib.sha256(text.encode()).hexdigest() for text in (VALUE, f"A={VALUE}")}
    assert {*kept.env_digests.values(), *kept.secret_digests.values()}.isdisjoint(plain)
    again = settings_of("manager", kept, {})
    assert (again.missing_values, again.missing_secrets) == (("A",), ("KEY0",))
    assert (again.is_known, again.hidden) == (False, kept.hidden)
    assert settings_of("manager", kept, {secret: "new"}).args == ("-t", "xnewy")


def test_digests_tell_equal_pairs_and_nothing_more() -> None:
    """Equal pairs have the same digest under the same key; another value, name or key differs."""
    one = env_digest(KEY, "A", "1")
    assert env_digest(KEY, "A", "1") == one
    others = [env_digest(KEY, "A", "2"), env_digest(KEY, "B", "1"), env_digest(b"l" * 32, "A", "1")]
    assert one not in others
    assert len(set(others)) == 3


def test_a_lost_value_keeps_its_digest() -> None:
    """If only the key of a pair is known, the recorded digest stays, and no change is reported."""
    before = recorded(KEPT)
    other = Hider(PLAIN, {}, b"another key" * 3)
    after = record_of("manager", settings_of("manager", before, {}), other, before)
    assert after == before


# -- differences ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"command": "/bin/new"}, ("command", "/bin/old", "/bin/new")),
        ({"args": ("new",)}, ("args", "'arguments'", "'new'")),
        ({"args": ("arguments", "old")}, ("args", "['old', 'arguments']")),
        ({"cwd": "/new"}, ("cwd", "/old", "/new")),
        ({"expected_artifacts": ("/new",)}, ("expected artifacts", "/old/two", "/new")),
        ({"env": {**KEPT.env, "ADDED": VALUE}}, ("environment", "ADDED", "not set")),
        ({"env": {"KEPT": "kept value"}}, ("environment", "CHANGED", "is not now")),
        ({"env": {**KEPT.env, "CHANGED": VALUE}}, ("environment", "CHANGED", "another value")),
    ],
)
def test_each_difference_is_told_in_one_line(
    change: dict[str, Any], shown: tuple[str, ...]
) -> None:
    """Each difference is one line with both sides; environment values are not shown."""
    (found,) = changes(KEPT, KEPT._replace(**change))
    line = found.sentence
    for words in shown:
        assert words in line
    assert VALUE not in line
    assert "old value" not in line


def test_all_differences_are_told() -> None:
    """One list has all differences and nothing else."""
    changed = KEPT._replace(command="/n", args=(), cwd="/n", env={}, expected_artifacts=())
    found = changes(KEPT, changed)
    assert [change.field for change in found] == [
        *("command", "args", "cwd", "expected artifacts", "environment", "environment")
    ]


def test_how_long_a_stage_may_take_is_no_difference() -> None:
    """Equal settings, and settings that do not affect the result, do not differ."""
    longer = KEPT._replace(limits=GivenLimits(timeout_ms=2000), allow_stale=False)
    assert changes(KEPT, KEPT) == []
    assert changes(KEPT, longer) == []


def test_an_argument_that_is_secret_only_now_is_no_difference_and_not_shown() -> None:
    """Arguments are compared unmasked, and shown masked by the secrets known now."""
    before = KEPT._replace(args=(VALUE, "x"))
    assert changes(before, KEPT._replace(args=(VALUE, "x")), VALUE) == []
    (found,) = changes(before, KEPT._replace(args=(VALUE, "y")), VALUE)
    assert VALUE not in found.sentence


def test_what_looks_alike_where_it_is_shown_is_told_apart() -> None:
    """Two secrets in the same place differ, and neither is shown."""
    one, other = (KEPT._replace(args=(f"--key={value}",)) for value in (VALUE, "another-0815"))
    (found,) = changes(one, other, VALUE, "another-0815")
    assert (found.field, found.old, found.new) == (Compared.ARGS, None, None)
