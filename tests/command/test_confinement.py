"""Confined stages through the command: requests, refusals, records and output."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.processes import landlock, seccomp
from tests.command.stage_cases import log_of, only_execution, run
from tests.support.command import CHECKPOINT, PASSING, orchestrate, report_of, shell

pytestmark = pytest.mark.skipif(
    landlock.version() < landlock.ABI_SCOPES or not seccomp.is_supported(),
    reason="this kernel's Landlock does not hold all that is promised",
)


def written(path: Path, text: str) -> Path:
    """Write a file and return its path."""
    path.write_text(text)
    return path


def confinement_of(directory: Path) -> dict[str, Any]:
    """Return what the record says of the only attempt's confinement."""
    found: dict[str, Any] = only_execution(directory)["confinement"]
    return found


class TestWhatIsOpen:
    """A confined stage has what it needs for its work, and nothing else."""

    def test_artifacts_logs_and_temporary_directory(self, tmp_path: Path) -> None:
        """They are writable without being named, and the record of the run is not."""
        script = (
            "echo '{}' > made/plan.json && mv made/plan.json made/x && mv made/x made/plan.json"
            " && echo said && echo warned >&2 && touch $TMPDIR/scratch && echo $TMPDIR"
            f" && ! echo x >> out/{CHECKPOINT} && ! touch out/logs/new && ! touch beside"
            " && ! echo x >> /proc/$PPID/../self/../../nowhere"
        )
        ended = run(
            tmp_path,
            *shell("manager", script),
            *("--manager-expected-artifact", "made/plan.json", "--manager-connect", "none"),
        )
        assert ended.code == 0, log_of(tmp_path, "manager", "stderr")
        said, temporary = log_of(tmp_path, "manager").decode().split()
        assert said == "said"
        assert not os.path.exists(temporary)
        assert "warned" in log_of(tmp_path, "manager", "stderr").decode()
        assert not (tmp_path / "beside").exists()
        confinement = confinement_of(tmp_path)
        assert str(tmp_path / "made") in confinement["write"]
        assert confinement["connect"] == []
        assert confinement["required"] == ["write", "truncate", "connect"]
        assert confinement["landlock_abi"] == landlock.version()
        assert {"write", "signals", "namespaces"} <= {*confinement["held"]}

    def test_directory_of_artifacts_in_the_output_directory(self, tmp_path: Path) -> None:
        """The directory is made before the stage starts, and nothing else in OUT is writable."""
        script = "echo x > out/manager/result && ! touch out/other"
        ended = run(
            tmp_path,
            *shell("manager", script),
            *(
                "--manager-expected-artifact",
                "out/manager/result",
                "--manager-writable",
                "/dev/null",
            ),
        )
        assert ended.code == 0

    def test_only_what_is_named_can_be_read(self, tmp_path: Path) -> None:
        """The system's directories stay readable, for programs do not start without them."""
        written(tmp_path / "secret", "hidden")
        (tmp_path / "source").mkdir()
        written(tmp_path / "source" / "file", "shown")
        script = "cat source/file; cat secret; cat $HOME/.netrc; ls ."
        ended = run(tmp_path, *shell("manager", script), "--manager-readable", "source")
        assert ended.code == 1
        assert log_of(tmp_path, "manager") == b"shown"
        assert b"secret: Permission denied" in log_of(tmp_path, "manager", "stderr")

    def test_other_stages_are_not_confined(self, tmp_path: Path) -> None:
        """The cage of one stage does not apply to the next, which the same keeper starts."""
        ended = run(
            tmp_path,
            *shell("manager", "! touch beside"),
            *("--manager-connect", "none"),
            *shell("executor", "touch beside"),
        )
        assert ended.code == 0
        assert report_of(tmp_path / "out")["stage_executions"][1]["confinement"] is None


