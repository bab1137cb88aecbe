"""A stand-in for `gh`, which prints what GitHub's documentation of its REST API shows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.gates.evidence_cases import config_with, repository
from tests.support.command import Ended, orchestrate

CHECKS: Final = 'github = { repository = "octocat/hello-world", checks = ["build", "test"] }'
APPROVALS: Final = 'github = { repository = "octocat/hello-world", approvals = 1 }'
SUBJECT: Final = '[subject]\ngit = "."'
AT: Final = "2026-01-02T03:04:05Z"
_SCRIPT: Final = """#!/bin/sh
for path; do :; done
printf '%s\\n' "$*" >> "$STAND_IN/asked"
printf '%s' "${GH_TOKEN-}" > "$STAND_IN/token"
name=$(printf %s "$path" | tr '/?&=' '----')
file="$STAND_IN/$name"
if [ ! -e "$file" ]; then
    printf 'HTTP/2.0 404 Not Found\\nContent-Type: application/json; charset=utf-8\\r\\n\\r\\n'
    printf '{"message":"Not Found","documentation_url":"https://docs.github.com/rest","status":"404"}'
    echo 'gh: Not Found (HTTP 404)' >&2
    exit 1
fi
cat "$file"
[ -e "$file.err" ] && cat "$file.err" >&2
[ -e "$file.sh" ] && . "$file.sh"
code=0
[ -e "$file.code" ] && code=$(cat "$file.code")
[ -e "$file.next" ] && mv "$file.next" "$file"
exit "$code"
"""


@dataclass(frozen=True)
class Answer:
    """An answer of GitHub: JSON, or text unchanged; with the exit code of `gh`."""

    body: Any
    status: str = "200 OK"
    fields: Mapping[str, str] = field(default_factory=dict)
    stderr: str = ""
    code: int = 0
    then: str = ""

    @property
    def text(self) -> str:
        """The body as it is printed."""
        return self.body if isinstance(self.body, str) else json.dumps(self.body)


class StandIn:
    """The answers of GitHub, as files that the stand-in prints."""

    def __init__(self, folder: Path, commit: str | None = None) -> None:
        self.folder = folder
        self.commit = commit or repository(folder)
        self.place = folder / "github"
        self.place.mkdir()
        (folder / "bin").mkdir()
        (folder / "bin" / "gh").write_text(_SCRIPT)
        (folder / "bin" / "gh").chmod(0o755)
        ignored = folder / ".git" / "info" / "exclude"
        ignored.write_text("/github\n/bin\n/out\n/state\n/run.toml\n/*.toml\n")
        self.base = "repos/octocat/hello-world"

    @property
    def env(self) -> dict[str, str]:
        """The environment in which `gh` is the stand-in."""
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": path, "STAND_IN": str(self.place)}

    def says(self, path: str, answer: Answer, *, suffix: str = "") -> None:
        """Make GitHub answer at a path below the repository."""
        head = {"Content-Type": "application/json; charset=utf-8", **answer.fields}
        lines = "".join(f"{key}: {value}\r\n" for key, value in sorted(head.items()))
        text = f"HTTP/2.0 {answer.status}\n{lines}\r\n{answer.text}"
        self.prints(path, text, code=answer.code, stderr=answer.stderr, suffix=suffix)
        if answer.then:
            (self.place / f"{self._name(path)}.sh").write_text(answer.then)

    def prints(
        self, path: str, text: str, *, code: int = 0, stderr: str = "", suffix: str = ""
    ) -> None:
        """Make `gh` print a text, whether it is an answer of GitHub or not."""
        file = self.place / f"{self._name(path)}{suffix}"
        file.write_bytes(text.encode())
        for ending, content in ((".err", stderr), (".code", str(code))):
            (self.place / f"{file.name}{ending}").write_text(content)

    def _name(self, path: str) -> str:
        return f"{self.base}/{path}".translate(str.maketrans("/?&=", "----"))

    def page(self, what: str, number: int = 1) -> str:
        """Return the path of a page of information about the commit."""
        mark = "&" if "?" in what else "?"
        return f"commits/{self.commit}/{what}{mark}per_page=100&page={number}"

    def has_checks(
        self,
        runs: Iterable[Mapping[str, Any]],
        statuses: Iterable[Mapping[str, Any]] = (),
        *,
        suffix: str = "",
    ) -> None:
        """Give the commit these check runs and statuses, on one page each."""
        made = [
            {"id": number, "head_sha": self.commit, **one} for number, one in enumerate(runs, 1)
        ]
        body = {"total_count": len(made), "check_runs": made}
        self.says(self.page("check-runs?filter=all"), Answer(body), suffix=suffix)
        self.has_statuses(statuses)

    def has_statuses(self, statuses: Iterable[Mapping[str, Any]]) -> None:
        """Give the commit these statuses."""
        made = [{"id": number, "updated_at": AT, **one} for number, one in enumerate(statuses, 1)]
        body = {
            "state": "success",
            "sha": self.commit,
            "total_count": len(made),
            "statuses": made,
            "repository": {"id": 1296269, "full_name": "octocat/hello-world"},
        }
        self.says(self.page("status"), Answer(body))

    def has_reviews(self, reviews: Iterable[Mapping[str, Any]], *, suffix: str = "") -> None:
        """Give the one open pull request of the commit, #1347 of octocat's, these reviews."""
        self.says(self.page("pulls"), Answer([pull(self.commit)]))
        made = [
            {"id": 80 + number, "commit_id": self.commit, **one}
            for number, one in enumerate(reviews)
        ]
        self.says("pulls/1347/reviews?per_page=100&page=1", Answer(made), suffix=suffix)

    def asked(self) -> list[str]:
        """Return the command lines of `gh`, without their common part."""
        return (self.place / "asked").read_text().splitlines()

    def ask(
        self, source: str, *, gate: str = "ci", more: str = SUBJECT, **env: str
    ) -> dict[str, Any]:
        """Return the answer of `gates` about the gate."""
        config_with(self.folder, source, gate=gate, more=more)
        words = ("gates", "--config", "run.toml", "--json")
        ended = orchestrate(*words, cwd=self.folder, env={**self.env, **env})
        found = next(one for one in json.loads(ended.stdout)["gates"] if one["gate"] == gate)
        assert isinstance(found, dict)
        assert ended.code == (0 if found["passed"] else 3)
        return found

    def run(self, source: str, *, gate: str = "ci", more: str = SUBJECT) -> Ended:
        """Run with the gate asking GitHub."""
        config_with(self.folder, source, gate=gate, more=more)
        words = ("run", "./out", "--config", "run.toml")
        return orchestrate(*words, cwd=self.folder, env=self.env)


