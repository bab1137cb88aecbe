"""Secrets over several invocations: requested again by name, kept only on request."""

from __future__ import annotations

import json
import shlex
import shutil
from base64 import b64encode
from pathlib import Path

import pytest

from tests.secrets.secret_cases import OTHER, STORE, VALUE, places_of, saver
from tests.support.command import (
    PASSING,
    checkpoint_of,
    orchestrate,
    report_of,
    shell,
    stages,
    tree_of,
)

pytestmark = pytest.mark.one_in(2)

NOW = {"TOKEN": VALUE}
LATER = {"TOKEN": OTHER}
FAILING = (*shell("executor", saver("saw", "test -e ready")), "--executor-secret", "TOKEN")


def test_a_secret_that_is_not_set_is_refused_by_name(tmp_path: Path) -> None:
    """Nothing is made; the variable is named with a remedy, and once it is set the command runs."""
    refused = orchestrate("out", *PASSING, *FAILING, cwd=tmp_path)
    planned = orchestrate("plan", "out", *PASSING, *FAILING, cwd=tmp_path)
    assert (refused.code, planned.code) == (2, 2)
    assert "set TOKEN in the environment" in refused.stderr
    assert refused.stderr == planned.stderr
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "ready").touch()
    assert orchestrate("out", *PASSING, *FAILING, cwd=tmp_path, env=NOW).code == 0
    assert (tmp_path / "saw").read_text() == VALUE


def test_a_secret_is_asked_again_and_stored_nowhere(tmp_path: Path) -> None:
    """A resume takes it from its own environment; without it, it names the key and runs nothing."""
    assert orchestrate("out", *PASSING, *FAILING, cwd=tmp_path, env=NOW).code == 1
    assert places_of(VALUE, tmp_path / "state") == set()
    before = tree_of(tmp_path)

    refused = orchestrate("out", "--resume", cwd=tmp_path)
    planned = orchestrate("plan", "out", "--resume", cwd=tmp_path)
    explained = orchestrate("explain", "out", cwd=tmp_path)

    assert (refused.code, planned.code, explained.code) == (2, 2, 0)
    remedy = "set TOKEN in the environment of the command"
    for shown in (refused.stderr, planned.stderr, explained.stdout):
        assert remedy in " ".join(shown.split())
    assert tree_of(tmp_path) == before
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path, env=LATER).code == 0
    assert (tmp_path / "saw").read_text() == OTHER


def test_secrets_are_kept_on_request_until_the_run_is_done(tmp_path: Path) -> None:
    """With --keep-secrets a resume needs none; they stay kept until the run is done."""
    given = (*PASSING, *FAILING, "--keep-secrets")
    assert orchestrate("out", *given, cwd=tmp_path, env=NOW).code == 1
    (private,) = (tmp_path / STORE).glob("*.json")
    assert places_of(VALUE, tmp_path / STORE) == {private.name}
    assert private.stat().st_mode & 0o777 == 0o600
    for words, end in (((), 1), (FAILING, 0)):
        (tmp_path / "saw").unlink()
        assert orchestrate("out", "--resume", *words, cwd=tmp_path).code == end
        assert (tmp_path / "saw").read_text() == VALUE
        (tmp_path / "ready").touch()
    assert places_of(VALUE, tmp_path / "state") == set()
    assert places_of(VALUE, tmp_path / "out") == set()


def test_a_config_file_declares_secrets_and_keeps_them(tmp_path: Path) -> None:
    """`secrets` and `keep_secrets` are the same as the options; an unset secret is refused."""
    (tmp_path / "run.toml").write_text(
        "keep_secrets = true\n"
        '[gates]\npolicy = "allow"\nci = "success"\nreview = "approved"\n'
        '[stage.executor]\nbin = "/bin/sh"\nargs = ["-c", "printf %s $TOKEN >&2; exit 1"]\n'
        'secrets = ["TOKEN"]\n'
    )
    assert orchestrate("out", "--config", "run.toml", cwd=tmp_path).code == 2
    assert orchestrate("out", "--config", "run.toml", cwd=tmp_path, env=NOW).code == 1
    (execution,) = report_of(tmp_path / "out")["stage_executions"]
    assert (execution["stderr_tail"], execution["env_keys"]) == ("***", ["TOKEN"])
    assert places_of(VALUE, tmp_path / STORE) != set()
    assert orchestrate("config", "check", "run.toml", cwd=tmp_path).code == 0


