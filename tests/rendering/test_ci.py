"""Reports for CI systems: test cases, a summary, annotations."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.command import PASSING, Ended, orchestrate, shell
from tests.support.junit_rules import wrong_in

HOSTILE = (
    r"printf '::error::injected\n  ##[error]injected\n\033[31mred\033[0m <b>&amp; ]]> \000 \377"
    r" \357\277\276 | @someone [x](http://example.org) `x`\n'; "
    r"printf '::set-output name=a::b\n##[group]x\n' >&2; exit 3"
)
SECRET = {"TOKEN": "s3same-oil"}


def ran(tmp_path: Path, *more: str, executor: str = HOSTILE, **extra: str) -> Ended:
    """Make a run in `out` whose executor is a script."""
    stages = ("--manager-bin", "true", *shell("executor", executor))
    return orchestrate("run", "out", *PASSING, *stages, *more, cwd=tmp_path, env=extra)


def junit_of(tmp_path: Path) -> ET.Element:
    """Return the JUnit document of the run in `out` after checking it."""
    written = orchestrate("report", "out", "--junit", "-", cwd=tmp_path)
    assert written.code == 0, written.stderr
    assert wrong_in(written.stdout) == []
    return ET.fromstring(written.stdout)  # noqa: S314 - our own


def cases(root: ET.Element) -> dict[str, str]:
    """Return the result of each case, by its class and name."""
    told = {}
    for case in root.iter("testcase"):
        kind = next((one for one in ("failure", "skipped") if case.find(one) is not None), "passed")
        told[f"{case.get('classname')}: {case.get('name')}"] = kind
    return told


# -- JUnit -------------------------------------------------------------------------------------


def test_cases_of_a_run_that_failed_and_was_resumed(tmp_path: Path) -> None:
    """Each execution of a stage is a case, and so is the readiness to close."""
    assert ran(tmp_path, executor="echo broken >&2; exit 3").code == 1
    root = junit_of(tmp_path)
    assert cases(root) == {
        "governed_run.run: may be closed": "failure",
        **{f"governed_run.gates: {gate}": "passed" for gate in ("policy", "ci", "review")},
        "governed_run.stages: manager": "passed",
        "governed_run.stages: executor": "failure",
    }
    failure = root.find(".//testcase[@name='executor']/failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("exited", "exited with code 3")
    assert failure.text == "exited with code 3\nbroken"

    resumed = orchestrate("out", "--resume", *shell("executor", "exit 0"), cwd=tmp_path)
    assert resumed.code == 0
    assert cases(junit_of(tmp_path)) == {
        "governed_run.run: may be closed": "passed",
        **{f"governed_run.gates: {gate}": "passed" for gate in ("policy", "ci", "review")},
        "governed_run.stages: manager": "skipped",
        "governed_run.stages: executor (attempt 2)": "passed",
    }


def test_gate_that_refuses_is_a_failure(tmp_path: Path) -> None:
    """A refusing gate is a failure with its reason code, and no stage appears to have run."""
    signals = [word if word != "allow" else "deny" for word in PASSING]
    assert orchestrate("run", "out", *signals, cwd=tmp_path).code == 3
    root = junit_of(tmp_path)
    assert cases(root)["governed_run.gates: policy"] == "failure"
    failure = root.find(".//testcase[@name='policy']/failure")
    assert failure is not None
    assert failure.get("type") == "GATE_POLICY_DENIED_OR_UNKNOWN"
    assert root.find(".//testsuite[@name='stages']") is None


def test_verifications_are_a_suite_of_their_own(tmp_path: Path) -> None:
    """Verifications are named by stage and command; a failed one has its last lines."""
    checks = ("true", "sh -c 'printf \"\\033[31m<2> tests\\033[0m failed\"; exit 5'")
    given = [word for check in checks for word in ("--executor-verify", check)]
    assert ran(tmp_path, *given, executor="echo worked").code == 1
    root = junit_of(tmp_path)
    named = [f"executor: {check}" for check in checks]
    suite = root.find(".//testsuite[@name='verification']")
    assert suite is not None
    assert [one.get("name") for one in suite.iter("testcase")] == named
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    (failure,) = suite.iter("failure")
    assert (failure.get("type"), failure.get("message")) == ("exited", "exited with code 5")
    assert failure.text == "exited with code 5\n<2> tests failed"
    told = cases(root)
    assert told[f"governed_run.verification: {named[0]}"] == "passed"
    assert told["governed_run.stages: executor"] == "failure"
    worked = root.find(".//testcase[@name='executor']/system-out")
    assert worked is not None
    assert worked.text == "worked"

    again = orchestrate("out", "--resume", "--reverify", "--executor-verify", "true", cwd=tmp_path)
    assert again.code == 0, again.stderr
    told = cases(junit_of(tmp_path))
    assert told["governed_run.verification: executor (attempt 2): true"] == "passed"


def test_verification_that_failed_is_told_once_on_github(tmp_path: Path) -> None:
    """The stage's annotation names the failed verification; the output of both can be unfolded."""
    check = ("--executor-verify", "sh -c 'echo bad; exit 5'", "--ci")
    ended = ran(tmp_path, *check, executor="echo worked", **on_github(tmp_path))
    groups = [line for line in acted_on(ended.stderr) if line.startswith("::group::")]
    (error,) = [line for line in acted_on(ended.stderr) if line.startswith("::error ")]
    assert [line.split(" failed")[0] for line in groups] == [
        "::group::stage executor",
        "::group::verification executor: sh -c 'echo bad; exit 5'",
    ]
    assert error.startswith("::error title=stage executor::")
    assert "echo bad" in error


