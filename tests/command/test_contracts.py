"""Contracts on artifacts: the files of a stage are checked, whatever its exit code."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.command.contract_cases import (
    BLOCKED,
    DONE,
    broken,
    config,
    contract,
    executed,
    writes,
)
from tests.support.command import orchestrate, report_of


def test_executor_that_exits_0_and_reports_blocked_has_failed(tmp_path: Path) -> None:
    """An exit code of 0 does not outweigh the program's own report."""
    report = contract(asserts='[{ at = "/final_state", equals = "Done" }]')
    config(tmp_path, report, writes(BLOCKED))
    execution = executed(tmp_path)
    assert (execution["exit_code"], execution["status"]) == (0, "failed")
    assert execution["ending"] == "contract_violated"
    assert broken(execution) == [("report.json", "/final_state", '"Done"', '"Blocked"')]
    assert execution["missing_artifacts"] == execution["malformed_artifacts"] == []
    assert [one["path"] for one in execution["artifacts"]] == [str(tmp_path / "report.json")]
    assert report_of(tmp_path / "out")["terminal_state"] == "failed"
    told = orchestrate("explain", "./out", cwd=tmp_path).stdout
    said = " ".join(told.split())
    assert 'report.json at /final_state: expected "Done", found "Blocked"' in said
    assert "make sure that the work is done, or correct the contract" in said

    config(tmp_path, report, writes(DONE))
    done = orchestrate("./out", "--resume", "--config", "run.toml", cwd=tmp_path)
    assert done.code == 0, done.stderr
    assert "contract_violations" not in report_of(tmp_path / "out")["stage_executions"][-1]


HOLDING = """[
  { at = "/final_state", equals = "Done", matches = "[A-Z][a-z]+", one_of = ["Done", "Skipped"] },
  { at = "/tests", at_least = 12, at_most = 12.0 },
  { at = "/big", at_least = 1e29 },
  { at = "/findings", length_at_least = 2, every = { at = "/id", matches = "F-[0-9]+" } },
  { at = "/findings", any = { at = "/id", equals = "F-2" } },
  { at = "/a~1b/~0", exists = true },
  { at = "/", every = { at = "", at_least = 0 } },
  { at = "//1", equals = 1 },
  { at = "/blockers", exists = false },
  { at = "", length_at_least = 7 },
]"""
FAILING = """[
  { at = "/tests", equals = "12" },
  { at = "/tests", equals = true },
  { at = "/tests", at_least = 13 },
  { at = "/tests", at_most = 11 },
  { at = "/tests", matches = "12" },
  { at = "/final_state", matches = "Don" },
  { at = "/final_state", one_of = ["Skipped", "done"] },
  { at = "/final_state", length_at_least = 5 },
  { at = "/findings", length_at_least = 3 },
  { at = "/findings", every = { at = "/ok", equals = false } },
  { at = "/findings", any = { at = "/id", equals = "F-3" } },
  { at = "/none", every = { at = "", equals = 1 } },
  { at = "/nowhere/at/all", exists = true },
  { at = "/findings/01", exists = true },
  { at = "/findings/2", exists = true },
  { at = "/final_state", exists = false },
]"""
FAILED = [
    ("/tests", '"12"', "12"),
    ("/tests", "true", "12"),
    ("/tests", "at least 13", "12"),
    ("/tests", "at most 11", "12"),
    ("/tests", 'a string that matches "12"', "a number"),
    ("/final_state", 'a string that matches "Don"', '"Done"'),
    ("/final_state", 'one of "Skipped", "done"', '"Done"'),
    ("/final_state", "a length of at least 5", "a length of 4"),
    ("/findings", "a length of at least 3", "a length of 2"),
    ("/findings/0/ok", "false", "true (and 1 more of 2 items fail)"),
    ("/findings", 'an item with "F-3" at /id', "none of 2 items"),
    ("/none", "an array of at least one item", "an empty array"),
    ("/nowhere/at/all", "something", "nothing: the pointer leads nowhere"),
    ("/findings/01", "something", "nothing: the pointer leads nowhere"),
    ("/findings/2", "something", "nothing: the pointer leads nowhere"),
    ("/final_state", "nothing", '"Done"'),
]


def test_assertions_that_hold_are_held(tmp_path: Path) -> None:
    """Every assertion passes on matching data; `exists = false` alone passes an absent pointer."""
    config(tmp_path, contract(asserts=HOLDING), writes(DONE))
    assert executed(tmp_path, code=0)["status"] == "success"