@pytest.mark.parametrize("given", ['["TOKEN=hunter2-a"]', '{TOKEN = "hunter2-a"}', '[""]', "[7]"])
def test_a_config_file_names_secrets_only(tmp_path: Path, given: str) -> None:
    """A value in a file is refused with its line, and is not shown."""
    (tmp_path / "run.toml").write_text(f'[stage.executor]\nbin = "true"\nsecrets = {given}\n')
    refused = orchestrate("out", "--config", "run.toml", cwd=tmp_path)
    assert refused.code == 2
    assert "run.toml:3: " in refused.stderr
    assert "hunter2" not in refused.stderr


def test_a_value_may_be_given_with_the_option(tmp_path: Path) -> None:
    """`KEY=VALUE` counts before the environment and is just as secret."""
    options = (*shell("executor", saver("saw", 'echo "$TOKEN"; exit 1')), "--executor-secret")
    ended = orchestrate("out", *PASSING, *options, f"TOKEN={VALUE}", cwd=tmp_path, env=LATER)
    assert (ended.code, (tmp_path / "saw").read_text()) == (1, VALUE)
    assert places_of(VALUE, tmp_path / "state") == set()
    assert places_of(VALUE, tmp_path / "out", ended) == {"logs/executor.1.stdout.log"}


@pytest.mark.parametrize(
    "key",
    [
        *("GH_TOKEN", "Client_Secret", "DB_PASSWORD", "db_passwd", "AWS_ACCESS_KEY_ID", "API_KEY"),
        *("MY_CREDENTIALS", "SSH_PASSPHRASE", "SIGNING_KEY", "BASIC_AUTH"),
    ],
)
def test_what_looks_like_a_credential_is_a_secret(tmp_path: Path, key: str) -> None:
    """A setting like that is masked everywhere and not kept, and the way to declare it is shown."""
    options = (*shell("manager", "exit 1"), "--manager-arg", f"--with={VALUE}", "--manager-env")
    ended = orchestrate("out", *PASSING, *options, f"{key}={VALUE}", cwd=tmp_path)
    assert ended.code == 1
    (warning,) = report_of(tmp_path / "out")["warnings"][:1]
    assert f"--manager-secret {key}" in warning
    assert warning in ended.stdout
    assert places_of(VALUE, tmp_path, ended) == set()
    assert checkpoint_of(tmp_path / "out")["secret_keys"] == [key]


# -- secrets in arguments and paths ---------------------------------------------------------


def test_an_argument_is_filled_in_with_the_secret_of_now(tmp_path: Path) -> None:
    """Only the secret is left out of the kept argument; another stage's secret is found as well."""
    options = (
        *shell("manager", 'printf %s "$1" > saw; test -e ready'),
        *("--manager-arg", "name", "--manager-arg", f"--key={VALUE}!"),
        *("--executor-bin", "true", "--executor-secret", "TOKEN"),
    )
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=NOW).code == 1
    refused = orchestrate("out", "--resume", cwd=tmp_path)
    assert (refused.code, "set TOKEN in the environment" in refused.stderr) == (2, True)
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path, env=LATER).code == 0
    assert (tmp_path / "saw").read_text() == f"--key={OTHER}!"
    for value in (VALUE, OTHER):
        assert places_of(value, tmp_path / "out") == set()


def test_an_argument_that_cannot_be_filled_in_is_never_run(tmp_path: Path) -> None:
    """A secret in another encoding is not kept: the stage runs once its argument is given again."""
    encoded = b64encode(f"me:{VALUE}".encode()).decode()
    stage = shell("manager", 'printf %s "$1" > saw; test -e ready')
    options = (*stage, "--manager-arg", "x", "--manager-arg", encoded, "--manager-secret", "TOKEN")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=NOW).code == 1
    assert places_of(encoded[4:-4], tmp_path / "out") == set()
    (tmp_path / "ready").touch()
    for words in (("out", "--resume"), ("plan", "out", "--resume")):
        refused = orchestrate(*words, cwd=tmp_path, env=NOW)
        assert (refused.code, "--manager-bin" in refused.stderr) == (2, True)
    explained = orchestrate("explain", "out", cwd=tmp_path, env=NOW)
    assert "--manager-bin with every --manager-arg" in " ".join(explained.stdout.split())
    assert orchestrate("out", "--resume", *options, cwd=tmp_path, env=NOW).code == 0
    assert (tmp_path / "saw").read_text() == encoded


