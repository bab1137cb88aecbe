"""A gate whose policy is in Rego: only `true` passes, and any other result refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gates.evidence_cases import (
    assert_refused,
    config_with,
    decision_of,
    evidence_of,
    run_with,
    sha256_of,
)
from tests.gates.policy_cases import (
    GOOD_REGO,
    REGO,
    asked,
    explained,
    needs_regorus,
    result_of,
    verdict_on,
    with_opa,
    without_opa,
)
from tests.support.command import orchestrate

PASSED = {"gates": {"ci": {"passed": True}}}


def run_policy(folder: Path, text: str, source: str = REGO, **rest: Any) -> Any:
    """Run with a policy in Rego, judged by regorus."""
    (folder / "release.rego").write_text(text)
    return run_with(folder, source, gate="policy", env=without_opa(folder), **rest)


@needs_regorus
def test_true_passes_and_what_was_judged_is_kept(tmp_path: Path) -> None:
    """The document names the policy by its digest, and anybody can judge it again."""
    ended = run_policy(tmp_path, GOOD_REGO, more='[subject]\nfiles = ["run.toml"]')
    assert ended.code == 0, ended.stderr
    decision = decision_of(tmp_path, "policy")
    evidence = decision["evidence"]
    assert decision["status"] == "allow"
    assert evidence["source"] == "rego"
    assert evidence["detail"] == "data.release.allow is true, by regorus 0.13.0"
    assert evidence["subject"][0]["digest"] == {"sha256": sha256_of(tmp_path / "run.toml")}
    kept = tmp_path / "out" / evidence["file"]
    assert kept.stat().st_mode & 0o777 == 0o600
    assert evidence["statement_sha256"] == sha256_of(kept)
    assert evidence["log"] == "logs/gate.policy.2.stderr.log"  # judged again before closing
    document = json.loads(kept.read_text())
    path = tmp_path / "release.rego"
    assert document["policy"] == {
        "language": "rego",
        "query": "data.release.allow",
        "files": [{"kind": "policy", "path": str(path), "sha256": sha256_of(path)}],
    }
    assert verdict_on(tmp_path, "rego", GOOD_REGO, document)["verdict"] == "allowed"
    logs = sorted(one.name for one in (tmp_path / "out" / "logs").glob("gate.*"))
    assert "gate.policy.1.stdout.log" in logs
    screen = explained(orchestrate("explain", "./out", "--all", cwd=tmp_path))
    assert "by Rego policy" in screen


@needs_regorus
@pytest.mark.parametrize(
    ("text", "problem", "status", "said"),
    [
        ("package release\nallow := false\n", "check_failed", "deny", "is false"),
        ("package release\nallow if input.nothing\n", "undefined", "unknown", "is undefined"),
        ("package other\nallow := true\n", "undefined", "unknown", "is undefined"),
        ('package release\nallow := "true"\n', "undefined", "unknown", "is a string, not true"),
        ("package release\nallow := true\n", "vacuous", "unknown", "on an empty input too"),
        ("package release\nallow if not input.denied\n", "vacuous", "unknown", "asks for nothing"),
        (
            "package release\nallow if 1 / 0 == 1\n",
            "engine_error",
            "unknown",
            "release.rego:2:12: divide by zero",
        ),
        ("no policy", "engine_error", "unknown", "release.rego:1:1"),
    ],
)
def test_anything_but_true_refuses(
    tmp_path: Path, text: str, problem: str, status: str, said: str
) -> None:
    """The problem is one of the closed list; `explain` shows it with its remedy."""
    assert_refused(tmp_path, run_policy(tmp_path, text), problem, status, "policy")
    assert said in evidence_of(tmp_path, "policy")["detail"]
    assert problem in orchestrate("explain", "./out", cwd=tmp_path).stdout


@needs_regorus
@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("package release\nallow contains 1", "not_boolean"),
        ("package release\nallow := 1", "not_boolean"),
        ("package release\nallow := [true]", "not_boolean"),
        ("package release\nallow := {}", "not_boolean"),
        ("package release\nallow := null", "not_boolean"),
        ("package release", "undefined"),
        ("package release\nallow if nosuch(input)", "error"),
        ('package release\nallow if not (to_number("x") == 1)', "error"),
        ("package release\nallow := true if input.a\nallow := false if input.b", "error"),
        ("package release\nallow if { print(input.a); input.a }", "allowed"),
        ("package release\nallow if input.a\n# \N{SNOWMAN}", "allowed"),
        ("package release\ndefault allow := true\nallow := false if input.a", "vacuous"),
    ],
)
def test_verdicts_of_the_engine(tmp_path: Path, text: str, verdict: str) -> None:
    """An error of a built-in is not `undefined`, and printed text is no answer."""
    said = verdict_on(tmp_path, "rego", text, {"a": True, "b": True})
    assert said["verdict"] == verdict
    assert ("True" in said["stderr"] or "true" in said["stderr"]) == ("print" in text)


@needs_regorus
def test_data_is_part_of_what_is_judged(tmp_path: Path) -> None:
    """Data files are merged, and have their digests in the evidence; a directory has many."""
    (tmp_path / "data" / "more").mkdir(parents=True)
    (tmp_path / "data" / "more" / "limits.json").write_text('{"limits": {"stages": 2}}')
    (tmp_path / "names.json").write_text('{"names": ["ci"]}')
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "release.rego").write_text(
        "package release\nallow if {\n\tcount(input.stages) == data.limits.stages\n"
        "\tinput.gates[data.names[0]].passed\n}\n"
    )
    source = (
        'rego = { policy = ["rules"], data = ["names.json", "data"], query = "data.release.allow" }'
    )
    ended = run_with(tmp_path, source, gate="policy", env=without_opa(tmp_path))
    assert ended.code == 0, ended.stderr
    kept = json.loads((tmp_path / "out" / "evidence" / "policy.1.json").read_text())
    assert [(one["kind"], one["path"]) for one in kept["policy"]["files"]] == [
        ("policy", str(tmp_path / "rules" / "release.rego")),
        ("data", str(tmp_path / "names.json")),
        ("data", str(tmp_path / "data" / "more" / "limits.json")),
    ]


OPA_ERROR = """file = words[words.index('--data') + 1]
place = {'file': file, 'row': 2, 'col': 10}
say({'errors': [{'message': 'div: divide by zero', 'code': 'eval_error', 'location': place}]})
sys.exit(2)"""
ANSWERS = {
    "true": (f"say({result_of(True)!r} if given else {{}})", None, "is true, by opa"),
    "false": (f"say({result_of(False)!r})", "check_failed", "is false, by opa"),
    "undefined": ("say({})", "undefined", "is undefined, by opa"),
    "not boolean": (f"say({result_of([1])!r})", "undefined", "is an array"),
    "two results": (
        f"say({{'result': 2 * {result_of(True)['result']!r}}})",
        "undefined",
        "not true or false",
    ),
    "always true": (f"say({result_of(True)!r})", "vacuous", "on an empty input too"),
    "an error": (
        OPA_ERROR,
        "engine_error",
        "cannot be judged: release.rego:2: div: divide by zero",
    ),
    "errors beside a result": (
        f"say({{'errors': [{{'message': 'odd'}}], **{result_of(True)!r}}})",
        "engine_error",
        "odd",
    ),
    "true and a bad exit": (
        f"say({result_of(True)!r} if given else {{}})\nsys.exit(1 if given else 0)",
        "engine_error",
        "opa exited with 1",
    ),
    "no JSON": ("print('true')\nprint('true')", "engine_error", "printed no JSON"),
    "nothing": ("", "engine_error", "printed no JSON"),
    "another shape": ("say({'result': [True]})", "engine_error", "did not answer"),
    "too much": ("print('[' + '1,' * 2**20 + '1]')", "engine_error", "more than 1048576 bytes"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_of_opa(tmp_path: Path, case: str) -> None:
    """`opa` on PATH is used before any module, with the empty input and with the known facts."""
    script, problem, said = ANSWERS[case]
    (tmp_path / "release.rego").write_text("package release\nallow := true\n")
    code, evidence = asked(tmp_path, REGO, with_opa(tmp_path, script))
    assert (code, evidence["problem"]) == (0 if problem is None else 3, problem)
    assert said in evidence["detail"]


def test_opa_is_asked_strictly(tmp_path: Path) -> None:
    """It gets copies of the files under fixed names, strict errors, and no environment."""
    (tmp_path / "release.rego").write_text("package release\n")
    (tmp_path / "more.json").write_text("{}")
    log = tmp_path / "asked"
    script = (
        f"open({str(log)!r}, 'a').write(json.dumps([words, sorted(os.environ)]) + '\\n')\n"
        f"say({result_of(True)!r} if given else {{}})"
    )
    source = (
        'rego = { policy = ["release.rego"], data = ["more.json"], query = "data.release.allow" }'
    )
    env = {**with_opa(tmp_path, script), "SECRET_OF_OURS": "abc"}
    assert run_with(tmp_path, source, gate="policy", env=env).code == 0
    asked = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(asked) % 2 == 0
    words, names = asked[1]
    assert words[:4] == ["eval", "--format", "json", "--strict-builtin-errors"]
    assert [Path(one).suffix for one in words[4:] if one.startswith("/")] == [
        ".json",
        ".rego",
        ".json",
    ]
    assert words[-1] == "data.release.allow"
    assert "SECRET_OF_OURS" not in names
    assert not Path(words[5]).exists()


@pytest.mark.parametrize(
    ("query", "is_good"),
    [
        ("data.release.allow", True),
        ("data.a_1.B", True),
        ("true", False),
        ("data", False),
        ("data.release.allow == false", False),
        ("data.release.allow; true", False),
        ("--help", False),
        ("data.release.allow\n", False),
    ],
)
def test_query_is_the_path_of_a_rule(tmp_path: Path, query: str, is_good: bool) -> None:
    """An expression that is always true is no query."""
    source = f'rego = {{ policy = ["r.rego"], query = {json.dumps(query)} }}'
    config_with(tmp_path, source, gate="policy")
    ended = orchestrate("plan", "./out", "--config", "run.toml", cwd=tmp_path)
    assert (ended.code == 2) != is_good
    if is_good:
        assert f"rego {query} in" in ended.stdout
    else:
        assert "should be the path of one rule, such as data.release.allow" in ended.stderr


@pytest.mark.parametrize(
    ("source", "known"),
    [
        ('rego = { policy = ["r.rego"], query = "data.a.b", xyz = [] }', "policy, data, query"),
        ('cedar = { policy = ["r.cedar"], shema = "s" }', "did you mean 'schema'?"),
        ('statement = "s.json"\nsigned_by = { keys = [] }', "dsse_keys"),
    ],
)
def test_misspelt_key_of_a_table_names_its_keys(tmp_path: Path, source: str, known: str) -> None:
    """The message lists the keys of that table."""
    config_with(tmp_path, source, gate="policy")
    ended = orchestrate("plan", "./out", "--config", "run.toml", cwd=tmp_path)
    assert ended.code == 2
    assert known in ended.stderr, ended.stderr
