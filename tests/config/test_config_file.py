"""The config file: what it may say, how it combines with flags, and the source of values."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.config.config_file import ConfigFile, combined
from fsm_orchestrator.config.config_reading import load
from fsm_orchestrator.config.config_text import config_text
from fsm_orchestrator.config.run_config import RunConfig, StageGiven
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.spelled_out import NAMES_OF
from fsm_orchestrator.text.toml import line_of
from fsm_orchestrator.vocabulary import Gate, GateSource
from tests.support.command import Ended, orchestrate, report_of, stages, tree_of

FULL = """\
# a run
schema_version = 1
lifecycle = "governed_run"
timeout_ms = 7000
kill_grace_ms = 0

[gates]
policy = "allow"
ci = "success"
review = "approved"

[stage.manager]
bin = "/bin/sh"
args = [
  "-c",
  'printf "%s|%s" "$A" "$B" > seen',
]
env = { A = "from the file", B = "kept" }
expected_artifacts = ["seen"]
cwd = "."

[stage.executor]
bin = "/bin/sh"
args = ["-c", "exit 0"]
timeout_ms = 9000
allow_stale = true
"""


@pytest.fixture(name="desk")
def desk_with_config(tmp_path: Path) -> Path:
    """Return a directory with a config file that uses every kind of key."""
    (tmp_path / "run.toml").write_text(FULL)
    return tmp_path


def settings(desk: Path, what: str) -> dict[str, tuple[Any, str]]:
    """Return value and source of each setting, from `config show --json`."""
    shown = orchestrate("config", "show", what, "--json", cwd=desk)
    assert shown.code == 0, shown.stderr
    return {row["key"]: (row["value"], row["source"]) for row in json.loads(shown.stdout)}


def test_show_has_every_key_and_tells_first_what_was_set(desk: Path) -> None:
    """The full list has every possible key; the first one has only those that are set."""
    shown = orchestrate("config", "show", "run.toml", "--all", cwd=desk).stdout
    keys = {line.split()[0] for line in shown.splitlines() if not line.startswith(" ")}
    own = {field.alias or name for name, field in ConfigFile.model_fields.items()}
    typed = {NAMES_OF.get(key, key) for key in own}
    assert typed - {"schema_version", "relative_to", "gates", "gate", "stage"} <= keys
    (desk / "few.toml").write_text(
        'log_level = "error"\nlog_output = true\n\n[gates]\nci = "success"\n'
    )
    first = orchestrate("config", "show", "few.toml", cwd=desk).stdout.splitlines()
    assert [line.split() for line in first[:-1]] == [
        ["gates.ci", "few.toml:5", "success"],
        ["log_level", "few.toml:1", "error"],
        ["log_output", "few.toml:2", "true"],
    ]
    assert first[-1].endswith(
        "others have their defaults: fsm-orchestrator config show few.toml --all"
    )
    rows = json.loads(orchestrate("config", "show", "few.toml", "--json", cwd=desk).stdout)
    assert [one["key"] for one in rows if one["is_set"]] == ["gates.ci", "log_level", "log_output"]
    assert orchestrate(*shlex.split(first[-1].partition(": ")[2])[1:], cwd=desk).code == 0


TEMPLATES = """\
timeout = "120s"
[stage.manager]
bin = "true"
args = ["{out}/plan", "{run_id}"]
expected_artifacts = ["{out}/plan.json"]
output_limit_bytes = 67108864
retry = {max_attempts = 2, timeouts = true, backoff_ms = 90000}
"""


def test_show_writes_values_as_people_type_them(tmp_path: Path) -> None:
    """Durations and sizes have the key without the unit, and values known only in a run say so."""
    (tmp_path / "run.toml").write_text(TEMPLATES)
    shown = orchestrate("config", "show", "run.toml", cwd=tmp_path).stdout
    rows = {line.split()[0]: line.split()[1:] for line in shown.splitlines()}
    assert rows["timeout"] == ["run.toml:1", "2m"]
    assert rows["stage.manager.output_limit"] == ["run.toml:6", "64MiB"]
    assert rows["stage.manager.retry.backoff_wait"] == ["run.toml:7", "1m30s"]
    assert rows["stage.manager.args"][1:] == ["'{out}/plan'", "'{run_id}'"]
    assert "out-of-config-check" not in shown
    assert (
        "\n{out} is the run's directory: fsm-orchestrator config show run.toml OUT fills" in shown
    )
    in_full = orchestrate("config", "show", "run.toml", "--all", cwd=tmp_path).stdout
    assert re.search(r"^stage\.manager\.timeout +as timeout +2m$", in_full, re.MULTILINE)
    assert re.search(r"^stage\.manager\.retry\.backoff_max +default +1m$", in_full, re.MULTILINE)
    assert "_ms" not in in_full
    values = settings(tmp_path, "run.toml")
    assert values["timeout_ms"] == (120_000, "run.toml:1")
    assert values["stage.manager.expected_artifacts"][0] == ["{out}/plan.json"]


def test_show_fills_in_the_directory_that_is_named(tmp_path: Path) -> None:
    """With OUT after a file, its paths are those of a run there; a run has its own already."""
    (tmp_path / "run.toml").write_text(TEMPLATES)
    shown = orchestrate("config", "show", "run.toml", "./here", cwd=tmp_path).stdout
    assert f"  {tmp_path}/here/plan.json\n" in shown
    assert "{out}" not in shown
    assert not (tmp_path / "here").exists()
    assert orchestrate("here", "--config", "run.toml", cwd=tmp_path).code == 3
    refused = orchestrate("config", "show", "here", "here", cwd=tmp_path)
    assert refused.code == 2
    assert "unexpected 'here'" in refused.stderr


def test_show_of_a_run_says_once_where_its_settings_are_kept(desk: Path) -> None:
    """A fact that all settings have in common is stated once, above them."""
    assert orchestrate("out", "--config", "run.toml", cwd=desk).code == 0
    first, *others = orchestrate("config", "show", "out", cwd=desk).stdout.splitlines()
    assert first == "from out/orchestrator_checkpoint.json"
    assert others[0].split() == ["lifecycle", "governed_run"]


def test_a_file_alone_runs_the_whole_pipeline(desk: Path) -> None:
    """Every key of the file takes effect, and the gates say that they came from it."""
    ended = orchestrate("out", "--config", "run.toml", cwd=desk)
    assert ended.code == 0, ended.stderr
    report = report_of(desk / "out")
    assert {one["source"] for one in report["gate_decisions"]} == {"config"}
    assert (desk / "seen").read_text() == "from the file|kept"
    assert [one["path"] for one in report["stage_executions"][0]["artifacts"]] == [
        str(desk / "seen")
    ]


def test_flags_win_lists_are_replaced_and_the_environment_is_overlaid(desk: Path) -> None:
    """A flag replaces its setting, a list as a whole, and variables one by one."""
    script = 'printf "%s|%s" "$A" "$B" > seen; exit 5'
    flags = (
        *("--manager-arg", "-c", "--manager-arg", script),
        *("--manager-env", "A=from a flag", "--run-id", "flagged"),
    )
    ended = orchestrate("out", "--config", "run.toml", *flags, cwd=desk)
    assert ended.code == 1
    assert (desk / "seen").read_text() == "from a flag|kept"
    report = report_of(desk / "out")
    assert report["run_id"] == "flagged"
    assert report["stage_executions"][0]["args"] == ["-c", script]


@pytest.mark.parametrize("gate", list(Gate))
def test_the_tighter_gate_counts_wherever_it_stands(gate: Gate) -> None:
    """For each pair of signals, neither flag nor file can loosen the other."""
    rule = MANDATORY_RULES[gate]
    for flag, in_file in product(rule.values, repeat=2):
        flags = RunConfig(output_directory="out", gates={gate: flag})
        file = ConfigFile.model_validate({"gates": {gate.value: in_file}})
        both = combined(flags, file)
        order = (rule.passing, *rule.refusals)
        assert both.gates[gate] == max(flag, in_file, key=order.index)
        if rule.passing in (flag, in_file) and flag != in_file:
            assert both.gates[gate] != rule.passing
        is_from_file = order.index(in_file) > order.index(flag)
        assert both.gate_sources.get(gate, GateSource.FLAG) == (
            GateSource.CONFIG if is_from_file else GateSource.FLAG
        )


def test_a_denying_file_blocks_an_allowing_flag(desk: Path) -> None:
    """The command starts nothing, and the report names the file as the source."""
    (desk / "deny.toml").write_text(FULL.replace('policy = "allow"', 'policy = "deny"'))
    ended = orchestrate("out", "--config", "deny.toml", "--policy-status", "allow", cwd=desk)
    assert ended.code == 3
    policy = report_of(desk / "out")["gate_decisions"][0]
    assert (policy["status"], policy["source"]) == ("deny", "config")
    assert not (desk / "seen").exists()


def test_a_resume_takes_settings_from_a_file_too(desk: Path) -> None:
    """A value in the file replaces the kept one in a resume, and `resume` can be in the file."""
    gates = FULL.partition("[stage.manager]")[0].partition("[gates]")[2]
    broken = FULL.replace('"exit 0"', '"exit 4"')
    (desk / "broken.toml").write_text(broken)
    assert orchestrate("out", "--config", "broken.toml", cwd=desk).code == 1
    (desk / "mend.toml").write_text(
        f'resume = true\n[gates]{gates}\n[stage.executor]\nargs = ["-c", "exit 0"]\n'
    )
    assert orchestrate("out", "--config", "mend.toml", cwd=desk).code == 0
    report = report_of(desk / "out")
    assert [one["status"] for one in report["stage_executions"]] == ["skipped", "success"]


def test_show_says_where_each_value_came_from(desk: Path) -> None:
    """The source is file and line, or the default; for a run's directory, the checkpoint."""
    shown = settings(desk, "run.toml")
    assert shown["timeout_ms"] == (7000, "run.toml:4")
    assert shown["gates.ci"] == ("success", "run.toml:9")
    assert shown["stage.manager.args"][1] == "run.toml:14"
    assert shown["stage.manager.env"] == (["A", "B"], "run.toml:18")
    assert shown["stage.manager.timeout_ms"] == (7000, "as timeout_ms")
    assert shown["stage.executor.timeout_ms"] == (9000, "run.toml:25")
    assert shown["stage.executor.expected_artifacts"] == ([], "default")
    orchestrate("out", "--config", "run.toml", cwd=desk)
    kept = settings(desk, "out")
    assert kept["timeout_ms"][0] == 7000
    assert kept["timeout_ms"][1].endswith("orchestrator_checkpoint.json")