def test_an_artifact_below_a_secret_is_looked_for_where_it_is(tmp_path: Path) -> None:
    """It is masked where shown, and judged by its true path or not at all."""
    options = (
        *stages(f"mkdir -p {VALUE}; echo [1] > {VALUE}/plan.json", "test -e ready"),
        *("--manager-expected-artifact", f"{VALUE}/plan.json", "--executor-secret", "TOKEN"),
    )
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=NOW).code == 1
    refused = orchestrate("out", "--resume", cwd=tmp_path)
    assert (refused.code, "TOKEN" in refused.stderr) == (2, True)
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path, env=NOW).code == 0
    again = orchestrate("out", "--resume", cwd=tmp_path, env=NOW)
    assert (again.code, report_of(tmp_path / "out")["closure_ready"]) == (0, True)
    explained = orchestrate("explain", "out", cwd=tmp_path, env=NOW)
    assert "does not exist" not in explained.stdout
    (tmp_path / VALUE / "plan.json").write_text("[2]")
    explained = orchestrate("explain", "out", cwd=tmp_path, env=NOW)
    assert "***/plan.json had the sha256 " in " ".join(explained.stdout.split())
    assert places_of(VALUE, tmp_path / "out", refused, again, explained) == set()


def test_two_artifacts_that_are_masked_alike_are_two(tmp_path: Path) -> None:
    """Each one's change is reported as its own, and neither is taken for the other."""
    makes = f"for one in {VALUE} {OTHER}; do echo [1] > $one.json; done"
    options = (
        *stages(makes, f"for one in {VALUE} {OTHER}; do echo [2] > $one.json; done"),
        *("--manager-expected-artifact", f"{VALUE}.json"),
        *("--manager-expected-artifact", f"{OTHER}.json"),
        *("--manager-secret", "TOKEN", "--manager-secret", "SECOND"),
    )
    env = {"TOKEN": VALUE, "SECOND": OTHER}
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=env).code == 1
    refusal = report_of(tmp_path / "out")["stage_executions"][-1]
    assert refusal["error"].count(f"{tmp_path}/***.json had the sha256 ") == 2


# -- completed stages -----------------------------------------------------------------------


def test_a_replaced_secret_refuses_no_resume_and_is_said(tmp_path: Path) -> None:
    """Tokens are replaced: the completed stage is skipped, with a warning that names the key."""
    options = (*stages("exit 0", "test -e ready"), "--manager-secret", "TOKEN")
    options = (*options, "--manager-arg", f"--key={VALUE}")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=NOW).code == 1
    (tmp_path / "ready").touch()
    ended = orchestrate("out", "--resume", cwd=tmp_path, env=LATER)
    assert ended.code == 0
    (warning,) = report_of(tmp_path / "out")["warnings"]
    assert "'manager'" in warning
    assert "the secret TOKEN has another value" in warning
    for value in (VALUE, OTHER):
        assert places_of(value, tmp_path, ended) == set()


def test_another_command_is_told_from_another_secret(tmp_path: Path) -> None:
    """A difference apart from the secret is reported, and the secret is not shown."""
    stage = stages("exit 0", "exit 1")
    options = (*stage, "--manager-secret", "TOKEN", "--manager-arg", f"--key={VALUE}")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=NOW).code == 1
    changed = (*stage[:6], "--manager-secret", "TOKEN", "--manager-arg", f"--other={OTHER}")
    refused = orchestrate("out", "--resume", *changed, cwd=tmp_path, env=LATER)
    assert refused.code == 2
    assert "--key=***" in refused.stderr
    assert "--other=***" in refused.stderr
    same = (*stage[:6], "--manager-secret", "TOKEN", "--manager-arg", f"--key={OTHER}")
    assert orchestrate("out", "--resume", *same, cwd=tmp_path, env=LATER).code == 1


def test_values_are_needed_only_where_a_stage_must_run(tmp_path: Path) -> None:
    """A completed stage, a done run and a run that its gates hold back do not need them."""
    options = (*stages("exit 0", "test -e ready"), "--manager-secret", "TOKEN")
    blocked = orchestrate("held", *PASSING[:-2], *options, cwd=tmp_path, env=NOW)
    assert blocked.code == 3
    assert orchestrate("held", "--resume", cwd=tmp_path).code == 3
    assert orchestrate("held", "--resume", *PASSING[-2:], cwd=tmp_path).code == 2
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=NOW).code == 1
    (tmp_path / "ready").touch()
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 0
    assert orchestrate("out", "--resume", *options, cwd=tmp_path).code == 0


