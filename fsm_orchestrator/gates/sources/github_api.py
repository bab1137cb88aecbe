"""GitHub's REST API, asked through the operator's `gh`: whole answers, or a refusal.

An answer is whole if `gh` exited with 0, GitHub answered 200, each page is JSON, there are as many
pages as its Link names, and the number of entries is the stated total, if any. `gh` has its own
login: this program looks for no token, and keeps the environment that `gh` gets nowhere.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from fsm_orchestrator.clock import timestamp
from fsm_orchestrator.gates.sources.base import EVIDENCE_BYTES_MAX, Tools
from fsm_orchestrator.gates.sources.envelope import RefusedError, json_value
from fsm_orchestrator.gates.sources.helper import HelperEnd, problem_with_end, run_helper
from fsm_orchestrator.gates.sources.installing import how_to_install
from fsm_orchestrator.model.endings import Exited, NotSpawned, SpawnFailure
from fsm_orchestrator.model.evidence import EvidenceProblem
from fsm_orchestrator.text.hidden import printable

PAGES_MAX: Final = 50
PER_PAGE: Final = 100
LOG_IN: Final = "run gh auth login, or set GH_TOKEN"

_QUIET: Final = {"NO_COLOR": "1", "GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1"}
_NOISY: Final = frozenset({"GH_DEBUG", "DEBUG", "GH_FORCE_TTY", "CLICOLOR_FORCE"})
"""The variables that make `gh` print something besides the answer."""
_WORDS: Final = (
    *("gh", "api", "--include", "--method", "GET"),
    *("-H", "Accept: application/vnd.github+json", "-H", "X-GitHub-Api-Version: 2022-11-28"),
)
_HEAD: Final = re.compile(rb"HTTP/[0-9.]+ ([0-9]{3})[^\n]*\n((?:[^\r\n]+\r?\n)*)\r?\n")
_FIELD: Final = re.compile(rb"([A-Za-z0-9-]+): *([^\r\n]*)")
_LINK: Final = re.compile(r'<[^<>]*[?&]page=([1-9][0-9]{0,5})(?:&[^<>]*)?>; rel="([a-z]+)"')
_NOT_LOGGED_IN: Final = 4  # the exit code of gh
_OK, _UNKNOWN_CALLER, _FORBIDDEN, _NO_SUCH, _NO_COMMIT, _TOO_MANY, _BROKEN = (
    *(200, 401, 403, 404),
    *(422, 429, 500),
)
_SAID_MAX: Final = 300


class _Page(NamedTuple):
    """An answer of GitHub's; the names of its header fields are in lower case."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def links(self) -> dict[str, int]:
        """The pages that its Link names, by their relation to it."""
        return {rel: int(page) for page, rel in _LINK.findall(self.fields.get("link", ""))}


class GitHubApi:
    """Questions to GitHub, all within one time limit; every answer is kept."""

    def __init__(self, tools: Tools, timeout_ms: int) -> None:
        self._runner = tools.runner
        self._deadline = time.monotonic() + timeout_ms / 1000
        self._answers: list[dict[str, Any]] = []
        self._size_bytes = 0
        inherited = {key: one for key, one in os.environ.items() if key not in _NOISY}
        self._env = {**inherited, **_QUIET}

    @property
    def raw(self) -> bytes | None:
        """The answers of GitHub with their unchanged bodies; None before the first."""
        if not self._answers:
            return None
        return (json.dumps({"answers": self._answers}, indent=2) + "\n").encode()

    def one(self, path: str) -> Any:
        """Return the document at a path.

        Raises:
            RefusedError: GitHub did not give it.
        """
        return json_value(self._page(path).body)

    def every(self, path: str) -> list[Any]:
        """Return all pages of a list.

        Raises:
            RefusedError: GitHub did not give all of them.
        """
        found: list[Any] = []
        last = None
        while True:
            number = len(found) + 1
            page = self._page(
                f"{path}{'&' if '?' in path else '?'}per_page={PER_PAGE}&page={number}"
            )
            found.append(json_value(page.body))
            last = page.links.get("last", last)
            following = page.links.get("next")
            if following is None:
                break
            if following != number + 1:
                raise half(f"page {number} is followed by page {following}")
            if following > PAGES_MAX:
                raise half(f"there are more than {PAGES_MAX} pages of {path}")
        if last is not None and last != len(found):
            raise half(f"page {len(found)} is the last, and {last} were announced")
        return found

    def _page(self, path: str) -> _Page:
        left_ms = round((self._deadline - time.monotonic()) * 1000)
        if left_ms <= 0:
            raise RefusedError(EvidenceProblem.TIMED_OUT, "GitHub did not answer in time")
        ended = run_helper(
            self._runner,
            (*_WORDS, path),
            self._env,
            timeout_ms=left_ms,
            output_bytes=EVIDENCE_BYTES_MAX,
        )
        page = _read(ended)
        self._keep(path, page)
        if page.status != _OK:
            raise _refusal(page, ended.stderr)
        if ended.end != Exited(0):
            said = f"gh exited with an error, though GitHub answered: {_first_line(ended.stderr)}"
            raise RefusedError(EvidenceProblem.ENGINE_ERROR, said)
        return page

    def _keep(self, path: str, page: _Page) -> None:
        self._size_bytes += len(page.body)
        if self._size_bytes > EVIDENCE_BYTES_MAX:
            said = f"GitHub's answers are larger than {EVIDENCE_BYTES_MAX} bytes"
            raise RefusedError(EvidenceProblem.OUTPUT_LIMIT, said)
        body = page.body.decode(errors="replace")
        self._answers.append({"path": path, "status": page.status, "body": body})