class TestRefused:
    """Confinement that leaves the record open, or that cannot be enforced, never starts a stage."""

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            (("--manager-writable", "."), "has the output directory in it"),
            (("--manager-writable", "out"), "is the output directory"),
            (("--manager-writable", "out/logs"), "is one of the run's own"),
            (("--manager-writable", "link"), "has the output directory in it"),
            (
                ("--manager-expected-artifact", "out/plan.json", "--manager-connect", "none"),
                "the directory of its expected artifacts",
            ),
            (
                ("--manager-expected-artifact", "plan.json", "--manager-signals", "own"),
                "the directory of its expected artifacts",
            ),
            (("--manager-writable", "state"), "the private files of runs"),
        ],
    )
    def test_open_record(self, tmp_path: Path, asked: tuple[str, ...], said: str) -> None:
        """A stage that could write to the record is refused before anything is written."""
        (tmp_path / "link").symlink_to(".")
        ended = run(tmp_path, *shell("manager", "touch started"), *asked)
        assert ended.code == 2
        assert said in ended.stderr
        assert not (tmp_path / "started").exists()
        assert not (tmp_path / "out").exists()

    def test_path_that_is_not_there(self, tmp_path: Path) -> None:
        """A rule needs an existing path; `plan` reports a missing one beforehand."""
        options = (*shell("manager", "touch started"), "--manager-writable", "missing")
        planned = orchestrate("plan", "out", *PASSING, *options, cwd=tmp_path)
        assert "missing: No such file or directory" in " ".join(planned.stdout.split())
        ended = run(tmp_path, *options)
        assert ended.code == 1
        assert only_execution(tmp_path)["start_problem"] == "cannot be confined"
        assert confinement_of(tmp_path)["landlock_abi"] is None
        explained = orchestrate("explain", "out", cwd=tmp_path).stdout
        assert "correct what the stage is confined to" in explained

    def test_program_outside(self, tmp_path: Path) -> None:
        """A program outside the readable paths needs no rule of its own, and starts."""
        program = written(tmp_path / "program", "#!/bin/sh\nexit 0\n")
        program.chmod(0o755)
        ended = run(
            tmp_path, "--manager-bin", "./program", "--manager-readable", str(tmp_path / "other")
        )
        assert ended.code == 1  # the readable directory does not exist
        (tmp_path / "other").mkdir()
        assert orchestrate("out", "--resume", cwd=tmp_path).code == 0

    @pytest.mark.parametrize(
        ("asked", "said"),
        [
            ("65536", "is neither a port from 1 to 65535"),
            ("0", "is neither a port from 1 to 65535"),
            ("no", "nor `none` or `any`"),
        ],
    )
    def test_ports(self, tmp_path: Path, asked: str, said: str) -> None:
        """A value that is no port is a usage error that names the allowed values."""
        ended = run(tmp_path, *shell("manager", "true"), "--manager-connect", asked)
        assert ended.code == 2
        assert said in ended.stderr


class TestConfigFile:
    """Tests of the table `confine` of a stage."""

    def config(self, directory: Path, confine: str) -> str:
        """Write a config file and return its name."""
        written(
            directory / "run.toml",
            '[gates]\npolicy = "allow"\nci = "success"\nreview = "approved"\n[stage.manager]\n'
            f'bin = "/bin/sh"\nargs = ["-c", "touch work/made; true"]\n'
            f"[stage.manager.confine]\n{confine}\n",
        )
        return "run.toml"

    def test_paths_are_relative_to_the_file(self, tmp_path: Path) -> None:
        """Paths and templates are relative to the file, wherever the command is typed."""
        (tmp_path / "work").mkdir()
        (tmp_path / "elsewhere").mkdir()
        config = self.config(tmp_path, 'write = ["work", "{env:EXTRA}"]\nconnect = "none"')
        ended = orchestrate(
            *("run", "./out", "--config", f"../{config}"),
            cwd=tmp_path / "elsewhere",
            env={"EXTRA": "work"},
        )
        assert ended.code == 0, ended.stderr
        found = confinement_of(tmp_path / "elsewhere")
        assert os.path.samefile(found["write"][0], tmp_path / "work")

    def test_unknown_key(self, tmp_path: Path) -> None:
        """An unknown key is refused with the nearest key."""
        ended = orchestrate(
            "run", "./out", "--config", self.config(tmp_path, 'writes = ["x"]'), cwd=tmp_path
        )
        assert ended.code == 2
        assert "did you mean 'write'?" in ended.stderr

    @pytest.mark.parametrize(
        ("confine", "said"),
        [
            ('connect = "some"', "should be a list of ports from 1 to 65535, `none` or `any`"),
            ("connect = [0]", "should be a list of ports from 1 to 65535, `none` or `any`"),
            ('connect = ["none", 1]', "should be a list of ports from 1 to 65535"),
            ('signals = "all"', "should be 'own' or 'any'"),
            ("require = 1", "should be"),
            ('write = "x"', "should be"),
        ],
    )
    def test_wrong_values(self, tmp_path: Path, confine: str, said: str) -> None:
        """A meaningless value is refused with its place."""
        ended = orchestrate("config", "check", self.config(tmp_path, confine), cwd=tmp_path)
        assert ended.code == 2
        assert f"'stage.manager.confine.{confine.split(maxsplit=1)[0]}" in ended.stderr
        assert said in ended.stderr

    def test_options_come_first(self, tmp_path: Path) -> None:
        """An option replaces its key and leaves the other keys unchanged."""
        for name in ("work", "mine"):
            (tmp_path / name).mkdir()
        config = self.config(tmp_path, 'write = ["work"]\nconnect = [443]\nsignals = "any"')
        ended = orchestrate(
            *("run", "./out", "--config", config, "--manager-writable", "mine"),
            *("--manager-connect", "any"),
            cwd=tmp_path,
        )
        assert ended.code == 0
        found = confinement_of(tmp_path)
        assert (found["write"][0], found["connect"]) == (str(tmp_path / "mine"), None)
        assert "signals" not in found["held"]

    def test_printed_file_asks_for_the_same(self, tmp_path: Path) -> None:
        """`--print-config` writes the table, and the written file loads."""
        config = self.config(tmp_path, 'write = ["work"]\nconnect = "none"\nbind = "any"')
        printed = orchestrate("run", "./out", "--config", config, "--print-config", cwd=tmp_path)
        written(tmp_path / "again.toml", printed.stdout)
        again = orchestrate(
            "run", "./out", "--config", "again.toml", "--print-config", cwd=tmp_path
        )
        assert again.stdout == printed.stdout
        assert "connect = []" in again.stdout

    def test_settings_are_shown(self, tmp_path: Path) -> None:
        """`config show` has each key with its source."""
        config = self.config(tmp_path, 'write = ["work"]\nconnect = [443]')
        shown = orchestrate("config", "show", config, "./out", cwd=tmp_path).stdout
        assert "stage.manager.confine.write" in shown
        assert "443" in shown


