"""The gates: every combination of signals, given, kept and left out, and the run's result."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from fsm_orchestrator.gates.judging import (
    GateSignal,
    have_passed,
    judge,
    reason_codes,
    signals_in_force,
)
from fsm_orchestrator.model.gate_rules import MANDATORY_RULES
from fsm_orchestrator.model.invocation import SignalGiven
from fsm_orchestrator.vocabulary import Gate, GateSource
from tests.support.command import (
    CHECKPOINT,
    PASSING,
    REPORT,
    checkpoint_of,
    events_of,
    orchestrate,
    read_json,
    report_of,
    spawned,
    stages,
    statuses,
    tree_of,
)

GIVEN: Final = SignalGiven(
    at="2026-01-02T03:04:05.000Z", invocation=1, user="ann", uid=1000, host="here"
)


class Expected(NamedTuple):
    """A gate's reaction to one of its values: the reason code if it refuses."""

    gate: str
    status: str
    reason_code: str | None


POLICY: Final = (
    Expected("policy", "allow", None),
    Expected("policy", "deny", "GATE_POLICY_DENIED_OR_UNKNOWN"),
    Expected("policy", "unknown", "GATE_POLICY_DENIED_OR_UNKNOWN"),
)
CI: Final = (
    Expected("ci", "success", None),
    Expected("ci", "pending", "GATE_CI_NOT_SUCCESS"),
    Expected("ci", "failure", "GATE_CI_NOT_SUCCESS"),
    Expected("ci", "missing", "GATE_CI_NOT_SUCCESS"),
)
REVIEW: Final = (
    Expected("review", "approved", None),
    Expected("review", "changes_requested", "GATE_REVIEW_NOT_APPROVED"),
    Expected("review", "missing", "GATE_REVIEW_NOT_APPROVED"),
)
ALL_PASSING: Final = (POLICY[0], CI[0], REVIEW[0])
LEFT_OUT: Final = {"policy": POLICY[-1], "ci": CI[-1], "review": REVIEW[-1]}
Combination = tuple[Expected, Expected, Expected]
COMBINATIONS: Final[tuple[Combination, ...]] = tuple(product(POLICY, CI, REVIEW))
ABSENCES: Final = tuple(product((True, False), repeat=3))
"""The eight ways of giving each signal or leaving it out."""

RAN: Final = 'touch "$ORCHESTRATOR_OUTPUT_DIR/ran.$ORCHESTRATOR_STAGE"'
MARKING: Final = stages(RAN, RAN)


def rows(decisions: Any) -> list[tuple[str, str, bool, str | None, str]]:
    """Return decisions as rows, from records and from a report alike."""
    fields = ("gate", "status", "passed", "reason_code", "source")
    dumped = [one if isinstance(one, dict) else one.model_dump(mode="json") for one in decisions]
    assert all(tuple(one) == (*fields, "given", "evidence") for one in dumped)
    return [tuple(one[field] for field in fields) for one in dumped]


def row(expected: Expected, source: str) -> tuple[str, str, bool, str | None, str]:
    """Return the row that is expected of a gate."""
    gate, status, reason_code = expected
    return gate, status, reason_code is None, reason_code, source


def signals_of(combination: Combination) -> dict[str, str]:
    """Return a combination as an operator gives it."""
    return {one.gate: one.status for one in combination}


def options_of(signals: Mapping[str, str]) -> list[str]:
    """Return signals as options of the command line."""
    return [word for gate in signals for word in (f"--{gate}-status", signals[gate])]


def name_of(value: Any) -> str:
    """Return a combination's name in a test's id."""
    return "-".join(one.status for one in value)


def test_combinations_are_all_there_are() -> None:
    """The expectations in this module cover 36 combinations, and no value is left out."""
    assert len(set(COMBINATIONS)) == 36
    assert len(set(ABSENCES)) == 8
    values = {one for combination in COMBINATIONS for one in combination}
    assert {(one.gate, one.status) for one in values} == {
        (gate, status) for gate, rule in MANDATORY_RULES.items() for status in rule.values
    }


def test_every_gate_has_a_rule_in_judging_order() -> None:
    """Options, config file and judge all follow the rules."""
    assert list(MANDATORY_RULES) == list(Gate)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=name_of)
def test_given_signals_are_judged_one_by_one(combination: Combination) -> None:
    """Every gate is judged, whatever the others decided; only all three passing values pass."""
    for given in ABSENCES:
        signals = {
            gate: status
            for is_given, (gate, status) in zip(given, signals_of(combination).items(), strict=True)
            if is_given
        }
        decisions = judge(MANDATORY_RULES, signals_in_force(MANDATORY_RULES, signals))
        expected = [
            row(one, "flag") if is_given else row(LEFT_OUT[one.gate], "default")
            for is_given, one in zip(given, combination, strict=True)
        ]
        assert rows(decisions) == expected
        codes = [code for _, _, _, code, _ in expected if code is not None]
        assert list(reason_codes(decisions)) == codes
        assert have_passed(decisions, Gate) is (codes == [])
        assert (codes == []) is (signals_of(combination) == signals and combination == ALL_PASSING)


