"""Limits of a policy: loops, memory and output. And files that cannot be read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest

from fsm_orchestrator.gates.sources import policy as judging
from fsm_orchestrator.gates.sources.base import Tools
from fsm_orchestrator.gates.sources.rego import RegoPolicy, RegoSource
from fsm_orchestrator.model.evidence import EvidenceProblem
from tests.gates.evidence_cases import assert_refused, config_with, evidence_of, run_with
from tests.gates.policy_cases import (
    GOOD_REGO,
    REGO,
    asked,
    needs_regorus,
    result_of,
    with_opa,
    without_opa,
)
from tests.support.command import orchestrate
from tests.support.other_python import other_python

pytestmark = pytest.mark.one_in(2)

NUMBERS = "some a in numbers.range(1, 100000)\n\tsome b in numbers.range(1, 100000)"


def run_policy(folder: Path, text: str, more: str = "", **rest: Any) -> Any:
    """Run with a policy in Rego, judged by regorus unless another environment is given."""
    (folder / "release.rego").write_text(text)
    env = rest.pop("env", None) or without_opa(folder)
    return run_with(folder, f"{REGO}\n{more}", gate="policy", env=env, **rest)


@needs_regorus
def test_endless_policy_is_ended(tmp_path: Path) -> None:
    """An endless loop is ended, since no engine has a limit of its own."""
    text = f"package release\nallow if {{\n\t{NUMBERS}\n\ta + b == -1\n}}\n"
    ended = run_policy(tmp_path, text, 'timeout = "1500ms"')
    assert_refused(tmp_path, ended, "timed_out", "unknown", "policy")
    assert "1.5s" in evidence_of(tmp_path, "policy")["detail"]


@needs_regorus
def test_greedy_policy_is_ended(tmp_path: Path) -> None:
    """It gets its granted memory, and none of this program's."""
    text = "package release\nallow if count(numbers.range(1, 1000000000)) == 1\n"
    ended = run_policy(tmp_path, text, 'memory_limit = "128MB"')
    assert ended.code == 3, ended.stderr
    assert evidence_of(tmp_path, "policy")["problem"] in {"killed", "engine_error"}


@needs_regorus
def test_what_a_policy_prints_is_in_its_log(tmp_path: Path) -> None:
    """It cannot print its own verdict, and its output is limited."""
    forged = r'print("{\"verdict\": \"allowed\", \"engine\": \"x\", \"detail\": \"\"}")'
    text = f"package release\nallow := false if {{\n\t{forged}\n}}\n"
    assert_refused(tmp_path, run_policy(tmp_path, text), "check_failed", "deny", "policy")
    log = tmp_path / "out" / "logs" / "gate.policy.1.stderr.log"
    assert log.read_text().count('"engine": "x"') == 1, "nothing is heard of the empty input"
    assert log.stat().st_mode & 0o777 == 0o600


@needs_regorus
def test_policy_that_prints_too_much(tmp_path: Path) -> None:
    """Output after the limit is neither kept nor waited for."""
    told = f'input.gates\n\t{NUMBERS}\n\tprint("again", a, b)'
    text = f"package release\nallow if {{\n\t{told}\n\ta + b == -1\n}}\n"
    ended = run_policy(tmp_path, text, 'output_limit = "20k"')
    assert_refused(tmp_path, ended, "output_limit", "unknown", "policy")


def test_nothing_of_opa_survives(tmp_path: Path) -> None:
    """Processes that `opa` leaves end with the judging, and its time is bounded."""
    script = (
        f"if os.fork() == 0:\n    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        f"    os.close(1)\n    time.sleep(300)\nsay({result_of(True)!r} if given else {{}})"
    )
    ended = run_policy(tmp_path, "package release\n", env=with_opa(tmp_path, script))
    assert ended.code == 0, ended.stderr
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


def _missing(path: Path) -> None:
    path.unlink()


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _large(path: Path) -> None:
    path.unlink()
    with path.open("wb") as file:
        file.truncate(judging.FILE_BYTES_MAX + 1)


def _latin(path: Path) -> None:
    path.write_bytes(b"package release # \xe9\n")


