"""A lifecycle's own gates, as an operator uses them: options, config file, sources, records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

import fsm_orchestrator
from fsm_orchestrator import RunConfig, StageGiven
from fsm_orchestrator.errors import ReportError, UsageError
from tests.approvals.approval_cases import line, make_key
from tests.gates.evidence_cases import GATE_SIGNAL, TEST_RESULT, VSA, sha256_of, statement, write
from tests.gates.github_cases import APPROVALS, CHECKS, SUBJECT, StandIn, check
from tests.support.command import CHECKPOINT, EVENTS, PASSING, REPORT, Ended, orchestrate, report_of

pytestmark = pytest.mark.one_in(2)

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "own_gates" / "guarded_release.toml"
LIFECYCLE: Final = ("--lifecycle", str(EXAMPLE))
STAGES: Final = ("--build-bin", "true", "--deploy-bin", "true")
CLEAR: Final = ("--license-status", "clear")
CODES: Final = {"license": "GATE_LICENSE_NOT_CLEAR", "release": "GATE_RELEASE_NOT_GO"}
GATES: Final = '[gates]\npolicy = "allow"\nci = "success"\nreview = "approved"\n'
TABLES: Final = '[stage.build]\nbin = "true"\n[stage.deploy]\nbin = "true"\n'


def config(folder: Path, text: str = "", gates: str = GATES) -> tuple[str, ...]:
    """Write a config file for the example; return the words that name it."""
    (folder / "run.toml").write_text(f'lifecycle = "{EXAMPLE}"\n{gates}{text}\n{TABLES}')
    return ("--config", "run.toml")


def decided(folder: Path, gate: str) -> dict[str, Any]:
    """Return the decision of a gate in the report."""
    found: dict[str, Any] = next(
        one for one in report_of(folder / "out")["gate_decisions"] if one["gate"] == gate
    )
    return found


def test_run_is_done_when_its_own_gates_have_passed_too(tmp_path: Path) -> None:
    """From the first refusal to done, the records, codes, screens and next commands are right."""
    words = ("./out", *LIFECYCLE, *PASSING, *STAGES)
    ended = orchestrate(*words, cwd=tmp_path)
    assert ended.code == 3
    report = report_of(tmp_path / "out")
    assert [one["gate"] for one in report["gate_decisions"]] == [
        *("policy", "ci", "review"),
        *("license", "release"),
    ]
    assert report["blocked_reason_codes"] == [CODES["license"]]
    assert "release" not in ended.stdout
    assert report["stage_executions"] == []
    assert [(one["name"], one["title"]) for one in report["own_gates"]] == [
        ("license", "License review"),
        ("release", "Release decision"),
    ]
    assert "gate license" in ended.stdout or "license  missing" in ended.stdout
    # `release` is judged when there is a build: no screen asks for its signal now.
    assert "./out --resume --license-status clear\n" in ended.stdout
    explained = orchestrate("explain", "./out", cwd=tmp_path).stdout
    assert "gate license (License review) refused: its signal is missing, and only" in explained
    assert "the people who answer for license:" in explained
    assert "gate release" not in explained

    ended = orchestrate("./out", "--resume", *CLEAR, cwd=tmp_path)
    assert ended.code == 3
    report = report_of(tmp_path / "out")
    assert report["blocked_reason_codes"] == [CODES["release"]]
    assert [one["stage"] for one in report["stage_executions"]] == ["build"]
    assert "./out --resume --release-status go\n" in ended.stdout
    assert decided(tmp_path, "license")["status"] == "clear"
    shown = orchestrate("gates", "./out", cwd=tmp_path)
    assert shown.code == 3
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["!", "release", "missing", "go", "not", "given", "refused"] in rows

    assert orchestrate("./out", "--resume", "--release-status", "go", cwd=tmp_path).code == 0
    report = report_of(tmp_path / "out")
    assert (report["terminal_state"], report["closure_ready"]) == ("done", True)
    assert all(one["passed"] for one in report["gate_decisions"])
    events = (tmp_path / "out" / EVENTS).read_text().splitlines()
    judged = [json.loads(one)["decision"]["gate"] for one in events if '"gate.decided"' in one]
    assert judged.count("license") == judged.count("policy") >= 3
    assert orchestrate("gates", "./out", "--json", cwd=tmp_path).code == 0
    refused = orchestrate("./out", "--resume", "--release-status", "no_go", cwd=tmp_path)
    assert refused.code == 2
    assert "the run is done with release go; no_go contradicts it" in refused.stderr


def test_signal_given_before_there_is_a_build_does_not_pass(tmp_path: Path) -> None:
    """A gate after a stage is like review there: a signal typed earlier does not count."""
    words = ("./out", *LIFECYCLE, *PASSING, *STAGES, *CLEAR, "--release-status", "go")
    planned = orchestrate("plan", *words, cwd=tmp_path).stdout
    assert "gate release is judged after a stage: its signal is to come" in planned
    assert "would end: blocked" in planned
    assert orchestrate(*words, cwd=tmp_path).code == 3
    decision = decided(tmp_path, "release")
    assert (decision["status"], decision["evidence"]["problem"]) == ("missing", "too_old")


MISTYPED: Final = {
    "a value of the gate": (
        (*LIFECYCLE, "--license-status", "claer"),
        "'claer' is not one of clear, flagged, missing; did you mean 'clear'?",
    ),
    "its option": ((*LIFECYCLE, "--licence-status", "clear"), "did you mean '--license-status'?"),
    "a gate that the lifecycle has not": (
        ("--license-status", "clear"),
        "no option --license-status",
    ),
    "twice": (
        (*LIFECYCLE, *CLEAR, "--license-status", "flagged"),
        "--license-status was given 2 times",
    ),
}


@pytest.mark.parametrize("name", MISTYPED)
def test_mistyped_option_names_what_was_meant(name: str, tmp_path: Path) -> None:
    """The file system stays unchanged; an option of no gate gets the way to declare a gate."""
    words, said = MISTYPED[name]
    ended = orchestrate("./out", *words, cwd=tmp_path)
    assert ended.code == 2
    assert said in " ".join(ended.stderr.split())
    if name == "a gate that the lifecycle has not":
        assert "[[gate]]" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_options_are_shown_and_completed_for_the_lifecycle_in_use(tmp_path: Path) -> None:
    """They are in the help, in completion, and for a run by its kept lifecycle."""
    shown = orchestrate("run", "--help-all", *LIFECYCLE, cwd=tmp_path).stdout
    words = " ".join(shown.split())
    assert "--license-status [clear|flagged|missing] License review. Passes: clear." in words
    assert "Not given: missing." in words
    assert "--license-status" not in orchestrate("run", "--help", cwd=tmp_path).stdout
    assert orchestrate("./out", *LIFECYCLE, *PASSING, *STAGES, cwd=tmp_path).code == 3
    for typed, offered in (
        (f"run ./out --lifecycle {EXAMPLE} --lic", "--license-status"),
        (f"run ./out --lifecycle {EXAMPLE} --license-status f", "flagged"),
        ("run ./out --resume --rel", "--release-status"),
    ):
        env = {
            "_FSM_ORCHESTRATOR_COMPLETE": "bash_complete",
            "COMP_WORDS": f"fsm-orchestrator {typed}",
            "COMP_CWORD": str(len(typed.split())),
        }
        assert f"plain,{offered}\n" in orchestrate(cwd=tmp_path, env=env).stdout


def test_config_file_gives_signals_and_of_two_the_stricter_counts(tmp_path: Path) -> None:
    """The file and an option of a declared gate are weighed like those of any other."""
    file = config(tmp_path, gates=f'{GATES}license = "flagged"\n')
    assert orchestrate("run", "./out", *file, *CLEAR, cwd=tmp_path).code == 3
    decision = decided(tmp_path, "license")
    assert (decision["status"], decision["source"]) == ("flagged", "config")
    shown = json.loads(orchestrate("config", "show", "run.toml", "--json", cwd=tmp_path).stdout)
    found = {one["key"]: (one["value"], one["source"]) for one in shown}
    assert found["gates.license"] == ("flagged", "run.toml:6")
    file = config(tmp_path, gates=f'{GATES}license = "clear"\n')
    refusing = ("--license-status", "flagged")
    assert orchestrate("run", "./out", *file, *refusing, cwd=tmp_path).code == 3
    assert decided(tmp_path, "license")["source"] == "flag"
    assert orchestrate("run", "./out", *file, cwd=tmp_path).code == 3
    assert decided(tmp_path, "license")["source"] == "config"
    printed = orchestrate("run", "./x", *file, "--print-config", cwd=tmp_path)
    assert 'license = "clear"' in printed.stdout


def test_config_file_that_speaks_of_no_gate_is_refused(tmp_path: Path) -> None:
    """`config check` names its line, and a run refuses it: a gate, a source of one, a value."""
    unsure = '[gate.relase]\ncommand = ["true"]\n'
    file = config(tmp_path, unsure, gates=f'{GATES}licence = "clear"\n')
    ended = orchestrate("config", "check", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert "run.toml:6: the lifecycle" in ended.stderr
    assert "has no gate 'licence'; did you mean 'license'?" in ended.stderr
    assert "has no gate 'relase'; did you mean 'release'?" in ended.stderr
    for text, gates, said in (
        ("", f'{GATES}licence = "clear"\n', "no gate 'licence'; did you mean 'license'?"),
        (unsure, GATES, "no gate 'relase'; did you mean 'release'?"),
        ("", f'{GATES}license = "claer"\n', "no value 'claer'; did you mean 'clear'?"),
    ):
        file = config(tmp_path, text, gates)
        ended = orchestrate("run", "./out", *file, cwd=tmp_path)
        assert ended.code == 2
        assert said in ended.stderr
        assert not (tmp_path / "out").exists()


def test_program_gives_signals_by_name(tmp_path: Path) -> None:
    """A program can give any gate's signal; an unknown one is refused when it is run."""
    given = {"policy": "allow", "ci": "success", "review": "approved"}

    def asked(**gates: str) -> RunConfig:
        return RunConfig(
            output_directory=tmp_path / "out",
            lifecycle=EXAMPLE,
            gates={**given, **gates},
            stages={"build": StageGiven(bin="true"), "deploy": StageGiven(bin="true")},
        )

    report = fsm_orchestrator.run(asked(license="clear"))
    assert report.blocked_reason_codes == (CODES["release"],)
    assert report.gates["release"].words == "release (Release decision)"
    for gates, said in (
        ({"licence": "clear"}, "no gate 'licence'; did you mean 'license'"),
        ({"license": "claer"}, "no value 'claer'; did you mean 'clear'"),
    ):
        with pytest.raises(UsageError, match=said):
            fsm_orchestrator.run(asked(**gates))