@pytest.mark.parametrize("combination", COMBINATIONS, ids=name_of)
def test_kept_signals_are_overlaid_by_those_given_now(combination: Combination) -> None:
    """The given signal counts, or else the kept one; the source names which, also next time."""
    kept = signals_in_force(MANDATORY_RULES, signals_of(combination))
    for given in ABSENCES:
        now = {Gate(one.gate): one for one in LEFT_OUT.values()}
        now = {
            gate: one for is_given, (gate, one) in zip(given, now.items(), strict=True) if is_given
        }
        signals = signals_in_force(
            MANDATORY_RULES, {gate: one.status for gate, one in now.items()}, kept
        )
        expected = [
            row(now[Gate(one.gate)], "flag") if Gate(one.gate) in now else row(one, "checkpoint")
            for one in combination
        ]
        assert rows(judge(MANDATORY_RULES, signals)) == expected
        again = [(*one[:-1], "checkpoint") for one in expected]
        assert rows(judge(MANDATORY_RULES, signals_in_force(MANDATORY_RULES, {}, signals))) == again


def test_signal_never_given_stays_a_default() -> None:
    """A resume does not present a signal that nobody gave as kept."""
    kept = signals_in_force(MANDATORY_RULES, {Gate.CI: "success"})
    assert rows(
        judge(MANDATORY_RULES, signals_in_force(MANDATORY_RULES, {Gate.POLICY: "allow"}, kept))
    ) == [
        row(POLICY[0], "flag"),
        row(CI[0], "checkpoint"),
        row(LEFT_OUT["review"], "default"),
    ]


@pytest.mark.parametrize("gate", Gate)
def test_value_that_a_gate_does_not_know_is_refused(gate: Gate) -> None:
    """Only the exact passing value passes, and only from its own gate."""
    passing = MANDATORY_RULES[gate].passing
    strange = [passing.upper(), f" {passing}", f"{passing}\n", "", "true", "1", "passed"]
    strange += [MANDATORY_RULES[other].passing for other in Gate if other is not gate]
    for status in strange:
        [decision] = [
            one
            for one in judge(
                MANDATORY_RULES,
                [GateSignal(gate=gate, status=status, source=GateSource.FLAG, given=GIVEN)],
            )
            if one.gate == gate
        ]
        assert not decision.passed
        assert decision.reason_code == MANDATORY_RULES[gate].reason_code


def test_gates_without_signals_are_refused_in_order() -> None:
    """No signals count as three refusals; no decisions at all are no pass."""
    assert rows(judge(MANDATORY_RULES, [])) == [row(one, "default") for one in LEFT_OUT.values()]
    assert not have_passed([], Gate)
    assert not have_passed(
        judge(MANDATORY_RULES, signals_in_force(MANDATORY_RULES, signals_of(ALL_PASSING)))[:2], Gate
    )


REFUSALS: Final = (
    (POLICY[1], CI[0], REVIEW[0]),
    (POLICY[2], CI[0], REVIEW[0]),
    (POLICY[0], CI[1], REVIEW[0]),
    (POLICY[0], CI[2], REVIEW[0]),
    (POLICY[0], CI[3], REVIEW[0]),
    (POLICY[0], CI[0], REVIEW[1]),
    (POLICY[0], CI[0], REVIEW[2]),
    (POLICY[1], CI[0], REVIEW[1]),
    (POLICY[0], CI[2], REVIEW[1]),
    (POLICY[1], CI[2], REVIEW[1]),
)


def assert_blocked(output: Path, expected: list[tuple[str, str, bool, str | None, str]]) -> None:
    """Assert that the run in `output` is blocked for these reasons, and nothing was spawned."""
    report = report_of(output)
    assert rows(report["gate_decisions"]) == expected
    codes = [code for _, _, _, code, _ in expected if code is not None]
    assert report["blocked_reason_codes"] == codes
    assert (report["terminal_state"], report["current_state"]) == ("blocked", "blocked")
    assert (report["exit_code"], report["closure_ready"]) == (3, False)
    assert report["stage_executions"] == []
    assert [one["dest"] for one in report["transitions"]] == ["gating", "blocked"]
    assert rows(checkpoint_of(output)["invocations"][-1]["gate_decisions"]) == expected
    assert list(output.glob("ran.*")) == []
    assert not (output / "logs").exists()


@pytest.mark.parametrize("combination", REFUSALS, ids=name_of)
def test_refused_gate_blocks_the_run(combination: Combination, tmp_path: Path) -> None:
    """One refusal is enough: exit 3, the reasons in gate order, nothing spawned."""
    ended = orchestrate("out", *options_of(signals_of(combination)), *MARKING, cwd=tmp_path)
    assert ended.code == 3
    assert_blocked(tmp_path / "out", [row(one, "flag") for one in combination])
    for one in combination:
        assert one.reason_code is None or one.reason_code in ended.stdout
    decided = [one for one in events_of(tmp_path / "out") if one["event"] == "gate.decided"]
    assert rows([one["decision"] for one in decided]) == [row(one, "flag") for one in combination]