def test_a_stage_that_may_be_sent_back_needs_its_values(tmp_path: Path) -> None:
    """A reviewer still to run may send the executor back: its secret is required at once."""
    executor = saver("saw", "exit 0")
    reviewer = "test -e ready || exit 1; test -e seen || { touch seen; exit 10; }"
    options = (
        *("--lifecycle", "reviewed_run", *shell("executor", executor)),
        *("--executor-secret", "TOKEN", *shell("reviewer", reviewer)),
    )
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=NOW).code == 1
    (tmp_path / "ready").touch()
    refused = orchestrate("out", "--resume", cwd=tmp_path)
    assert (refused.code, "TOKEN" in refused.stderr) == (2, True)
    ended = orchestrate("out", "--resume", cwd=tmp_path, env=LATER)
    assert ended.code == 0, ended.stderr
    assert (tmp_path / "saw").read_text() == OTHER


# -- output seen from outside ------------------------------------------------------------------


def test_output_is_not_shown_where_a_secret_is_not_known(tmp_path: Path) -> None:
    """`logs` refuses and says why; status and page omit the line; none shows the value."""
    options = (*shell("manager", "echo token is $TOKEN; exit 1"), "--manager-secret", "TOKEN")
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=NOW).code == 1
    logs = orchestrate("logs", "out", cwd=tmp_path)
    status = orchestrate("status", "out", "out", cwd=tmp_path)
    page = orchestrate("report", "out", "--html", "page.html", cwd=tmp_path)
    assert (logs.code, status.code, page.code) == (2, 0, 0)
    assert "set TOKEN" in logs.stderr
    assert places_of(VALUE, tmp_path / "out", logs, status) == {"logs/manager.1.stdout.log"}
    assert VALUE not in (tmp_path / "page.html").read_text()
    # The page is for others: it relies on no value but the one that the stage was given.
    orchestrate("report", "out", "--html", "page.html", cwd=tmp_path, env=LATER)
    assert VALUE not in (tmp_path / "page.html").read_text()
    assert orchestrate("logs", "out", cwd=tmp_path, env=NOW).stdout == "manager | token is ***\n"


def test_a_plan_shows_no_command_line_with_a_secret(tmp_path: Path) -> None:
    """A command line that contains a secret is described, not repeated."""
    bare = orchestrate("plan", "out", *PASSING, *FAILING, cwd=tmp_path, env=NOW)
    assert "--executor-secret TOKEN" in bare.stdout
    for given in (
        ("--executor-secret", "PIN=1"),
        ("--executor-arg", VALUE),
        ("--executor-env", "GH_TOKEN=2"),
    ):
        planned = orchestrate("plan", "out", *PASSING, *FAILING, *given, cwd=tmp_path, env=NOW)
        assert planned.code == 0
        assert "the same command with `run`" in planned.stdout
        assert given[1] not in planned.stdout


# -- lost settings ------------------------------------------------------------------------------


def test_one_remedy_names_all_that_is_lost_and_works(tmp_path: Path) -> None:
    """Settings of both stages and a secret are named at once, the same everywhere, and suffice."""
    options = (
        *stages(saver("saw", "test -e ready"), 'test "$PROFILE" = release'),
        *("--manager-env", "MODE=fast", "--manager-env", "LEVEL=9", "--manager-secret", "TOKEN"),
        *("--executor-env", "PROFILE=release"),
    )
    assert orchestrate("out", *PASSING, *options, cwd=tmp_path, env=NOW).code == 1
    shutil.rmtree(tmp_path / "state")
    refused = orchestrate("out", "--resume", cwd=tmp_path)
    planned = orchestrate("plan", "out", "--resume", cwd=tmp_path)
    explained = orchestrate("explain", "out", "--json", cwd=tmp_path)
    assert (refused.code, refused.stderr) == (2, planned.stderr)
    step = json.loads(explained.stdout)["next_step"]
    words = step["words"]
    for pair in ("manager-env MODE", "manager-env LEVEL", "executor-env PROFILE"):
        assert f"--{pair}=VALUE" in refused.stderr
        assert f"--{pair}=VALUE" in shlex.join(words)
    assert "set TOKEN in the environment of the command" in step["remedies"]
    given = {"MODE": "fast", "LEVEL": "9", "PROFILE": "release"}
    pairs = [one.replace("=VALUE", f"={given.get(one.partition('=')[0])}") for one in words[1:]]
    (tmp_path / "ready").touch()
    assert orchestrate(*pairs, cwd=tmp_path, env=LATER).code == 0