def signal(digest: str, status: str, **more: Any) -> dict[str, Any]:
    """Return a statement with a signal of a gate."""
    predicate = {"status": status, "issuer": "lawyer", "issuedAt": "2026-01-02T03:04:05Z", **more}
    return statement({"sha256": digest}, GATE_SIGNAL, predicate)


def asked(folder: Path, source: str) -> Ended:
    """Run with `license` asking a source about a file."""
    file = config(folder, f'[subject]\nfiles = ["plan.txt"]\n[gate.license]\n{source}\n')
    return orchestrate("run", "./out", *file, cwd=folder)


def test_each_source_answers_for_a_gate_of_ones_own(tmp_path: Path) -> None:
    """It passes with its passing value, and gets its last one for any refusal of its source."""
    (tmp_path / "plan.txt").write_text("plan")
    digest = sha256_of(tmp_path / "plan.txt")
    (tmp_path / "a.xml").write_text('<testsuite><testcase name="a"/></testsuite>')
    (tmp_path / "b.xml").write_text(
        '<testsuite><testcase name="b"><failure>no</failure></testcase></testsuite>'
    )
    documents = {
        "clear": signal(digest, "clear", gate="license"),
        "flagged": signal(digest, "flagged"),
        "missing": signal(digest, "missing"),
        "pending": signal(digest, "clear", checks=[{"name": "a", "status": "pending"}]),
        "other": signal(digest, "go"),
        "foreign": signal("0" * 64, "clear"),
        "of_release": signal(digest, "clear", gate="release"),
        "tests": statement({"sha256": digest}, TEST_RESULT, {"result": "PASSED"}),
        "vsa": statement({"sha256": digest}, VSA, {"verificationResult": "PASSED"}),
    }
    for name, document in documents.items():
        write(tmp_path / f"{name}.json", document)
    for source, problem in (
        ('command = ["sh", "-c", "test $ORCHESTRATOR_GATE = license"]', None),
        ('command = ["false"]', "exit_code"),
        ('command = ["cat", "clear.json"]\nreads = "statement"', None),
        ('junit = ["a.xml"]', None),
        ('junit = ["*.xml"]', "check_failed"),
        ('statement = "clear.json"', None),
        ('statement = "flagged.json"', "check_failed"),
        ('statement = "missing.json"', "check_missing"),
        ('statement = "pending.json"', "check_pending"),
        ('statement = "other.json"', "wrong_predicate"),
        ('statement = "foreign.json"', "wrong_subject"),
        ('statement = "of_release.json"', "wrong_predicate"),
        ('statement = "tests.json"', "wrong_predicate"),
        ('statement = "vsa.json"', "wrong_predicate"),
        ('statement = "nowhere.json"', "not_found"),
    ):
        assert asked(tmp_path, source).code == 3  # `release` has no signal yet
        decision = decided(tmp_path, "license")
        assert decision["evidence"]["problem"] == problem, source
        assert decision["status"] == ("clear" if problem is None else "missing"), source
        assert decision["source"] == "evidence"
        assert decision["reason_code"] == (None if problem is None else CODES["license"])
        has_built = bool(report_of(tmp_path / "out")["stage_executions"])
        assert has_built is (problem is None)
    assert decision["evidence"]["file"] is None
    asked(tmp_path, 'statement = "vsa.json"')
    assert "the gate license reads urn:fsm-orchestrator:gate-signal" in str(
        decided(tmp_path, "license")["evidence"]["detail"]
    )
    assert (tmp_path / "out" / "evidence" / "license.1.json").exists()