def test_order_of_the_options_is_not_the_order_of_the_gates(tmp_path: Path) -> None:
    """Decisions and reasons keep their order however the signals are given; some may be absent."""
    refused = ("--review-status", "changes_requested", "--policy-status", "deny")
    assert orchestrate(*refused, "out", *MARKING, cwd=tmp_path).code == 3
    given = [row(POLICY[1], "flag"), row(CI[-1], "default"), row(REVIEW[1], "flag")]
    assert_blocked(tmp_path / "out", given)


@pytest.mark.parametrize(
    ("executor", "code", "outcome"),
    [(RAN, 0, "done"), ("exit 7", 1, "failed"), ("exec sleep 60", 124, "timeout")],
)
def test_run_that_is_not_blocked_has_no_reason_codes(
    executor: str, code: int, outcome: str, tmp_path: Path
) -> None:
    """The stages run if all three gates passed, and no ending counts as blocked."""
    patience = ("--executor-timeout-ms", "1") if outcome == "timeout" else ()
    look = f'{RAN}; cp "$ORCHESTRATOR_OUTPUT_DIR/{REPORT}" working.json'
    ended = orchestrate("out", *PASSING, *stages(look, executor), *patience, cwd=tmp_path)
    working = read_json(tmp_path / "working.json")
    assert (working["terminal_state"], working["blocked_reason_codes"]) == (None, [])
    report = report_of(tmp_path / "out")
    assert (ended.code, report["terminal_state"]) == (code, outcome)
    assert rows(report["gate_decisions"]) == [row(one, "flag") for one in ALL_PASSING]
    assert report["blocked_reason_codes"] == []
    assert report["closure_ready"] is (outcome == "done")
    assert (tmp_path / "out" / "ran.manager").exists()


@pytest.mark.parametrize("gate", Gate)
def test_gate_given_twice_is_a_usage_error(gate: Gate, tmp_path: Path) -> None:
    """Two signals for one gate, even if equal, are refused: nothing starts or is written."""
    option, values = f"--{gate}-status", MANDATORY_RULES[gate].values
    for second in ((option, values[0]), (f"{option}={values[-1]}",)):
        ended = orchestrate("out", *PASSING, *second, *MARKING, cwd=tmp_path)
        assert ended.code == 2
        assert option in ended.stderr
        assert tree_of(tmp_path) == {}
        assert not (tmp_path / "out").exists()


def test_value_that_no_gate_has_is_a_usage_error(tmp_path: Path) -> None:
    """A signal outside the closed set is refused by name before anything is made."""
    ended = orchestrate("out", "--ci-status", "green", *MARKING, cwd=tmp_path)
    assert ended.code == 2
    assert "--ci-status" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_blocked_run_goes_on_when_the_gates_pass(tmp_path: Path) -> None:
    """A resume judges all gates again, kept signals overlaid by new ones, and runs if they pass.

    Resumed without signals it is blocked as before; a kept pass can be taken back.
    """
    output = tmp_path / "out"
    given = ("--policy-status", "allow", "--review-status", "changes_requested")
    assert orchestrate("out", *given, *MARKING, cwd=tmp_path).code == 3
    assert_blocked(output, [row(POLICY[0], "flag"), row(CI[3], "default"), row(REVIEW[1], "flag")])
    assert orchestrate("out", "--resume", cwd=tmp_path).code == 3
    kept = [row(POLICY[0], "checkpoint"), row(CI[3], "default"), row(REVIEW[1], "checkpoint")]
    assert_blocked(output, kept)
    worse = ("--policy-status", "deny", "--ci-status", "success")
    assert orchestrate("out", "--resume", *worse, cwd=tmp_path).code == 3
    assert_blocked(
        output, [row(POLICY[1], "flag"), row(CI[0], "flag"), row(REVIEW[1], "checkpoint")]
    )
    better = ("--policy-status", "allow", "--review-status", "approved")
    assert orchestrate("out", "--resume", *better, cwd=tmp_path).code == 0
    report = report_of(output)
    assert rows(report["gate_decisions"]) == [
        row(POLICY[0], "flag"),
        row(CI[0], "checkpoint"),
        row(REVIEW[0], "flag"),
    ]
    assert (report["terminal_state"], report["closure_ready"]) == ("done", True)
    assert report["blocked_reason_codes"] == []
    assert statuses(report) == [("manager", "success"), ("executor", "success")]
    assert len(report["earlier_invocations"]) == 3


def test_stage_that_failed_runs_again_only_behind_the_gates(tmp_path: Path) -> None:
    """A resume whose gates refuse spawns nothing, even if the gates passed before."""
    output = tmp_path / "out"
    assert orchestrate("out", *PASSING, *stages(RAN, "exit 7"), cwd=tmp_path).code == 1
    (output / "ran.manager").unlink()
    ended = orchestrate("out", "--resume", "--ci-status", "pending", cwd=tmp_path)
    report = report_of(output)
    assert (ended.code, report["terminal_state"]) == (3, "blocked")
    assert report["blocked_reason_codes"] == ["GATE_CI_NOT_SUCCESS"]
    assert spawned(report) == []
    assert list(output.glob("ran.*")) == []
    assert (output / CHECKPOINT).exists()