def test_run_that_is_done_and_whose_artifact_is_gone_fails(tmp_path: Path) -> None:
    """A missing artifact counts against closing, whatever the report said."""
    made = ("--executor-expected-artifact", "made.txt")
    assert ran(tmp_path, *made, executor="echo x > made.txt").code == 0
    assert cases(junit_of(tmp_path))["governed_run.run: may be closed"] == "passed"
    (tmp_path / "made.txt").unlink()
    assert cases(junit_of(tmp_path))["governed_run.run: may be closed"] == "failure"


def test_any_output_makes_a_valid_document(tmp_path: Path) -> None:
    """Markup, control characters and invalid bytes are text in a valid document."""
    assert ran(tmp_path).code == 1
    out = junit_of(tmp_path).find(".//testcase[@name='executor']/system-out")
    assert out is not None
    assert out.text is not None
    assert "red <b>&amp; ]]> \\x00 \\xff \\ufffe | @someone" in out.text


def test_secret_of_a_stage_is_masked(tmp_path: Path) -> None:
    """A secret of a stage is masked in every form."""
    ran(tmp_path, "--executor-secret", "TOKEN", executor='echo "$TOKEN"; exit 1', **SECRET)
    for form in ("--junit", "--markdown"):
        written = orchestrate("report", "out", form, "-", cwd=tmp_path, env=SECRET)
        assert written.stdout
        assert "s3same" not in written.stdout


@pytest.mark.parametrize(
    ("document", "wrong"),
    [
        ("<testsuite name='x' tests='0' failures='0' errors='0'/>", "the root is testsuite"),
        (
            "<testsuites><testsuite name='x' tests='1' failures='0' errors='0'/></testsuites>",
            "says 1",
        ),
        ("<testsuites><testcase name='x'/></testsuites>", "testcase in testsuites"),
        ("<testsuites time='1 s'/>", "time"),
    ],
)
def test_rules_find_what_is_wrong(document: str, wrong: str) -> None:
    """The checker that the other tests use finds problems."""
    assert any(wrong in one for one in wrong_in(document))


# -- Markdown ----------------------------------------------------------------------------------


def test_summary_says_what_counts_in_thirty_lines(tmp_path: Path) -> None:
    """The summary has standing, cause, gates, stages and the next command; tables stay intact."""
    assert ran(tmp_path).code == 1
    written = orchestrate("report", "out", "--markdown", "-", cwd=tmp_path).stdout
    lines = written.splitlines()
    assert len(lines) <= 30
    assert lines[0].startswith("### \u274c failed: run ")
    assert "**may not be closed**, lifecycle governed\\_run" in lines
    assert "- stage executor, attempt 1&#58; exited with code 3" in lines
    assert all(line.count(" | ") == 3 for line in lines if line.startswith("| policy"))
    assert lines[-2] == "fsm-orchestrator out --resume"


def test_summary_of_a_run_with_forty_stages_fits(tmp_path: Path) -> None:
    """The summary names the first of many stages and counts the others."""
    names = ", ".join(f'"s{number}"' for number in range(40))
    (tmp_path / "long.toml").write_text(
        f'schema_version = 1\nname = "long"\ntitle = "x"\nstages = [{names}]\n'
    )
    asked = ("--lifecycle", "./long.toml", "--policy-status", "deny")
    assert orchestrate("run", "out", *asked, cwd=tmp_path).code == 3
    lines = orchestrate("report", "out", "--markdown", "-", cwd=tmp_path).stdout.splitlines()
    assert len(lines) <= 30
    assert "and 32 more stages" in lines


# -- GitHub Actions ----------------------------------------------------------------------------