def test_github_answers_for_a_gate_of_ones_own(tmp_path: Path) -> None:
    """Checks or reviews answer: only its lifecycle knows what a declared gate is about."""
    github = StandIn(tmp_path)
    github.has_checks([check("build"), check("test", "failure")])
    for source, problem in ((CHECKS, "check_failed"), (APPROVALS, "not_found")):
        file = config(tmp_path, f"{SUBJECT}\n[gate.license]\n{source}\n")
        ended = orchestrate("gates", *file, "--json", cwd=tmp_path, env=github.env)
        assert ended.code == 3
        found = next(one for one in json.loads(ended.stdout)["gates"] if one["gate"] == "license")
        assert (found["status"], found["evidence"]["problem"]) == ("missing", problem)
    github.has_checks([check("build"), check("test")])
    file = config(tmp_path, f"{SUBJECT}\n[gate.license]\n{CHECKS}\n")
    ended = orchestrate("gates", *file, "--json", cwd=tmp_path, env=github.env)
    found = next(one for one in json.loads(ended.stdout)["gates"] if one["gate"] == "license")
    assert (found["status"], found["passed"]) == ("clear", True)


def test_people_approve_a_gate_of_ones_own(tmp_path: Path) -> None:
    """It waits for people as review does, and passes with its own value."""
    key = make_key(tmp_path, "bob")
    (tmp_path / "signers").write_text(line(key, "bob@example.org"))
    asked = '[gate.release.approval]\nallowed_signers = "signers"\nrequester = "ann@example.org"\n'
    file = config(tmp_path, asked, gates=f'{GATES}license = "clear"\n')
    assert orchestrate("run", "./out", *file, cwd=tmp_path).code == 3
    request = tmp_path / "out" / "approvals" / "release.1.request.json"
    words = ("--key", key, "--digest", sha256_of(request))
    assert orchestrate("approve", "./out", *words, cwd=tmp_path).code == 0
    assert orchestrate("./out", "--resume", cwd=tmp_path).code == 0
    decision = decided(tmp_path, "release")
    assert (decision["status"], decision["evidence"]["source"]) == ("go", "approval")


