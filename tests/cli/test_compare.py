"""`compare A B`: real runs, as a person and as a program sees them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from fsm_orchestrator.text.cells import cells
from fsm_orchestrator.vocabulary import SchemaName
from tests.cli.test_wide_screens import seen
from tests.support.command import CHECKPOINT, PASSING, Ended, orchestrate, stages, tree_of
from tests.support.schema_checks import validator_of

SECRET = "hunter2-hunter2"  # noqa: S105 - a test's
LONG = "# " + "a word and another " * 8


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory: Monday's run is done, Tuesday's failed; `again` has had two runs."""
    cwd = tmp_path_factory.mktemp("compare")

    def run(out: str, executor: str, *options: str) -> int:
        plan = ("--manager-expected-artifact", f"{out}/plan")
        words = (out, *PASSING, *stages(f"echo 1 > {out}/plan", executor), *plan, *options)
        return orchestrate("run", *words, cwd=cwd, env={"TOKEN": SECRET}).code

    assert run("mon", f"exit 0 {LONG}") == 0
    given = ("--executor-timeout", "5s", "--executor-env", "REGION=eu-secret")
    assert run("tue", f"exit 3 {LONG}", *given, "--executor-secret", "TOKEN") == 1
    assert run("wed", "exit 0", "--lifecycle", "closure_gated") == 0
    assert run("again", "exit 3", "--run-id", "first") == 1
    assert run("again", "exit 0", "--run-id", "second") == 0
    return cwd


def compared(*words: str, cwd: Path) -> Ended:
    """Return the command's output; it writes nothing."""
    before = tree_of(cwd)
    ended = orchestrate("compare", *words, cwd=cwd)
    assert tree_of(cwd) == before
    return ended


def test_long_paths_stay_on_the_screen(cwd: Path) -> None:
    """Details of each run are stacked where one line would be wider than the screen."""
    long = "./" * 20 + "again/archive/first"
    ended = compared("again", long, cwd=cwd)
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert (lines[2], lines[5]) == ("  A  again", f"  B  {long}")
    assert (lines[3].strip(), lines[6].strip()) == ("second", "first")
    assert re.match(r"     (done|failed), .* ago, took ", lines[7])


def test_screen_says_what_differs_the_worst_first(cwd: Path) -> None:
    """The screen has the verdict, runs, groups, and one line with what is the same."""
    ended = compared("mon", "tue", cwd=cwd)
    assert (ended.code, ended.stderr) == (1, "")
    lines = ended.stdout.splitlines()
    assert re.fullmatch(r"✗ A done, B failed: they differ in \d+ of \d+ things", lines[0])
    assert re.match(r"  A  mon  \S+  done    .* ago, took ", lines[2])
    assert re.match(r"  B  tue  \S+  failed  .* ago, took ", lines[3])
    heads = ("how they ended", "what they were given")
    assert [line for line in lines if line in heads] == [*heads]
    assert re.search(r"^✗ standing +done → failed$", ended.stdout, re.MULTILINE)
    assert re.search(r"^! executor timeout +only B: 5s$", ended.stdout, re.MULTILINE)
    assert re.search(r"^! executor secret TOKEN +only B$", ended.stdout, re.MULTILINE)
    assert "the same: lifecycle, subject, gates, programs, inputs, artifacts, vers" in ended.stdout


def test_looser_lifecycle_is_called_so(cwd: Path) -> None:
    """The screen has the verdict of `diagram --diff`; --all shows what does not fit."""
    brief, whole = (compared("mon", "wed", *words, cwd=cwd) for words in ([], ["--all"]))
    said = "✗ B's lifecycle guarantees less than A's"
    assert said in brief.stdout.splitlines()
    assert said in whole.stdout.splitlines()
    assert "more: --all shows them" not in whole.stdout