def refused(desk: Path, text: str) -> Ended:
    """Return the output of `config check` for a bad file, after checking that it wrote nothing."""
    (desk / "bad.toml").write_text(text)
    before = tree_of(desk)
    ended = orchestrate("config", "check", "bad.toml", cwd=desk)
    assert ended.code == 2
    assert tree_of(desk) == before
    return ended


def test_check_tells_all_problems_at_once_with_their_lines(desk: Path) -> None:
    """Unknown keys, shape, stages and missing binaries are all reported at once, with lines."""
    text = (
        'timeout_ms = "soon"\n'
        "timeoutms = 5\n"
        "[gates]\n"
        'polcy = "allow"\n'
        "[stage.manager]\n"
        'binn = "x"\n'
        "\n"
        "[stage.exekutor]\n"
        'bin = "x"\n'
    )
    said = refused(desk, text).stderr
    for line, words in {
        1: "timeout_ms",
        2: "did you mean 'timeout_ms'?",
        4: "did you mean 'policy'?",
        5: "no key 'bin'",
        6: "did you mean 'bin'?",
        8: "did you mean 'executor'?",
    }.items():
        assert any(f"bad.toml:{line}: " in one and words in one for one in said.splitlines()), words


def test_values_of_the_environment_are_never_echoed(desk: Path) -> None:
    """Neither a bad value nor a bad key of `env` is shown."""
    text = '[stage.manager]\nbin = "x"\nenv = { "TOKEN=hunter2-a" = "hunter2-b", B = 5 }\n'
    said = refused(desk, text)
    assert "hunter2" not in said.stderr
    assert "bad.toml:3: " in said.stderr