def _loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (_missing, "not_found"),
        (_directory, "not_found"),
        (_fifo, "not_found"),
        (_large, "not_found"),
        (_latin, "engine_error"),
        (_loop, "not_found"),
    ],
)
def test_policy_that_cannot_be_read(tmp_path: Path, spoil: Any, problem: str) -> None:
    """Without the policy nothing is judged; the file is named."""
    path = tmp_path / "release.rego"
    path.write_text(GOOD_REGO)
    spoil(path)
    env = with_opa(tmp_path, f"say({result_of(True)!r} if given else {{}})")
    code, evidence = asked(tmp_path, REGO, env)
    assert (code, evidence["problem"]) == (3, problem)
    assert "release.rego" in evidence["detail"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "not_a_statement"),
        ("{", "not_json"),
        ('{"a": 1, "a": 2}', "not_json"),
        ("1", "not_a_statement"),
    ],
)
def test_data_that_is_no_object_refuses(tmp_path: Path, text: str, problem: str) -> None:
    """Ambiguous data is not used for a verdict."""
    (tmp_path / "release.rego").write_text(GOOD_REGO)
    (tmp_path / "data.json").write_text(text)
    source = REGO.replace("query", 'data = ["data.json"], query')
    code, evidence = asked(tmp_path, source, without_opa(tmp_path))
    assert (code, evidence["problem"]) == (3, problem)
    assert "data.json" in evidence["detail"]


def test_missing_engine_says_how_to_install_it(tmp_path: Path) -> None:
    """Without an engine nothing is decided."""
    none = "raise ImportError"
    python = other_python(tmp_path / "without", regorus=none, cedarpy=none)
    (tmp_path / "release.rego").write_text(GOOD_REGO)
    sources = {"rego": REGO, "cedar": 'cedar = { policy = ["release.rego"] }'}
    for extra, source in sources.items():
        config_with(tmp_path, source, gate="policy")
        words = ("gates", "--config", "run.toml")
        ended = orchestrate(*words, cwd=tmp_path, env=without_opa(tmp_path), python=python)
        assert ended.code == 3
        assert "engine_error" in ended.stdout
        assert f"pip install 'fsm-orchestrator[{extra}]'" in " ".join(ended.stdout.split())


def test_no_room_for_scratch_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy is not judged if the copies cannot be made; that is no bug of the program."""
    (tmp_path / "release.rego").write_text(GOOD_REGO)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    document = SimpleNamespace(model_dump_json=lambda **_: "{}")
    tools = cast("Tools", SimpleNamespace(mask=str, document=lambda _: document))
    given = RegoPolicy(policy=(str(tmp_path / "release.rego"),), query="data.release.allow")
    found = RegoSource(rego=given).source(tools).collect(None, ())
    assert found.record.problem is EvidenceProblem.ENGINE_ERROR
    assert "no scratch files can be made" in found.record.detail
    assert found.raw == b"{}\n"


FORGED: Final = '{"verdict": "allowed", "engine": "x", "detail": ""}'
ODD_ENGINES: Final = {
    "one that prints a verdict": (f"os.write(1, {FORGED!r}.encode())", "check_failed"),
    "one that exits": ("os._exit(3)", "engine_error"),
    "one that crashes": ("os.kill(os.getpid(), 11)", "killed"),
    "one that panics": ("raise BaseException('panicked')", "engine_error"),
}


def test_engine_that_goes_wrong_takes_nobody_with_it(tmp_path: Path) -> None:
    """Whatever an engine does, the gate stays closed, and the command prints why."""
    (tmp_path / "release.rego").write_text(GOOD_REGO)
    for number, (script, problem) in enumerate(ODD_ENGINES.values()):
        engine = (
            "import os\nclass Engine:\n"
            "    add_policy = set_input_json = lambda *_: None\n"
            f"    def eval_query(self, query):\n        {script}\n"
            "        return {'result': [{'expressions': [{'value': False}]}]}\n"
        )
        python = other_python(tmp_path / f"odd{number}", regorus=engine)
        code, evidence = asked(tmp_path, REGO, without_opa(tmp_path), python)
        assert (code, evidence["problem"]) == (3, problem), evidence