def test_gate_holds_when_the_run_would_close(tmp_path: Path) -> None:
    """Lost evidence keeps the run from done, as with the mandatory gates."""
    (tmp_path / "plan.txt").write_text("plan")
    write(tmp_path / "ok.json", signal(sha256_of(tmp_path / "plan.txt"), "clear"))
    file = config(
        tmp_path,
        '[subject]\nfiles = ["plan.txt"]\n[gate.license]\nstatement = "ok.json"\n',
    )
    text = (tmp_path / "run.toml").read_text()
    gone = '[stage.deploy]\nbin = "rm"\nargs = ["ok.json"]\ncwd = "."'
    (tmp_path / "run.toml").write_text(text.replace('[stage.deploy]\nbin = "true"', gone))
    assert orchestrate("run", "./out", *file, cwd=tmp_path).code == 3
    words = ("--resume", "--release-status", "go")
    assert orchestrate("run", "./out", *words, cwd=tmp_path).code == 3
    report = report_of(tmp_path / "out")
    assert report["blocked_reason_codes"] == [CODES["license"]]
    assert report["stage_executions"][-1]["status"] == "success"
    assert report["transitions"][-1]["source"] == "deploy"


def test_resume_follows_the_gates_that_it_began_with(tmp_path: Path) -> None:
    """Kept signals stay, a changed declaration is another relation, a changed title is shown."""
    mine = tmp_path / "mine.toml"
    shutil.copy(EXAMPLE, mine)
    words = ("./out", "--lifecycle", "./mine.toml", *PASSING, *CLEAR, *STAGES)
    assert orchestrate(*words, cwd=tmp_path).code == 3
    given = json.loads((tmp_path / "out" / CHECKPOINT).read_text())["origins"]["by_setting"]
    assert given["gates.license"]["source"] == "flag"
    mine.write_text(EXAMPLE.read_text().replace("License review", "Licenses"))
    resumed = orchestrate("./out", "--resume", cwd=tmp_path)
    assert resumed.code == 3
    assert decided(tmp_path, "license")["source"] == "checkpoint"
    assert any(
        "the title of gate license is 'Licenses'" in one
        for one in report_of(tmp_path / "out")["warnings"]
    )
    mine.write_text(EXAMPLE.read_text().replace('"flagged", ', ""))
    refused = orchestrate("./out", "--resume", "--lifecycle", "./mine.toml", cwd=tmp_path)
    assert refused.code == 2
    assert "the run to resume follows the lifecycle" in refused.stderr
    assert orchestrate("./out", "--resume", "--release-status", "go", cwd=tmp_path).code == 0