def test_print_config_says_the_same_as_the_options(desk: Path) -> None:
    """A run of the printed file is the same as one of the options; secrets are named in it."""
    options = (
        *("--policy-status", "allow", "--ci-status", "success", "--review-status", "approved"),
        *stages("exit 0", 'test -n "$TOKEN" && test "$MODE" = fast'),
        *("--executor-secret", "TOKEN", "--timeout-ms", "4000", "--kill-grace-ms", "0"),
        *("--executor-env", "MODE=fast"),
        *("--manager-timeout-ms", "3000", "--executor-allow-stale", "--run-id", "same"),
    )
    fixed = ("--fixed-clock", "2026-01-31T09:00:00Z")
    token = {"TOKEN": "hunter2-a"}
    printed = orchestrate("out", *options, *fixed, "--print-config", cwd=desk, env=token)
    assert printed.code == 0
    assert not (desk / "out").exists()
    assert "hunter2" not in printed.stdout
    assert "# --executor-secret TOKEN: its value is not printed" in printed.stdout
    (desk / "printed.toml").write_text(printed.stdout)
    reports = []
    for arguments in ((*options, *fixed), ("--config", "printed.toml")):
        assert orchestrate("out", *arguments, cwd=desk, env=token).code == 0
        report = report_of(desk / "out")
        for decision in report["gate_decisions"]:
            del decision["source"]
        reports.append(report)
        (desk / "out").rename(desk / f"out{len(reports)}")
    assert reports[0] == reports[1]