def check(name: str, conclusion: str | None = "success", **more: Any) -> dict[str, Any]:
    """Return a check run as GitHub shows it."""
    done = conclusion is not None
    return {
        "node_id": "MDg6Q2hlY2tSdW40",
        "external_id": "",
        "url": "https://api.github.com/repos/octocat/hello-world/check-runs/4",
        "status": "completed" if done else "in_progress",
        "conclusion": conclusion,
        "started_at": "2026-01-02T03:00:00Z",
        "completed_at": AT if done else None,
        "output": {"title": None, "summary": None, "text": None, "annotations_count": 0},
        "name": name,
        "check_suite": {"id": 5},
        "app": {"id": 15368, "slug": "github-actions", "name": "GitHub Actions"},
        "pull_requests": [],
        **more,
    }


def status(context: str, state: str = "success") -> dict[str, Any]:
    """Return a commit status as GitHub shows it."""
    return {"context": context, "state": state, "description": "It is so.", "target_url": None}


def pull(commit: str, **more: Any) -> dict[str, Any]:
    """Return a pull request as GitHub shows it."""
    return {
        "id": 1,
        "number": 1347,
        "state": "open",
        "merged_at": None,
        "user": {"login": "octocat", "id": 1},
        "head": {"ref": "new-topic", "sha": commit},
        **more,
    }


def review(who: str, state: str = "APPROVED", minute: int = 0, **more: Any) -> dict[str, Any]:
    """Return a review as GitHub shows it."""
    return {
        "user": {"login": who, "id": 1 if who == "octocat" else sum(who.encode()), "type": "User"},
        "body": "Here is the body for the review.",
        "state": state,
        "author_association": "COLLABORATOR",
        "submitted_at": f"2026-01-02T03:{minute:02}:00Z",
        **more,
    }