def test_no_value_of_a_variable_is_shown(cwd: Path) -> None:
    """No setting of the environment and no secret is shown, not even with --all."""
    for words in (["--all"], ["--json"]):
        ended = compared("mon", "tue", *words, cwd=cwd)
        assert "REGION" in ended.stdout
        assert "eu-secret" not in ended.stdout
        assert SECRET not in ended.stdout


def test_run_is_the_same_as_itself_and_all_of_it_can_be_seen(cwd: Path) -> None:
    """The exit code is 0; --all lists what was compared."""
    ended = compared("mon", "mon", "--all", cwd=cwd)
    assert ended.code == 0
    first, *_ = ended.stdout.splitlines()
    assert re.fullmatch(r"✓ the same in all \d+ things compared", first)
    assert re.search(r"^  manager artifact OUT/plan +[0-9a-f]{12}$", ended.stdout, re.MULTILINE)


def test_archived_run_is_compared_by_its_path_or_as_the_one_before(cwd: Path) -> None:
    """`compare OUT` is `compare OUT/archive/ID OUT`: it shows that the run works again, and why."""
    before, by_path = (
        compared(*words, "--json", cwd=cwd)
        for words in (["again"], ["again/archive/first", "again"])
    )
    assert before.code == by_path.code == 1
    assert before.stdout == by_path.stdout
    found = json.loads(before.stdout)
    assert [found[one]["run_id"] for one in "ab"] == ["first", "second"]
    told = {(one["part"], one["what"]): (one["a"], one["b"]) for one in found["differences"]}
    assert told["executor", "exit code"] == ("3", "0")
    assert told["executor", "command"][1] == ["/bin/sh", "-c", "exit 0"]


def test_bundle_is_compared_like_the_run_that_it_is_of(cwd: Path, tmp_path: Path) -> None:
    """A run and its bundle do not differ; a truncated bundle is refused."""
    path = tmp_path / "mon.fsmbundle"
    assert orchestrate("bundle", "mon", str(path), cwd=cwd).code == 0
    assert compared("mon", str(path), cwd=cwd).code == 0
    assert compared(str(path), "tue", cwd=cwd).code == 1
    path.write_bytes(path.read_bytes()[:-1])
    ended = compared(str(path), "tue", cwd=cwd)
    assert ended.code == 2
    assert "broken at archive" in ended.stderr


def test_json_is_as_published(cwd: Path) -> None:
    """The schema holds for it, and it agrees with the exit code."""
    validator = validator_of(SchemaName.COMPARISON)
    for words, code in ((["mon", "tue"], 1), (["mon", "mon"], 0)):
        ended = compared(*words, "--json", cwd=cwd)
        document = json.loads(ended.stdout)
        validator.validate(document)
        assert (ended.code, document["is_same"]) == (code, code == 0)


@pytest.mark.parametrize(("columns", "locale"), [(80, "C.UTF-8"), (120, "C")])
def test_screen_fits(cwd: Path, columns: int, locale: str) -> None:
    """Only a line that is a single word is wider than the terminal; symbols may be ASCII."""
    lines = seen("compare", "mon", "tue", cwd=cwd, columns=columns, LC_ALL=locale)
    assert all(cells(line) <= columns for line in lines)
    assert locale != "C" or all(line.isascii() for line in lines)
    commands = [line for line in lines if re.match(r" +[AB]  /bin/sh -c 'exit [03] #", line)]
    assert len(commands) == 2, lines


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mon", "thu"], "thu does not exist"),
        (["mon"], "there is no earlier run in "),
        (["mon", "."], "cannot compare .: "),
        (["broken", "mon"], "cannot compare broken: "),
        (["mon", "tue", "wed"], "unexpected 'wed'"),
        ([], "missing argument 'A'"),
    ],
)
def test_what_is_no_run_is_a_usage_error(cwd: Path, words: list[str], said: str) -> None:
    """The exit code is 2, as of diff(1); the message names the problem, the place and the fix."""
    (cwd / "broken").mkdir(exist_ok=True)
    (cwd / "broken" / CHECKPOINT).write_text("{")
    ended = compared(*words, cwd=cwd)
    assert (ended.code, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
