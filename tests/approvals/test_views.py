"""A run that waits for people, on every screen and page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fsm_orchestrator.model.approval import Said
from tests.approvals.approval_cases import go_on, look, project, requests, say
from tests.support.command import orchestrate, report_of, stages

Keys = dict[str, Path]


def words_of(*typed: str, cwd: Path) -> str:
    """Return the output of a command on one line."""
    return " ".join(orchestrate(*typed, cwd=cwd).stdout.split())


def standing_of(folder: Path) -> str:
    """Return the standing of the run in a list of runs."""
    words = ("status", "./out", "./out", "--json")
    found = json.loads(orchestrate(*words, cwd=folder).stdout)
    return str(found["runs"][0]["standing"])


def test_waiting_is_told_from_refused(waiting: Path) -> None:
    """The screens show who can approve, what to read, and a command that works as printed."""
    explained = words_of("explain", "./out", cwd=waiting)
    assert explained.startswith("! waiting: run ")
    assert "gate review waits for people: 0 of 1 approval: nobody has answered" in explained
    assert "bob@example.org and cat@example.org: 0 of 1 approval given for review" in explained
    assert f"see {waiting / 'plan.md'}, 9 bytes, 1 line" in explained
    assert "| the plan" in explained
    assert "next fsm-orchestrator approve ./out" in explained
    status = orchestrate("status", "./out", cwd=waiting).stdout
    assert status.startswith("! waiting: run ")
    assert "approve  fsm-orchestrator approve ./out" in status
    assert standing_of(waiting) == "waiting"
    in_full = words_of("explain", "./out", "--all", cwd=waiting)
    assert "releases sh apply.sh" in in_full
    assert "1 approval of allowed_signers would be asked" in words_of(
        "plan", "./out", "--resume", cwd=waiting
    )
    asked = orchestrate("gates", "./out", cwd=waiting)
    assert asked.code == 3
    assert "nobody has answered (not_found)" in " ".join(asked.stdout.split())


def test_answers_since_are_seen_without_a_resume(waiting: Path, keys: Keys) -> None:
    """A screen shows how many answers there are now, and that a resume is next."""
    say(waiting, keys["bob"])
    explained = words_of("explain", "./out", cwd=waiting)
    assert "gate review is approved by bob@example.org; a resume continues" in explained
    shown = words_of("status", "./out", cwd=waiting)
    assert "gate review is approved by bob@example.org; a resume continues" in shown
    assert "0 of 1" not in shown
    assert "next fsm-orchestrator ./out --resume" in explained
    say(waiting, keys["cat"], Said.DENY, reason="no\x1b[31m backup")
    explained = words_of("explain", "./out", cwd=waiting)
    assert "denied by cat@example.org" in explained
    assert "\x1b" not in explained
    assert orchestrate("gates", "./out", cwd=waiting).code == 3
    (waiting / "plan.md").write_text("another\n")
    explained = words_of("explain", "./out", cwd=waiting)
    assert "has changed; a resume asks again" in explained
    assert "for review has to be asked for again" in explained


def test_what_is_shown_can_drive_no_terminal(tmp_path: Path, signers: str) -> None:
    """A plan is foreign text, and its control characters are spelled out."""
    (tmp_path / "signers").write_text(signers)
    project(tmp_path, plan="printf 'a\\033[2Jb\\n' > plan.md")
    orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    for typed in (("explain", "./out"), ("approve", "./out", "--key", "signers")):
        shown = orchestrate(*typed, cwd=tmp_path).stdout
        assert "\x1b" not in shown
        assert "| a" in shown


def test_nothing_of_a_plan_can_be_hidden(tmp_path: Path, signers: str) -> None:
    """Text that a terminal would overwrite or hide is shown, for programs read it all the same."""
    (tmp_path / "signers").write_text(signers)
    written = "drop a table\\033[Gkeep a table\\nno\\b\\byes\\nup\\rdown\\n\\033[8mghost\\n"
    project(tmp_path, plan=f"printf '{written}' > plan.md")
    orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    seen = orchestrate("approve", "./out", "--key", "signers", cwd=tmp_path).stdout
    for one in (r"drop a table\x1b[Gkeep a table", r"no\x08\x08yes", "| up", r"\x1b[8mghost"):
        assert one in seen
    explained = orchestrate("explain", "./out", "--all", cwd=tmp_path).stdout
    assert r"drop a table\x1b[Gkeep a table" in explained


def test_nothing_that_has_changed_is_called_the_same(
    tmp_path: Path, signers: str, keys: Keys
) -> None:
    """This holds if the lines look the same, and if there are no lines to show."""
    (tmp_path / "signers").write_text(signers)
    project(tmp_path)
    orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    say(tmp_path, keys["bob"])
    for plan, said in (
        (b"the plan\r\n", ["the artifact", " was "]),
        (b"the\0plan\n", ["the artifact", "not shown: it is no text"]),
        (b"another\n", ["| -the plan", "| +another"]),
    ):
        (tmp_path / "plan.md").write_bytes(plan)
        assert go_on(tmp_path, "--on-changed-stage", "keep").code == 3
        seen = orchestrate("approve", "./out", "--key", keys["bob"], cwd=tmp_path).stdout
        assert "changed since bob@example.org approved the last request" in seen
        assert "nothing has changed" not in seen
        for one in said:
            assert one in seen


def test_page_of_a_waiting_run(waiting: Path) -> None:
    """The page says waiting, and shows the progress of the gate."""
    assert orchestrate("report", "./out", "--html", "page.html", cwd=waiting).code == 0
    page = (waiting / "page.html").read_text()
    assert "waiting" in page
    assert "nobody has answered" in page


def test_denied_run_is_blocked(tmp_path: Path, signers: str, keys: Keys) -> None:
    """A denial is a refusal: nothing is awaited any more."""
    (tmp_path / "signers").write_text(signers)
    project(tmp_path)
    orchestrate("run", "./out", "--config", "run.toml", cwd=tmp_path)
    say(tmp_path, keys["bob"], Said.DENY, reason="no")
    ended = go_on(tmp_path)
    assert (ended.code, ended.stdout.startswith("! blocked: ")) == (3, True)
    assert report_of(tmp_path / "out")["waiting_for"] == []
    decision = report_of(tmp_path / "out")["gate_decisions"][-1]
    assert (decision["status"], decision["evidence"]["problem"]) == ("changes_requested", "denied")
    assert "withdraw" in words_of("explain", "./out", cwd=tmp_path)


@pytest.mark.parametrize(
    ("signals", "gates", "standing"),
    [
        ((), ["policy", "ci", "review"], "waiting"),
        (("--policy-status", "allow", "--ci-status", "pending"), ["ci", "review"], "waiting"),
        (("--policy-status", "deny", "--ci-status", "success"), ["review"], "blocked"),
        (("--policy-status", "allow", "--ci-status", "failure"), ["review"], "blocked"),
    ],
)
def test_plain_signals_are_awaited_too(
    tmp_path: Path, signals: tuple[str, ...], gates: list[str], standing: str
) -> None:
    """Missing, unknown and pending signals are listed; a run waits unless one was refused."""
    assert orchestrate("./out", *signals, *stages(), cwd=tmp_path).code == 3
    awaited = report_of(tmp_path / "out")["waiting_for"]
    assert [one["gate"] for one in awaited] == gates
    assert all(one["request"] is None and one["state"] == "gating" for one in awaited)
    assert standing_of(tmp_path) == standing


def test_what_is_awaited_is_what_the_request_says(waiting: Path) -> None:
    """The shown content is that of the existing request."""
    found = look(waiting)
    assert found.look.current is not None
    assert found.look.current.raw == requests(waiting)[-1].read_bytes()