def half(why: str) -> RefusedError:
    """Return the refusal of an incomplete answer."""
    return RefusedError(EvidenceProblem.ENGINE_ERROR, f"GitHub's answer is incomplete: {why}")


def _read(ended: HelperEnd) -> _Page:
    """Read the output of gh: the head of GitHub's answer, and its body."""
    match ended.end:
        case NotSpawned(failure=SpawnFailure.NOT_FOUND, detail=detail):
            raise RefusedError(
                EvidenceProblem.ENGINE_ERROR, f"{detail}; {how_to_install('gh')}, then {LOG_IN}"
            )
        case Exited(code=code):
            pass
        case _:
            problem, said = problem_with_end(ended.end)
            raise RefusedError(problem or EvidenceProblem.ENGINE_ERROR, f"gh: {said}")
    head = _HEAD.match(ended.stdout)
    if head is None and code == _NOT_LOGGED_IN:
        raise RefusedError(EvidenceProblem.ENGINE_ERROR, f"gh is not logged in; {LOG_IN}")
    if head is None and code == 0:
        said = "gh printed no answer of GitHub's; is it another program of that name?"
        raise RefusedError(EvidenceProblem.ENGINE_ERROR, said)
    if head is None:
        said = f"gh exited with {code}: {_first_line(ended.stderr)}"
        raise RefusedError(EvidenceProblem.ENGINE_ERROR, said)
    fields = {
        name.lower().decode(): value.decode(errors="replace")
        for name, value in _FIELD.findall(head[2])
    }
    return _Page(int(head[1]), fields, ended.stdout[head.end() :])


def _refusal(page: _Page, stderr: str) -> RefusedError:
    """Return the refusal for an answer other than 200."""
    code, said = page.status, f"GitHub answered {page.status}: {_first_line(stderr)}"
    is_limit = page.fields.get("x-ratelimit-remaining") == "0" or "retry-after" in page.fields
    if code in {_NO_SUCH, _NO_COMMIT}:
        return RefusedError(EvidenceProblem.NOT_FOUND, said)
    if code == _UNKNOWN_CALLER:
        return RefusedError(EvidenceProblem.ENGINE_ERROR, f"{said}; {LOG_IN}")
    if code == _TOO_MANY or (code == _FORBIDDEN and is_limit):
        said = f"{said}; the rate limit is reached{_until(page.fields)}"
    elif code == _FORBIDDEN:
        said = f"{said}; the login of gh may not see that"
    elif code >= _BROKEN:
        said = f"{said}; try again later"
    return RefusedError(EvidenceProblem.ENGINE_ERROR, said)


def _until(fields: Mapping[str, str]) -> str:
    reset = fields.get("x-ratelimit-reset", "")
    if reset.isdecimal() and len(reset) < 12:  # noqa: PLR2004 - a time before the year 5000
        return f" until {timestamp(datetime.fromtimestamp(int(reset), UTC))}"
    after = fields.get("retry-after", "")
    return f" for {after} seconds more" if after.isdecimal() else ""


def _first_line(stderr: str) -> str:
    line = next((one for one in stderr.splitlines() if one.strip()), "it said nothing")
    return printable(line.strip())[:_SAID_MAX]