class TestResume:
    """The confinement that a resume keeps."""

    def test_kept_for_the_next_invocation(self, tmp_path: Path) -> None:
        """A resume has the same cage without being given it."""
        run(tmp_path, *shell("manager", "touch beside"), "--manager-connect", "none")
        assert orchestrate("out", "--resume", cwd=tmp_path).code == 1
        attempts = report_of(tmp_path / "out")["stage_executions"]
        assert attempts[-1]["confinement"]["connect"] == []
        assert not (tmp_path / "beside").exists()
        record = json.loads((tmp_path / "out" / CHECKPOINT).read_text())
        assert record["stages"]["manager"]["confine"]["connect"] == []

    def test_another_cage_is_said(self, tmp_path: Path) -> None:
        """A changed cage of a stage that still has to run is a warning."""
        (tmp_path / "work").mkdir()
        run(tmp_path, *shell("manager", "false"), "--manager-connect", "none")
        orchestrate("out", "--resume", "--manager-writable", "work", cwd=tmp_path)
        warnings = report_of(tmp_path / "out")["warnings"]
        assert any("confinement: not what attempt 1 had" in one for one in warnings)

    def test_directory_left_by_a_kill_is_cleared_away(self, tmp_path: Path) -> None:
        """A temporary directory does not outlive a run whose orchestrator was killed."""
        script = "echo $TMPDIR > made/where; touch $TMPDIR/left; kill -9 $ORCHESTRATOR_PID; sleep 9"
        run(
            tmp_path,
            *shell("manager", script),
            *("--manager-expected-artifact", "made/where", "--manager-signals", "any"),
        )
        assert report_of(tmp_path / "out")


class TestEnvironment:
    """The variables that a stage inherits from the operator's environment."""

    @pytest.mark.parametrize(
        ("asked", "has", "has_not"),
        [
            (("all",), {"PATH", "HOME", "OTHER", "WANTED"}, set()),
            (("minimal",), {"PATH", "HOME"}, {"OTHER", "WANTED", "XDG_STATE_HOME"}),
            (("WANTED", "PATH"), {"PATH", "WANTED"}, {"OTHER", "HOME"}),
        ],
    )
    def test_inherited(
        self, tmp_path: Path, asked: tuple[str, ...], has: set[str], has_not: set[str]
    ) -> None:
        """A stage has the inherited variables, its given ones and those of the program."""
        words = [word for one in asked for word in ("--manager-env-inherit", one)]
        ended = run(
            tmp_path,
            *("--manager-bin", "/usr/bin/env", "--manager-env", "GIVEN=1", *words),
            env={"OTHER": "1", "WANTED": "2", "HOME": str(tmp_path)},
        )
        assert ended.code == 0
        names = {line.split("=", 1)[0] for line in log_of(tmp_path, "manager").decode().split()}
        assert {*has, "GIVEN", "ORCHESTRATOR_STAGE", "PWD"} <= names
        assert not names & has_not

    def test_word_among_names_is_a_name(self, tmp_path: Path) -> None:
        """`all` next to a name is the variable `all`, so nothing is inherited by accident."""
        words = ("--manager-env-inherit", "all", "--manager-env-inherit", "PATH")
        run(tmp_path, "--manager-bin", "/usr/bin/env", *words, env={"OTHER": "1"})
        assert b"OTHER" not in log_of(tmp_path, "manager")

    def test_kept_by_a_resume(self, tmp_path: Path) -> None:
        """A resume inherits only what was asked for at first."""
        run(tmp_path, *shell("manager", "env; false"), "--manager-env-inherit", "minimal")
        orchestrate("out", "--resume", cwd=tmp_path, env={"OTHER": "1"})
        assert b"OTHER" not in log_of(tmp_path, "manager", attempt=2)