@pytest.mark.parametrize("option", ["arg", "bin", "cwd", "expected-artifact"])
def test_no_config_is_printed_that_would_lack_a_secret(desk: Path, option: str) -> None:
    """A setting that has a secret can be neither left out nor shown, so printing is refused."""
    secret = ("--manager-secret", "TOKEN", "--manager-bin", "x")[: 2 if option == "bin" else 4]
    given_now = (*secret, f"--manager-{option}", "--key=hunter2-a")
    env = {"TOKEN": "hunter2-a"}
    printed = orchestrate("out", *given_now, "--print-config", cwd=desk, env=env)
    assert (printed.code, printed.stdout) == (2, "")
    assert f"--manager-{option} holds a secret" in printed.stderr
    assert "hunter2" not in printed.stderr


def test_a_credential_given_as_a_setting_is_printed_as_a_secret(desk: Path) -> None:
    """The printed file declares the credential, and runs where the environment has it."""
    given_now = ("--manager-bin", "x", "--manager-env", "GH_TOKEN=hunter2-a")
    printed = orchestrate("out", *given_now, "--print-config", cwd=desk)
    assert tomllib.loads(printed.stdout)["stage"]["manager"]["secrets"] == ["GH_TOKEN"]
    assert "hunter2" not in printed.stdout


def test_config_text_of_everything_reads_back(tmp_path: Path) -> None:
    """The written file restores all settings, including odd characters."""
    odd = 'a"b\\c\n\t\u00e9\U0001f600 # [x] = \u007f'
    config = RunConfig(
        output_directory="out",
        gates={Gate.POLICY: "deny"},
        stages={"manager": StageGiven(bin=odd, args=(odd, "", "-c"), expected_artifacts=(odd,))},
        resume=True,
        rerun=("manager",),
        timeout_ms=5,
    )
    path = tmp_path / "odd.toml"
    path.write_bytes(config_text(config).encode())
    read = combined(RunConfig(output_directory="out"), load(path, "odd.toml").content)
    wanted = config.model_copy(update={"gate_sources": {Gate.POLICY: GateSource.CONFIG}})
    assert read.model_dump(exclude={"directory"}) == wanted.model_dump(exclude={"directory"})


def test_lines_are_those_of_the_text() -> None:
    """The line of every key is found in a text with comments, blank lines and long values."""
    document = tomllib.loads(FULL)
    lines = FULL.splitlines()
    for table, keys in (((), ("timeout_ms",)), (("stage", "manager"), ("args", "env", "cwd"))):
        for key in keys:
            line = line_of(FULL, (*table, key))
            assert line is not None
            assert lines[line - 1].startswith(f"{key} = ")
    assert line_of(FULL, ("stage", "nowhere")) is None
    assert document["stage"]["manager"]["cwd"] == "."


@pytest.mark.parametrize("text", [b"", b"# only a comment\n"])
def test_an_empty_file_gives_nothing(text: bytes, tmp_path: Path) -> None:
    """Every key is optional."""
    path = tmp_path / "empty.toml"
    path.write_bytes(text)
    flags = RunConfig(output_directory="out")
    assert combined(flags, load(path, "empty.toml").content) == flags


def test_a_file_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """A config file above the size limit is refused."""
    path = tmp_path / "large.toml"
    path.write_bytes(b"# " + b"x" * 2_000_000)
    with pytest.raises(UsageError, match="larger than"):
        load(path, "large.toml")