def test_assertion_that_fails_names_pointer_expected_and_found(tmp_path: Path) -> None:
    """A pointer that leads nowhere fails, an empty array fails `every`, and 12 is not "12"."""
    config(tmp_path, contract(asserts=FAILING), writes({**DONE, "none": []}))
    execution = executed(tmp_path)
    assert [one[1:] for one in broken(execution)] == FAILED
    assert execution["error"].endswith('/tests: expected "12", found 12; and 15 more violations')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"final_state": "Blocked", "final_state": "Done"}', "a name occurs twice in an object"),
        ('{"final_state": "Done",}', "line 1 column 24: trailing comma in object"),
    ],
)
def test_document_that_readers_differ_over_is_malformed(
    tmp_path: Path, text: str, problem: str
) -> None:
    """A document with a repeated key is refused, for readers differ on which value counts."""
    config(
        tmp_path,
        contract("report.txt", asserts='[{ at = "/final_state", equals = "Done" }]'),
        f"printf '%s' '{text}' > report.txt",
    )
    execution = executed(tmp_path)
    assert execution["ending"] == "artifacts_wrong"
    assert execution["malformed_artifacts"] == [str(tmp_path / "report.txt")]
    assert problem in execution["error"]


def test_pattern_that_never_ends_is_cut_short(tmp_path: Path) -> None:
    """A pattern gets two seconds, however long it would take."""
    asserts = r"[{ at = '/s', matches = '(a|aa|a?a)+b' }]"
    config(tmp_path, contract(asserts=asserts), writes({"s": "a" * 60}))
    execution = executed(tmp_path)
    assert execution["ending"] == "contract_violated"
    assert broken(execution)[0][3].endswith("and that could not be decided within 2 seconds")


SIZES: list[tuple[dict[str, Any], str, list[tuple[str | None, str, str]]]] = [
    ({"max_bytes": 3}, "abcd", [(None, "at most 3 bytes", "4 bytes")]),
    ({"min_bytes": 5}, "abcd", [(None, "at least 5 bytes", "4 bytes")]),
    ({"max_bytes": 4, "min_bytes": "4"}, "abcd", []),
    (
        {"encoding": "ascii"},
        "abc\\303\\244",
        [(None, "text in ascii", "invalid bytes, from")],
    ),
    ({"encoding": "utf-8"}, "abc\\303\\244", []),
    ({"encoding": "utf-8"}, "ab\\303", [(None, "text in utf-8", "invalid bytes, from byte")]),
]


def test_sizes_and_encodings_are_held(tmp_path: Path) -> None:
    """Each file is checked against its own terms, in one attempt."""
    script = "".join(f"printf '{text}' > f{at};" for at, (_, text, _) in enumerate(SIZES))
    tables = (contract(f"f{at}", **terms) for at, (terms, _, _) in enumerate(SIZES))
    config(tmp_path, "".join(tables), script)
    expected = [
        (f"f{at}", pointer, wanted, found)
        for at, (_, _, wrong) in enumerate(SIZES)
        for pointer, wanted, found in wrong
    ]
    told = broken(executed(tmp_path))
    assert [one[:3] for one in told] == [one[:3] for one in expected]
    assert all(one[3].startswith(other[3]) for one, other in zip(told, expected, strict=True))


def test_secret_in_an_artifact_is_masked_and_cut(tmp_path: Path) -> None:
    """The found value is shown masked, and only the beginning of a long value."""
    config(
        tmp_path,
        contract(asserts='[{ at = "/a", equals = 1 }, { at = "/b", equals = 1 }]'),
        'printf \'{"a": "of %s", "b": "%0500d"}\' $TOKEN 1 > report.json',
        'secrets = ["TOKEN"]',
    )
    env = {"TOKEN": "s3cr3t-value-17"}
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path, env=env)
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    first, second = broken(execution)
    assert first[3] == '"of ***"'
    assert len(second[3]) == 203
    assert second[3].endswith("...")
    files = [one.read_bytes() for one in (tmp_path / "out").rglob("*") if one.is_file()]
    assert not any(b"s3cr3t" in one for one in (*files, ended.stderr.encode()))


def test_value_of_a_secret_in_a_contract_is_refused(tmp_path: Path) -> None:
    """A contract is recorded verbatim, so it must not contain a secret."""
    config(
        tmp_path,
        contract(asserts='[{ at = "/a", equals = "s3cr3t-value-17" }]'),
        settings='secrets = ["TOKEN"]',
    )
    env = {"TOKEN": "s3cr3t-value-17"}
    ended = orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path, env=env)
    assert ended.code == 2
    assert "secret TOKEN is in a contract of stage 'executor'" in ended.stderr
    assert "s3cr3t" not in ended.stderr


# Directories and globs


def test_directory_and_glob_are_digested_as_a_sorted_list(tmp_path: Path) -> None:
    """The files are digested by name and content: another name or byte gives another digest."""
    sets = contract("site/", max_bytes="1KiB") + contract("r/**/*.json", min_matches=2)
    script = (
        "mkdir -p site/a r/x; echo hi > site/a/index; echo b > site/b; ln -sf b site/link;"
        "echo '{}' > r/1.json; echo '[]' > r/x/2.json"
    )
    config(tmp_path, sets, script)
    site, results = executed(tmp_path, "--skip-stage", "manager", code=0)["artifacts"]
    assert (site["path"], site["files"], site["size_bytes"]) == (f"{tmp_path}/site/", 3, 5)
    assert (results["path"], results["files"]) == (f"{tmp_path}/r/**/*.json", 2)
    assert report_of(tmp_path / "out")["closure_ready"] is True
    assert orchestrate("status", "./out", cwd=tmp_path).code == 0
    (tmp_path / "site" / "b").write_text("c\n")
    told = orchestrate("explain", "./out", cwd=tmp_path)
    assert f"{tmp_path}/site/ had the sha256 {site['sha256']}" in " ".join(told.stdout.split())


