"""An approval covers what is run: it is checked before each attempt that it releases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.approvals.approval_cases import (
    APPLY,
    LIFECYCLE,
    approve,
    begin,
    evidence,
    go_on,
    project,
    requests,
)
from tests.support.command import orchestrate, report_of

Keys = dict[str, Path]
AGAIN = ("--executor-max-attempts", "3", "--executor-retry-exit-code", "5")
DEPLOY = (
    '[stage.deployer]\nbin = "sh"\nargs = ["./deploy.sh"]\ncwd = "."\n'
    'expected_artifacts = ["deployed"]\n'
)


@pytest.fixture
def folder(tmp_path: Path, signers: str) -> Path:
    """Return a folder with a file of signers."""
    (tmp_path / "signers").write_text(signers)
    return tmp_path


def with_deployer(folder: Path, apply: str, more: str = "") -> None:
    """Write a project in which an approval releases two stages."""
    project(folder, apply=apply)
    (folder / "plan_apply.toml").write_text(
        LIFECYCLE.replace(
            '[[state]]\nname = "done"',
            '[[state]]\nname = "deployer"\nkind = "stage"\n[[state]]\nname = "done"',
        )
        .replace(
            'trigger = "stage_succeeded"\nsource = ["executor"]',
            'trigger = "stage_succeeded"\nsource = ["deployer"]',
        )
        .replace('"executor", "blocked"', '"executor", "deployer", "blocked"')
        .replace('["manager", "executor"]', '["manager", "executor", "deployer"]')
        .replace('"approving", "executor"]', '"approving", "executor", "deployer"]')
        + '[[transition]]\ntrigger = "stage_succeeded"\nsource = ["executor"]\n'
        'dest = "deployer"\nwhy = "because"\n'
    )
    (folder / "deploy.sh").write_text("cat plan.md > deployed\n")
    run = folder / "run.toml"
    run.write_text(run.read_text().replace('["applied.md"]', f'["applied.md"{more}]') + DEPLOY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("echo harm > plan.md", "the artifact"),
        ("echo 'echo harm > harm' > new; mv new apply.sh", "the command of executor has changed"),
    ],
)
def test_what_has_changed_is_not_tried_again(
    folder: Path, keys: Keys, change: str, said: str
) -> None:
    """A retry is covered by the approval only while everything that it names is unchanged."""
    project(folder, apply=f"echo once >> tries; {change}; exit 5")
    ended = orchestrate("run", "./out", "--config", "run.toml", *AGAIN, cwd=folder)
    assert ended.code == 3, ended.stderr
    approve(folder, keys["bob"])
    assert go_on(folder).code == 1
    assert (folder / "tries").read_text() == "once\n"
    assert not (folder / "harm").exists()
    (warning,) = report_of(folder / "out")["warnings"]
    assert "is not tried again: the approval of review no longer counts" in warning
    assert said in warning
    assert len(requests(folder)) == 1


def test_what_is_the_same_is_tried_again(folder: Path, keys: Keys) -> None:
    """One approval covers all attempts of its entry."""
    project(folder, apply=f"test -e again || {{ touch again; exit 5; }}; {APPLY}")
    orchestrate("run", "./out", "--config", "run.toml", *AGAIN, cwd=folder)
    approve(folder, keys["bob"])
    assert go_on(folder).code == 0
    assert len(requests(folder)) == 1


@pytest.mark.parametrize("changed", ["deploy.sh", "plan.md"])
def test_second_released_stage_is_not_run_as_something_else(
    folder: Path, keys: Keys, changed: str
) -> None:
    """The first stage must not rewrite what the second was approved with."""
    with_deployer(folder, f"{APPLY}; echo 'echo harm > deployed' > {changed}")
    assert begin(folder).code == 3
    approve(folder, keys["bob"])
    assert go_on(folder).code == 1
    assert not (folder / "deployed").exists()
    cause = report_of(folder / "out")["transitions"][-1]["cause"]
    assert "the approval of review no longer counts" in cause
    assert changed in cause or "the command of deployer has changed" in cause
    shown = " ".join(orchestrate("explain", "./out", cwd=folder).stdout.split())
    assert "the approval of review no longer counts" in shown
    if changed == "deploy.sh":
        assert go_on(folder).code == 3
        assert evidence(folder)["problem"] == "stale"
        assert approve(folder, keys["bob"]).code == 0
        assert go_on(folder).code == 0


def test_released_stages_hand_their_work_on(folder: Path, keys: Keys) -> None:
    """A stage may make what the next one runs, and append to a plan that it declares."""
    script = "echo 'cp plan.md deployed' > deploy.sh; echo '- applied' >> plan.md"
    with_deployer(folder, f"{APPLY}; {script}", ', "deploy.sh", "plan.md"')
    assert begin(folder).code == 3
    named = json.loads(requests(folder)[-1].read_text())["predicate"]["commands"]
    paths = [[Path(file["path"]).name for file in one["files"]] for one in named]
    assert [one[1:] for one in paths] == [["apply.sh"], []]
    approve(folder, keys["bob"])
    assert go_on(folder).code == 0
    assert (folder / "deployed").read_text() == "the plan\n- applied\n"
    assert len(requests(folder)) == 1
