"""The examples do what their pages say; what needs the network is left to `make demo`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fsm_orchestrator.gates.sources.base import Tools
from fsm_orchestrator.gates.sources.junit import JUnitSource
from tests.gates.policy_cases import needs_regorus, verdict_on
from tests.support.command import orchestrate, report_of

pytestmark = pytest.mark.one_in(2)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LINT_FIX = EXAMPLES / "lint_fix"
QUICKSTARTS = EXAMPLES / "quickstarts"

TINY = """\
# -*- coding: utf-8 -*-
import os


def greeting(name):
    return u"Hello, " + name
"""
TINY_FIXED = """\


def greeting(name):
    return "Hello, " + name
"""
TINY_TESTS = """\
import tiny


def test_greeting():
    assert tiny.greeting("you") == "Hello, you"
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return an unpacked package with an unused import, two old spellings and one passing test."""
    folder = tmp_path / "tiny-1.0"
    folder.mkdir()
    (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: tiny\nLicense: MIT\n")
    (folder / "tiny.py").write_text(TINY)
    (folder / "test_tiny.py").write_text(TINY_TESTS)
    return folder


def script(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts of lint_fix as the orchestrator would, under this interpreter."""
    command = [sys.executable, str(LINT_FIX / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def planned(package: Path) -> Path:
    """Plan the package's fixes and return the plan's path."""
    out = package.parent / "manager"
    completed = script("plan.py", package, out, "--select=F,UP009,UP025")
    assert completed.returncode == 0, completed.stderr
    return out / "action_plan.json"


def applied(package: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Plan and apply; the results are in `executor` next to the package."""
    return script("apply.py", package, planned(package), package.parent / "executor", *options)


def loaded(path: Path) -> Any:
    """Return the value in a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder, with its bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def ci_problem(package: Path, *tests: str) -> str | None:
    """Run the package's tests, and return what a ci gate finds wrong with their report."""
    report = package.parent / "tests.xml"
    script("check_ci.py", package, report, *tests)
    tools = cast("Tools", SimpleNamespace(now=datetime.now(UTC)))
    problem = JUnitSource(junit=(str(report),)).source(tools).collect(None, ()).record.problem
    return None if problem is None else problem.value


@pytest.mark.parametrize(
    ("tests", "problem"),
    [
        pytest.param(TINY_TESTS, None, id="all-pass"),
        pytest.param("def test_it():\n    assert False\n", "check_failed", id="one-fails"),
        pytest.param("import no_such_module\n", "check_failed", id="not-importable"),
        pytest.param("", "nothing_checked", id="no-test"),
        pytest.param(
            "import pytest\n\n\ndef test_it():\n    pytest.skip('not here')\n",
            "nothing_checked",
            id="all-skipped",
        ),
    ],
)
def test_check_ci_leaves_a_report_that_passes_only_when_tests_ran_and_passed(
    package: Path, tests: str, problem: str | None
) -> None:
    """A package whose tests fail or report nothing does not pass its gate."""
    (package / "test_tiny.py").write_text(tests)
    before = contents(package)
    assert ci_problem(package) == problem
    assert contents(package) == before


def test_check_ci_leaves_no_old_report_for_a_package_that_is_not_there(package: Path) -> None:
    """A check that could not run never passes its gate."""
    assert ci_problem(package) is None
    shutil.rmtree(package)
    assert ci_problem(package) == "not_found"


def requested(package: Path, rules: str) -> dict[str, Any]:
    """Write the request, and return it."""
    path = package.parent / "request.json"
    completed = script("request.py", package, path, f"--select={rules}")
    assert completed.returncode == 0, completed.stderr
    return dict(loaded(path)["request"])


def test_request_is_what_the_package_says(package: Path) -> None:
    """It has rules, license and files, and nothing of the package is changed."""
    before = contents(package)
    found = requested(package, "F401,UP009")
    assert found == {"rules": ["F401", "UP009"], "licence": "MIT", "files": ["tiny.py"]}
    assert contents(package) == before


@pytest.mark.parametrize("metadata", [None, "Name: tiny\n", "Name: tiny\nLicense: UNKNOWN\n"])
def test_no_request_is_left_when_no_licence_is_stated(package: Path, metadata: str | None) -> None:
    """An unstated license is not guessed, and an old request does not stay."""
    requested(package, "F401")
    (package / "PKG-INFO").unlink()
    if metadata is not None:
        (package / "PKG-INFO").write_text(metadata)
    completed = script("request.py", package, package.parent / "request.json", "--select=F")
    assert completed.returncode == 1
    assert completed.stderr.startswith("request: ")
    assert not (package.parent / "request.json").exists()


REQUEST = {"rules": ["F401", "UP009"], "licence": "MIT", "files": ["tiny.py"]}


@needs_regorus
@pytest.mark.parametrize(
    ("changes", "limits", "passed", "reason"),
    [
        pytest.param({}, {}, 100, None, id="all-covered"),
        pytest.param({"rules": ["F", "UP"]}, {}, 100, "rule UP is not", id="wider-than-allowed"),
        pytest.param({"rules": ["FURB"]}, {}, 100, "rule FURB is not", id="another-family"),
        pytest.param({"licence": "ISC"}, {}, 100, "licence ISC", id="licence"),
        pytest.param({"files": ["a", "b"]}, {"files": 1}, 100, "(a, b), 1 may", id="many-files"),
        pytest.param({}, {}, 99, "fewer than 100 tests", id="few-tests"),
        pytest.param({}, {}, None, "fewer than 100 tests", id="no-tests"),
    ],
)
def test_policy_allows_only_what_the_limits_cover(
    tmp_path: Path,
    changes: dict[str, Any],
    limits: dict[str, Any],
    passed: int | None,
    reason: str | None,
) -> None:
    """Each objection denies alone, and is printed."""
    request = {**REQUEST, **changes}
    data = {
        "limits": {**loaded(LINT_FIX / "limits.json")["limits"], **limits},
        "request": request,
    }
    (tmp_path / "data.json").write_text(json.dumps(data))
    evidence = None if passed is None else {"checks": {"passed": passed}}
    given: dict[str, Any] = {
        "gates": {"ci": {"passed": True, "evidence": evidence}},
        "stages": {"manager": {"args": ["plan.py", f"--select={','.join(request['rules'])}"]}},
    }
    policy = (LINT_FIX / "policy.rego").read_text()
    more = {"data": [["data.json", str(tmp_path / "data.json")]], "query": "data.lint_fix.allow"}
    said = verdict_on(tmp_path, "rego", policy, given, **more)
    assert said["verdict"] == ("allowed" if reason is None else "denied")
    assert (reason or "") in said["stderr"]
    given["stages"]["manager"]["args"] = ["plan.py", "--select=ALL"]
    said = verdict_on(tmp_path, "rego", policy, given, **more)
    assert said["verdict"] == "denied"
    assert "the manager is told to apply other rules" in said["stderr"]


def test_shipped_limits_differ_only_in_the_number_of_files() -> None:
    """The stricter limits differ only in a smaller number of files, as the demo says."""
    limits, strict = (loaded(LINT_FIX / name) for name in ("limits.json", "limits-strict.json"))
    assert limits["limits"].pop("files") > strict["limits"].pop("files")
    assert limits == strict


def test_plan_names_findings_and_files_and_changes_nothing(package: Path) -> None:
    """The plan lists what would be fixed and where; the package stays unchanged."""
    before = contents(package)
    plan = loaded(planned(package))
    assert [(found["code"], found["fixable"]) for found in plan["findings"]] == [
        ("UP009", True),
        ("F401", True),
        ("UP025", True),
    ]
    assert [(entry["file"], entry["fixes"]) for entry in plan["files"]] == [("tiny.py", 3)]
    report = loaded(package.parent / "manager" / "run_report.json")
    assert report["would_fix_by_rule"] == {"F401": 1, "UP009": 1, "UP025": 1}
    assert contents(package) == before


def test_plan_fails_with_a_message_on_a_rule_that_does_not_exist(package: Path) -> None:
    """A rule that ruff refuses fails the stage with the reason, and leaves no plan."""
    completed = script("plan.py", package, package.parent / "manager", "--select=NOSUCH")
    assert completed.returncode == 1
    assert completed.stderr.startswith("plan: ruff exited 2")
    assert not (package.parent / "manager").exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="the patch is tried with git apply")
@pytest.mark.parametrize(
    ("other", "fixed"),
    [
        pytest.param(b"import os\n", b"", id="becomes-empty"),
        pytest.param(b"import os\nx = 1", b"x = 1", id="no-last-newline"),
        pytest.param(b"import os\r\nx = 1\r\n", b"x = 1\r\n", id="crlf"),
        pytest.param(b"import os\nx = 1\n\x0cy = 2\n", b"x = 1\n\x0cy = 2\n", id="form-feed"),
    ],
)
def test_apply_leaves_a_patch_that_applies_and_a_true_test_report(
    package: Path, other: bytes, fixed: bytes
) -> None:
    """The patch makes the package what the tests passed on; the package itself is untouched."""
    (package / "other.py").write_bytes(other)
    before = contents(package)
    completed = applied(package)
    assert completed.returncode == 0, completed.stderr
    assert contents(package) == before
    report = loaded(package.parent / "executor" / "test_report.json")
    assert (report["outcome"], report["passed"], report["failed"]) == ("success", 1, 0)
    patch = package.parent / "executor" / "changes.patch"
    no_configuration = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", "apply", "--whitespace=nowarn", str(patch)]
    subprocess.run(command, cwd=package, env=no_configuration, check=True)
    assert (package / "tiny.py").read_text() == TINY_FIXED
    assert (package / "other.py").read_bytes() == fixed


def test_apply_fails_when_the_tests_fail_on_the_fixed_copy(package: Path) -> None:
    """Tests that passed before the fixes and fail after them fail the stage, with real counts."""
    (package / "test_tiny.py").write_text("import tiny\n\n\ndef test_it():\n    assert tiny.os\n")
    assert ci_problem(package) is None
    completed = applied(package)
    assert completed.returncode == 1
    assert completed.stderr.startswith("apply: tests on the fixed copy: failure")
    report = loaded(package.parent / "executor" / "test_report.json")
    assert (report["outcome"], report["passed"], report["failed"]) == ("failure", 0, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(["--tests=nowhere"], "tests on the fixed copy: missing", id="no-such-tests"),
        pytest.param(["--max-changed-lines=3"], "the patch changes 4 lines, 3 are", id="too-long"),
    ],
)
def test_apply_fails_with_the_reason_when_its_arguments_do_not_fit(
    package: Path, options: list[str], message: str
) -> None:
    """Without a test run there is no success, and a limit is enforced."""
    completed = applied(package, *options)
    assert completed.returncode == 1
    assert completed.stderr.startswith(f"apply: {message}")


def test_apply_refuses_a_plan_without_fixes(package: Path) -> None:
    """A package with nothing to fix gets no patch, and the output says why."""
    (package / "tiny.py").write_text(TINY_TESTS.replace("import tiny\n", "tiny = None\n"))
    completed = applied(package)
    assert completed.returncode == 1
    assert completed.stderr.startswith("apply: the patch is empty")


def test_apply_refuses_a_package_that_changed_since_the_plan(package: Path) -> None:
    """Only the planned files are fixed, and results of an earlier attempt are removed."""
    assert applied(package).returncode == 0
    plan = package.parent / "manager" / "action_plan.json"
    with (package / "tiny.py").open("a") as file:
        file.write("x = 1\n")
    completed = script("apply.py", package, plan, package.parent / "executor")
    assert completed.returncode == 1
    assert completed.stderr == "apply: tiny.py has changed since it was planned for: plan again\n"
    assert list((package.parent / "executor").iterdir()) == []


def test_apply_refuses_a_plan_that_names_a_file_outside_the_package(package: Path) -> None:
    """A plan cannot reach beyond the package."""
    plan = planned(package)
    value = loaded(plan)
    (package.parent / "outside.py").write_text("import os\n")
    value["files"][0]["file"] = "../outside.py"
    plan.write_text(json.dumps(value))
    completed = script("apply.py", package, plan, package.parent / "executor")
    assert completed.returncode == 1
    assert "../outside.py, which is no file of the package" in completed.stderr


def quickstart(name: str, folder: Path) -> dict[str, Any]:
    """Run a quickstart in `folder` with its default directory and return the report."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = os.environ | {"PATH": path, "XDG_STATE_HOME": str(folder / "state")}
    completed = subprocess.run(
        [str(QUICKSTARTS / name)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    return dict(loaded(folder / "out" / "orchestrator_run_report.json"))


@pytest.mark.parametrize("name", ["dry_run.sh", "ci_like.sh"])
def test_quickstart_ends_done_and_ready_for_closure(name: str, tmp_path: Path) -> None:
    """Each quickstart closes its run, and does so again in a used directory."""
    first, second = quickstart(name, tmp_path), quickstart(name, tmp_path)
    for report in (first, second):
        assert report["terminal_state"] == "done"
        assert report["closure_ready"] is True
        assert [(entry["stage"], entry["status"]) for entry in report["stage_executions"]] == [
            ("manager", "success"),
            ("executor", "success"),
        ]
    assert first["run_id"] != second["run_id"]


def test_ci_like_quickstart_judges_the_artifacts_of_its_manager(tmp_path: Path) -> None:
    """The report holds the digests of both files that the manager had to leave."""
    report = quickstart("ci_like.sh", tmp_path)
    artifacts = report["stage_executions"][0]["artifacts"]
    assert [Path(artifact["path"]) for artifact in artifacts] == [
        tmp_path / "out" / "manager" / "action_plan.json",
        tmp_path / "out" / "manager" / "run_report.json",
    ]


def test_stand_in_executor_refuses_an_environment_that_is_not_strict() -> None:
    """Without the pairs of the CI-like quickstart the stand-in fails, naming each of them."""
    stand_in = QUICKSTARTS / "stand_ins" / "autonomous_dev_ai"
    almost = {"PATH": os.environ["PATH"], "AUTONOMOUS_REVIEW_REQUIRED": "secret"}
    completed = subprocess.run(
        [str(stand_in)], env=almost, capture_output=True, text=True, check=False
    )
    assert completed.returncode == 1
    assert completed.stderr.count("must be") == 6
    assert "secret" not in completed.stderr


def test_gates_of_ones_own_hold_a_build_and_its_release(tmp_path: Path) -> None:
    """The package is built, inspected and released; a license that is not allowed stops it."""
    folder = tmp_path / "own_gates"
    shutil.copytree(EXAMPLES / "own_gates", folder)
    assert orchestrate("./out", "--config", "release.toml", cwd=folder).code == 3
    report = report_of(folder / "out")
    assert report["blocked_reason_codes"] == ["GATE_RELEASE_NOT_GO"]
    assert [one["stage"] for one in report["stage_executions"]] == ["build"]
    license_gate = report["gate_decisions"][3]
    assert (license_gate["gate"], license_gate["passed"]) == ("license", True)
    assert license_gate["evidence"]["source"] == "command"
    assert orchestrate("./out", "--resume", "--release-status", "go", cwd=folder).code == 0
    with (folder / "licenses.txt").open("a") as file:
        file.write("GPL-3.0\n")
    assert orchestrate("./again", "--config", "release.toml", cwd=folder).code == 3
    report = report_of(folder / "again")
    assert report["blocked_reason_codes"][0] == "GATE_LICENSE_NOT_CLEAR"
    assert report["stage_executions"] == []