def on_github(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a step in a job."""
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(tmp_path),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }


def acted_on(printed: str) -> list[str]:
    """Return the lines that a runner acts on, by the rules of its own code."""
    found, token = [], None
    for line in printed.splitlines():
        if token is not None:
            token = None if line.strip() == f"::{token}::" else token
            continue
        if line.lstrip().startswith("::stop-commands::"):
            token = line.strip().removeprefix("::stop-commands::")
        elif line.lstrip().startswith("::") or "##[" in line:
            found.append(line)
    assert token is None
    return found


def test_runner_acts_on_what_we_say_alone(tmp_path: Path) -> None:
    """A runner acts on no command that a stage prints, wherever its output is shown."""
    program = tmp_path / "apply.sh"
    script = HOSTILE.replace(r"\377", "")  # logs print it unchanged, and this is read as text
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    asked = (
        "run",
        "out",
        "--ci",
        *PASSING,
        "--manager-bin",
        "true",
        "--executor-bin",
        "./apply.sh",
    )
    env = on_github(tmp_path)
    ended = orchestrate(*asked, cwd=tmp_path, env=env)
    assert ended.code == 1
    assert acted_on(ended.stdout) == []
    assert acted_on(ended.stderr) == [
        "::group::stage executor failed: exited with code 3",
        "::endgroup::",
        "::error file=apply.sh,title=stage executor::exited with code 3",
    ]
    assert "::error::injected" in ended.stderr  # it is shown, between the two lines
    assert (tmp_path / "summary.md").read_text().startswith("### \u274c failed: run ")
    for words in (("logs", "out"), ("report", "out"), ("explain", "out"), ("status", "out")):
        shown = orchestrate(*words, cwd=tmp_path, env=env)
        assert acted_on(shown.stdout) == [], words


def test_artifact_that_is_wrong_is_the_file_of_the_annotation(tmp_path: Path) -> None:
    """A wrong artifact is the file of the annotation, relative to the checkout and escaped."""
    made = ("--executor-expected-artifact", "a,b:c%.json", "--ci")
    ended = ran(tmp_path, *made, executor="echo { > 'a,b:c%.json'", **on_github(tmp_path))
    assert ended.code == 1
    assert any(
        line.startswith("::error file=a%2Cb%3Ac%25.json,title=stage executor::")
        for line in acted_on(ended.stderr)
    )


def test_gates_come_first_and_no_more_than_are_shown(tmp_path: Path) -> None:
    """Refused gates are annotated first; without any, the run is."""
    asked = ("run", "out", "--ci", "--policy-status", "deny", "--ci-status", "failure")
    ended = orchestrate(*asked, cwd=tmp_path, env=on_github(tmp_path))
    assert [line.partition("::")[2].partition("::")[0] for line in acted_on(ended.stderr)] == [
        f"error title=gate {gate}" for gate in ("policy", "ci", "review")
    ]


def test_refused_request_is_told_with_its_remedy(tmp_path: Path) -> None:
    """A refused request is annotated with its remedy, though no run exists."""
    asked = ("run", "out", "--ci", "--config", "none.toml")
    ended = orchestrate(*asked, cwd=tmp_path, env=on_github(tmp_path))
    assert ended.code == 2
    (told,) = acted_on(ended.stderr)
    assert told.startswith("::error title=not started::")
    assert "%0A" in told


@pytest.mark.parametrize("place", ["no/such/summary.md", "full"])
def test_summary_that_cannot_be_written_is_a_warning(tmp_path: Path, place: str) -> None:
    """A summary that cannot be written is a warning and never changes the outcome."""
    (tmp_path / "full").write_bytes(b"x" * 900_000)
    told = {**on_github(tmp_path), "GITHUB_STEP_SUMMARY": str(tmp_path / place)}
    ended = ran(tmp_path, "--ci", executor="exit 0", **told)
    assert ended.code == 0
    assert "warning: no summary of the step was written" in ended.stderr
    assert (tmp_path / "full").stat().st_size == 900_000


def test_elsewhere_the_option_does_nothing(tmp_path: Path) -> None:
    """Outside of CI the option does nothing, so that one command line works everywhere."""
    ended = ran(tmp_path, "--ci", executor="exit 0")
    assert ended.code == 0
    assert acted_on(ended.stderr) == []


def test_forms_exclude_each_other(tmp_path: Path) -> None:
    """A command prints one document only."""
    assert ran(tmp_path, executor="exit 0").code == 0
    refused = orchestrate("report", "out", "--junit", "-", "--json", cwd=tmp_path)
    assert (refused.code, refused.stdout) == (2, "")
    assert "--junit and --json exclude each other" in refused.stderr
