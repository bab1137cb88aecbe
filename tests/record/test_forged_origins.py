"""Forged and true records of the origin of settings and signals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.record.history_cases import RAN, change, encoded, refusal
from tests.support.command import CHECKPOINT, PASSING, checkpoint_of, orchestrate, shell

CONFIG: Final = """\
timeout_ms = 60000
[gates]
policy = "allow"
[stage.manager]
bin = "/bin/sh"
args = ["-c", "echo '[1]' > plan.json"]
expected_artifacts = ["plan.json"]
[stage.executor]
bin = "/bin/sh"
args = ["-c", "exit 7"]
"""
SOMEONE: Final = {"user": "someone", "uid": 4711}
BY: Final = "origins.by_setting"


def lied(document: dict[str, Any], changes: Mapping[str, Any]) -> str | None:
    """Return why a checkpoint is refused after some changes to it."""
    change(document, changes)
    return refusal(encoded(document))


def setting(key: str, **said: Any) -> Mapping[str, Any]:
    """Return a change of what is recorded about a setting; without `said` it is removed."""

    def changed(known: dict[str, Any]) -> dict[str, Any]:
        rest = {name: one for name, one in known.items() if name != key}
        standing = known.get(key, {"source": "flag", "invocation": 1})
        return {**rest, key: {**standing, **said}} if said else rest

    return {BY: changed}


LIES: Final[Mapping[str, tuple[str, Mapping[str, Any], str]]] = {
    "signal of an invocation to come": (
        "done",
        {"gate_signals.0.given": lambda given: {**given, "invocation": 2}},
        "gate_signals[0].given.invocation: is 2, of 1",
    ),
    "signal given by another than the others": (
        "done",
        {"gate_signals.0.given": lambda given: {**given, **SOMEONE}},
        "gate_signals[1].given: another signal says otherwise",
    ),
    "signals given by another than was judged": (
        "done",
        {f"gate_signals.{index}.given": lambda given: {**given, **SOMEONE} for index in range(3)},
        "invocations[0].gate_decisions[0].given: another signal says otherwise",
    ),
    "decision on a signal of an invocation to come": (
        "resumed",
        {"@0.gate_decisions.0.given": lambda given: {**given, "invocation": 2}},
        "invocations[0].gate_decisions[0].given.invocation: is 2, of 1",
    ),
    "signal given where none was judged": (
        "repeated",
        {"gate_signals.0.given": lambda given: {**given, "invocation": 2}},
        "gate_signals[0].given: the gate was judged by another",
    ),
    "gate that another invocation was given": (
        "resumed",
        setting("gates.policy", invocation=2),
        f"{BY}: gates.policy was not given to the invocation of its signal",
    ),
    "gate that nobody gave": (
        "done",
        setting("gates.policy"),
        f"{BY}: gates.policy was not given to the invocation of its signal",
    ),
    "gate of a config file that there is not": (
        "done",
        setting("gates.policy", source="config"),
        f"{BY}.gates.policy.source: that invocation was given no config file",
    ),
    "unknown setting": (
        "done",
        setting("stage.manager.color", invocation=1),
        f"{BY}.stage.manager.color: there is no such setting",
    ),
    "setting of an unknown stage": (
        "done",
        setting("stage.nobody.bin", invocation=1),
        f"{BY}.stage.nobody.bin: there is no such setting",
    ),
    "setting of an invocation to come": (
        "done",
        setting("stage.manager.bin", invocation=2),
        f"{BY}.stage.manager.bin.invocation: is 2, of 1",
    ),
    "setting older than its binary": (
        "resumed",
        setting("stage.manager.bin", invocation=2),
        f"{BY}.stage.manager.args: is older than the binary",
    ),
    "binary from nowhere": ("done", setting("stage.manager.bin"), f"{BY}: does not say"),
    "arguments from nowhere": ("done", setting("stage.manager.args"), f"{BY}: does not say"),
    "variables from nowhere": ("done", setting("stage.manager.env"), f"{BY}: does not say"),
    "limit from nowhere": ("timeout", setting("stage.executor.timeout_ms"), f"{BY}: does not say"),
    "timeout from nowhere": ("done", {"timeout_ms": 1_000}, f"{BY}: does not fit timeout_ms"),
    "timeout that is none": (
        "done",
        setting("timeout_ms", invocation=1),
        f"{BY}: does not fit timeout_ms",
    ),
    "leaks that fail by nobody's word": (
        "done",
        {"on_leak": "fail"},
        f"{BY}: does not say what gave on_leak",
    ),
    "stage that has its work from nowhere": (
        "done",
        {"origins.stages_since": {"manager": 1}},
        "origins.stages_since: must name the stages that have a binary",
    ),
    "work of an invocation to come": (
        "done",
        {"origins.stages_since.manager": 2},
        "origins.stages_since.manager: is 2, of 1",
    ),
    "file that nothing comes from": (
        "done",
        {
            "origins.files": [
                {
                    "kind": "config",
                    "path": "/run.toml",
                    "sha256": "0" * 64,
                    "directory": "/",
                    "invocation": 1,
                }
            ]
        },
        "origins.files[0]: nothing that the run has comes from it",
    ),
    "commit that could not be read": (
        "done",
        {"invocations.0.origin.displayed_commit": "a" * 40},
        "invocations[0].origin: has a commit or a problem",
    ),
    "no commit, and no reason": (
        "done",
        {"invocations.0.origin.displayed_problem": None},
        "invocations[0].origin: has a commit or a problem",
    ),
    "secret that the run does not have": (
        "done",
        {"stages.executor.secret_digests": {"TOKEN": "0" * 64}},
        "secret_keys: does not have 'TOKEN', a secret in stages.executor",
    ),
    "secret that is a setting": (
        "done",
        {"stages.manager.secret_digests": {"MODE": "0" * 64}, "secret_keys": ["MODE"]},
        "stages.manager.secret_digests: has a name that env_digests has as well",
    ),
    "hidden text of no argument": (
        "done",
        {
            "stages.executor.hidden": [
                {"field": "args", "index": 9, "parts": ["x"], "digest": "0" * 64}
            ]
        },
        "stages.executor: hidden: there is no such text",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_lie_about_what_was_given_is_refused(lie: str, runs: Path) -> None:
    """A record is refused if its statements about the given settings contradict each other."""
    run, changes, said = LIES[lie]
    found = lied(checkpoint_of(runs / run), changes)
    assert found is not None
    assert said in found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"origins.files": []}, "source: that invocation was given no config file"),
        (
            {"origins.files": lambda files: [*files, *files]},
            "origins.files[1]: an invocation is given one file of a kind",
        ),
        ({"origins.files.0.invocation": 3}, "config file"),
    ],
)
def test_lie_about_a_config_file_is_refused(
    changes: Mapping[str, Any], said: str, tmp_path: Path
) -> None:
    """A setting must be from a config file that the invocation got, and each file must give one."""
    (tmp_path / "run.toml").write_text(CONFIG)
    assert orchestrate("out", "--config", "run.toml", *PASSING[2:], cwd=tmp_path).code == 1
    found = lied(checkpoint_of(tmp_path / "out"), changes)
    assert found is not None
    assert said in found


def test_true_records_of_all_kinds_are_read(tmp_path: Path) -> None:
    """True records with config files, resumes, new binaries, kept stages and visits are read."""
    (tmp_path / "run.toml").write_text(CONFIG)
    (tmp_path / "other.toml").write_text('[gates]\nci = "success"\n')
    keep = ("--on-changed-stage", "keep")
    binary = ("--manager-bin", "/bin/true")
    fixed = ("--fixed-clock", "2026-01-01T00:00:00Z")
    commands = (
        (("--config", "run.toml"), 3),
        (("--resume",), 3),
        (("--resume",), 3),
        (("--resume", "--config", "other.toml", "--review-status", "approved"), 1),
        (("--resume", *keep, *binary), 1),
        (("--resume", "--rerun", "manager", "--on-leak", "fail"), 1),
        (("--resume", *fixed, "--policy-status", "deny"), 3),
        (("--resume", *PASSING, *shell("executor", RAN)), 0),
        (("--resume",), 0),
        (("--resume",), 0),
        (("--resume",), 0),
    )
    for number, (command, code) in enumerate(commands):
        ended = orchestrate("out", *command, cwd=tmp_path)
        assert ended.code == code, (number, ended.stderr)
        assert refusal((tmp_path / "out" / CHECKPOINT).read_bytes()) is None, number
    origins = checkpoint_of(tmp_path / "out")["origins"]
    assert "stage.manager.args" not in origins["by_setting"]
    assert origins["by_setting"]["gates.policy"]["invocation"] == 8