FORGED: Final[Mapping[str, tuple[Callable[[Any], object], str]]] = {
    "a signal less": (lambda it: it["gate_signals"].pop(), "must hold one signal for each gate"),
    "a decision less": (
        lambda it: it["invocations"][0]["gate_decisions"].pop(),
        "must be none, or one for each gate",
    ),
    "a value that the gate does not know": (
        lambda it: it["gate_signals"][3].update(status="allow"),
        "unknown value for license",
    ),
    "a source of no gate": (
        lambda it: it["sources"].update(tax={"command": ["true"]}),
        "no gate 'tax'",
    ),
    "a declaration less": (lambda it: it["lifecycle"]["gate"].pop(), "lifecycle"),
    "a gate without values": (lambda it: it["lifecycle"]["gate"][0].update(values=[]), "lifecycle"),
}


def test_forged_records_are_refused(tmp_path: Path) -> None:
    """A checkpoint with a missing or an additional gate is not resumed."""
    output = tmp_path / "out"
    assert orchestrate("./out", *LIFECYCLE, *PASSING, *STAGES, cwd=tmp_path).code == 3
    kept, report = (output / CHECKPOINT).read_text(), report_of(output)
    for name, (forge, said) in FORGED.items():
        document = json.loads(kept)
        forge(document)
        (output / CHECKPOINT).write_text(json.dumps(document))
        ended = orchestrate("./out", "--resume", cwd=tmp_path)
        assert ended.code == 1, name
        assert said in ended.stderr, (name, ended.stderr)
    report["own_gates"] = []
    (output / REPORT).write_text(json.dumps(report, indent=2))
    with pytest.raises(ReportError, match="it is not a report of this program"):
        fsm_orchestrator.load_report(output)