@pytest.mark.parametrize(
    ("terms", "script", "ending", "said"),
    [
        (contract("r/*.txt"), "true", "missing_artifacts", "matches 0 files, and must match 1"),
        (
            contract("r/*.txt", min_matches=3),
            "mkdir r; touch r/1.txt r/2.txt",
            "missing_artifacts",
            "matches 2 files, and must match 3",
        ),
        (contract("d/"), "true", "missing_artifacts", "does not exist"),
        (contract("d/"), "touch d", "missing_artifacts", "is not a directory"),
        (contract("d/"), "mkdir d; mkfifo d/f", "malformed_artifacts", "is not a file, link or"),
        (contract("*.json"), "echo 1 > a.json; echo { > b.json", "malformed_artifacts", "b.json"),
        (contract("old/"), "true", "stale_artifacts", "unchanged since before this attempt"),
        (
            contract("old/*", min_matches=2),
            "echo > old/b",
            "stale_artifacts",
            "only 1 file written by this attempt",
        ),
    ],
)
def test_set_that_is_not_there_as_it_should_is_wrong_as_a_file_is(
    tmp_path: Path, terms: str, script: str, ending: str, said: str
) -> None:
    """Missing, malformed and stale keep their meaning for an artifact of several files."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a").touch()
    config(tmp_path, terms, script)
    execution = executed(tmp_path)
    assert execution["ending"] == "artifacts_wrong"
    assert len(execution[ending]) == 1
    assert said in execution["error"]


def test_assertions_are_held_of_every_file_that_matches(tmp_path: Path) -> None:
    """A glob's contract covers each matching file, and the violation names the file."""
    config(
        tmp_path,
        contract("r/*", asserts='[{ at = "/ok", equals = true }]'),
        "mkdir r; echo '{\"ok\":true}' > r/1; echo '{\"ok\":false}' > r/2",
    )
    assert broken(executed(tmp_path)) == [("2", "/ok", "true", "false")]


def test_templates_and_the_printed_config_keep_a_contract(tmp_path: Path) -> None:
    """`{out}` is filled in, and the output of `--print-config` asks for the same."""
    config(
        tmp_path,
        contract("{out}/executor/", max_bytes="1MiB") + contract(asserts=HOLDING),
        f'cd "$ORCHESTRATOR_OUTPUT_DIR"; mkdir executor; touch executor/x; cd ..\n{writes(DONE)}',
    )
    printed = orchestrate("run", "./out", "--config", "run.toml", "--print-config", cwd=tmp_path)
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "executor.sh", tmp_path / "again")
    (tmp_path / "again" / "run.toml").write_text(printed.stdout)
    first, second = executed(tmp_path, code=0), executed(tmp_path / "again", code=0)
    assert [one["sha256"] for one in first["artifacts"]] == [
        one["sha256"] for one in second["artifacts"]
    ]
    assert first["artifacts"][0]["path"] == f"{tmp_path}/out/executor/"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (contract(min_matches=2), "min_matches is for a glob, and the path is not one"),
        (contract("d/", asserts="[{ at = '', exists = true }]"), "a directory is not a document"),
        (contract("d*/"), "leave out the slash at its end"),
        (contract(encoding="latin-1"), "utf-8"),
        (contract(max_bytes=1, min_bytes=2), "min_bytes is more than max_bytes"),
        (contract(max_bytes="1 furlong"), "write 64k, 10MB, 2GiB"),
        (contract(asserts="[{ at = 'state', equals = 1 }]"), "begin it with a slash"),
        (contract(asserts="[{ at = '/a~2', equals = 1 }]"), "is not a JSON pointer"),
        (contract(asserts="[{ at = '/a' }]"), "says nothing: give it a test"),
        (contract(asserts="[{ at = '/a', equls = 1 }]"), "did you mean 'equals'?"),
        (contract(asserts="[{ at = '/a', matches = '(' }]"), "is not a regular expression"),
        (contract(asserts="[{ at = '/a', at_least = '1' }]"), "at_least takes a number"),
        (contract(asserts="[{ at = '/a', one_of = [] }]"), "a list of at least one value"),
        (contract(asserts="[{ at = '/a', exists = false, equals = 1 }]"), "must be alone"),
        (contract(asserts="[{ at = '/a', equals = 2020-01-01 }]"), "'2020-01-01'"),
        (contract() + contract(), "two contracts are about"),
    ],
)
def test_contract_without_sense_is_refused_with_its_line(
    tmp_path: Path, table: str, said: str
) -> None:
    """Wrong terms are reported before anything runs."""
    config(tmp_path, table)
    ended = orchestrate("config", "check", "run.toml", cwd=tmp_path)
    if said == "'2020-01-01'":
        assert ended.code == 0  # a date is its text in JSON
        return
    assert ended.code == 2
    assert said in ended.stderr
