"""Policies in Rego and Cedar, a stand-in for `opa`, and the judging of a policy without a run."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from fsm_orchestrator.gates.sources import policy
from tests.gates.evidence_cases import config_with
from tests.support.command import Ended, environment, orchestrate

needs_regorus = pytest.mark.skipif(
    importlib.util.find_spec("regorus") is None, reason="needs the extra `rego`"
)
needs_cedarpy = pytest.mark.skipif(
    importlib.util.find_spec("cedarpy") is None, reason="needs the extra `cedar`"
)
CHILD: Final = Path(policy.__file__).with_name("judge_child.py")
REGO: Final = 'rego = { policy = ["release.rego"], query = "data.release.allow" }'
CEDAR: Final = 'cedar = { policy = ["release.cedar"] }'
GOOD_REGO: Final = "package release\ndefault allow := false\nallow if input.gates.ci.passed\n"
GOOD_CEDAR: Final = (
    '@id("tested")\npermit (principal, action == Action::"pass", resource == Gate::"policy")\n'
    "when { context.gates.ci.passed };\n"
)
UNSAFE: Final = "permit (principal, action, resource);\n"


def without_opa(folder: Path) -> dict[str, str]:
    """Return an environment whose PATH has what runs need, but no `opa`."""
    place = folder / "no-opa"
    place.mkdir(exist_ok=True)
    for name in ("true", "false", "sh", "cp", "git", "sleep", "sed", "cat"):
        found = shutil.which(name)
        if found is not None and not (place / name).exists():
            (place / name).symlink_to(found)
    return environment(PATH=str(place))


def with_opa(folder: Path, script: str) -> dict[str, str]:
    """Return an environment whose PATH has a stand-in for `opa`: a script of Python.

    It finds the input in `given`, all its words in `words`, and prints with `say`.
    """
    env = without_opa(folder)
    path = Path(env["PATH"], "opa")
    begin = (
        "import json, os, sys, time\nwords = sys.argv[1:]\n"
        "given = json.load(open(words[words.index('--input') + 1]))\n"
        "def say(value): print(json.dumps(value))\n"
    )
    path.write_text(f"#!{sys.executable} -IS\n{begin}{script}\n")
    path.chmod(0o755)
    return env


def result_of(value: Any) -> dict[str, Any]:
    """Return what OPA's documentation shows of `opa eval --format json`."""
    location = {"row": 1, "col": 1}
    expression = {"value": value, "text": "data.release.allow", "location": location}
    return {"result": [{"expressions": [expression]}]}


def verdict_on(
    folder: Path, language: str, text: str, given: Mapping[str, Any], **more: Any
) -> dict[str, Any]:
    """Let the judging process judge one policy on a document; return its verdict."""
    for name, content in {"policy": text, "input.json": json.dumps(given), "empty": "{}"}.items():
        (folder / name).write_text(content)
    asked = {
        "language": language,
        "memory_bytes": 512 * 1024**2,
        "python_path": [one for one in sys.path if os.path.isabs(one)],
        "input": str(folder / "input.json"),
        "empty_input": str(folder / "empty"),
        "query": "data.release.allow",
        "policies": [["release", str(folder / "policy")]],
        "data": [],
        "schema": None,
        "opa": None,
        "principal": {"type": "Run", "id": "r"},
        "action": {"type": "Action", "id": "pass"},
        "resource": {"type": "Gate", "id": "policy"},
        **more,
    }
    (folder / "asked.json").write_text(json.dumps(asked))
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(CHILD), str(folder / "asked.json")],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": ""},
    )
    said = json.loads(done.stdout)
    assert isinstance(said, dict)
    return {**said, "stderr": done.stderr}


def asked(
    folder: Path, source: str, env: Mapping[str, str], python: str = sys.executable
) -> tuple[int, dict[str, Any]]:
    """Ask the gates without a run; return the exit code, and the evidence of the gate policy."""
    config_with(folder, source, gate="policy")
    words = ("gates", "--config", "run.toml", "--json")
    ended = orchestrate(*words, cwd=folder, env=env, python=python)
    found = {one["gate"]: one["evidence"] for one in json.loads(ended.stdout)["gates"]}
    return ended.code, found["policy"]


def explained(ended: Ended) -> str:
    """Return the words of a screen, without its line breaks."""
    return " ".join(ended.stdout.split())
