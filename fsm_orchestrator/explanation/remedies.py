"""The runbook's remedies for each way to end: what to fix before a resume, and who can."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, assert_never

from fsm_orchestrator.constants import GATES_NAMED_MAX, SIGNAL_BASE
from fsm_orchestrator.explanation.stages import blocking_gates
from fsm_orchestrator.explanation.stop_remedies import LOST, asked_remedy
from fsm_orchestrator.inspection.inspected_run import InspectedRun, continuing
from fsm_orchestrator.model.endings import SpawnFailure, signal_name
from fsm_orchestrator.model.execution import StageExecution
from fsm_orchestrator.text.phrases import first_of, listed
from fsm_orchestrator.vocabulary import Ending, Operation, Standing

if TYPE_CHECKING:
    from fsm_orchestrator.model.budget import BudgetStop

GIVE_SIGNALS: Final = "give a passing signal only when the real check says so"
NOTHING_LEFT: Final = (
    "nothing is left to do; if there should have been, begin again: this run is then archived"
)
ACCEPT_KNOWINGLY: Final = "accept a record only if you know who left it so"
RESUME_ANYBODY: Final = "anyone who may write to the output directory can resume it"
_RAISE: Final = "raise the budget only if that is justified: what was spent stays spent"
_OPERATIONS: Final = {
    Operation.CONTROL_VERIFY: (
        "find out who changed the run's own files, and confine the stage that did; then resume"
    ),
    Operation.RECORD_VERIFY: (
        "put back what was left, or start a new run (this one is then archived); a person who knows"
        " why it is so accepts it with --accept-record, which the refusal names"
    ),
    Operation.CHECKPOINT_LOAD: (
        "restore a good checkpoint, or start a new run (this one is then archived)"
    ),
    Operation.CLOSURE_VERIFY: ("restore the artifacts named above, or run their stage again"),
    Operation.BUDGET_VERIFY: _RAISE,
    Operation.RUN_TIMEOUT: (
        "give the run more time only if that is justified; completed stages are not repeated"
    ),
    Operation.ATTEMPT_END: "end the processes named above by hand",
    Operation.DESCRIPTORS_RESERVE: "raise the limit on open files (ulimit -n)",
    Operation.ORCHESTRATOR_RUN: (
        "this is a bug in fsm-orchestrator: report it with the traceback in the log"
    ),
}
_NOT_OF_CLOSING: Final = frozenset(Operation) - {Operation.CLOSURE_VERIFY}
SIGKILL: Final = signal_name(signal.SIGKILL)
KILLED_CODE: Final = SIGNAL_BASE + signal.SIGKILL
_KILLED: Final = (
    "if memory ran short, give the machine or the control group more of it, or make the stage use"
    " less; else find out who sends SIGKILL"
)
_START_REMEDIES: Final = {
    SpawnFailure.NOT_LEASED: (
        "let the worker run where a process can keep its stages together: Linux, with /proc"
    ),
    SpawnFailure.WINDOWS_LINE_ENDS: (
        "remove the carriage returns from the script: sed -i 's/\\r$//' and its path"
    ),
    SpawnFailure.MISSING_LOADER: (
        "install the loader that is named above, with the C library it belongs to, or put a program"
        " there that was built for this system"
    ),
    SpawnFailure.BAD_INTERPRETER: (
        "install the interpreter that is named above, or correct the first line of the script"
    ),
    SpawnFailure.NOT_CONFINED: (
        "correct what the stage is confined to, or run it on a kernel that can hold it; with"
        " `require = false` it runs with what can be held"
    ),
    SpawnFailure.NOT_PROTECTED: (
        "put the protected paths back as they were before the stage, or no longer protect them"
    ),
    SpawnFailure.NO_CONTRACT: (
        "put the schema back as it was when it was given, or give the contract again"
    ),
    SpawnFailure.NOT_EXECUTABLE: "give the program its run bit: chmod +x and its path",
}
_SAID_REMEDIES: Final = {
    Ending.REWORK_REQUESTED: "read the findings: no rework is left",
    Ending.DECLINED: "find out whether it is right that there was nothing to do",
    Ending.BLOCKED: (
        "find out from what the stage printed and left what blocks it, and clear that; a resume"
        " runs it again"
    ),
}
_LEFT_WRONG: Final = {
    Ending.PROTECTED_CHANGED: (
        "put the protected paths back as they were, and keep the program from changing them; one"
        " that it may change is not to be protected"
    ),
    Ending.ARTIFACTS_WRONG: "fix what the program writes, or what it is expected to write",
    Ending.CONTRACT_VIOLATED: (
        "make sure that the work is done, or correct the contract if it asks for the wrong thing"
    ),
    Ending.BUDGET_EXHAUSTED: _RAISE,
}
"""The remedies for what a stage left or spent."""
_BY_OTHERS: Final = {
    Ending.SIBLING_FAILED: (
        "nothing is wrong with it: a resume runs it again beside the one that failed"
    ),
    Ending.LEASE_LOST: LOST,
}
"""The remedies for a stage that was ended for a reason outside it."""
LIMITS: Final = frozenset(
    {
        *(Ending.TIMED_OUT, Ending.WENT_QUIET, Ending.OUTPUT_LIMIT, Ending.LIMIT_EXCEEDED),
        Ending.BUDGET_EXHAUSTED,
    }
)
"""The endings of stages that exceeded a limit."""
_RECORDING: Final = "make the path writable: check space, permissions and what is in its place"


def remedies_of(view: InspectedRun, now_wrong: tuple[str, ...]) -> tuple[str, ...]:
    """Return what to fix first, each as a sentence without its period."""
    if view.trouble is not None and view.checkpoint is None and view.holder is None:
        if view.report.is_nothing_kept:
            return (*_failure_remedies(view), "nothing of this run could be kept: start it again")
        return (_OPERATIONS[Operation.CHECKPOINT_LOAD],)
    match view.standing:
        case Standing.WORKING:
            return ("wait for it, look at what it prints, or stop it",)
        case Standing.SUSPENDED:
            assert view.holder is not None  # noqa: S101 - otherwise it is not suspended
            command = " ".join(continuing(view.holder))
            return (f"continue it, by fg in its terminal or {command}, or stop it",)
        case Standing.INTERRUPTED if view.report.next_task_queue is not None:
            return (asked_remedy(view.report.stop_reason),)
        case Standing.INTERRUPTED:
            return ("find out who killed it, unless that was intended; completed stages are kept",)
        case Standing.BLOCKED | Standing.WAITING:
            if view.report.blocking_stage is not None:
                return tuple(dict.fromkeys(_failure_remedies(view)))
            return tuple(dict.fromkeys(_gate_remedies(view)))
        case Standing.FAILED | Standing.TIMEOUT:
            return tuple(dict.fromkeys(_failure_remedies(view)))
        case Standing.DONE if not now_wrong:
            return ("nothing is left to do: the run may be closed",)
        case Standing.DONE | Standing.NOT_CLOSABLE if now_wrong:
            return (
                "restore the artifacts as they were, then resume to bring the report up to date",
                "or begin again: no stage of a run that is done can run again; it is then archived",
                GIVE_SIGNALS,
            )
        case Standing.NOT_CLOSABLE if _is_doubted(view):
            return (
                "ask those who worked on the run before: one who knows the record may accept it",
            )
        case Standing.DONE | Standing.NOT_CLOSABLE:
            return tuple(_remedies_of_open(view))
        case standing:
            assert_never(standing)


def _is_doubted(view: InspectedRun) -> bool:
    """Return whether the run continued from a record that nobody has accepted yet."""
    return view.checkpoint is not None and view.checkpoint.doubt is not None


def who_can_change(view: InspectedRun, now_wrong: tuple[str, ...]) -> str:
    """Name the people who can change where the run stands."""
    match view.standing:
        case Standing.WORKING:
            return "anyone who may signal its orchestrator can stop it"
        case Standing.SUSPENDED:
            return "anyone who may signal its orchestrator can continue it, or stop it"
        case Standing.INTERRUPTED:
            return RESUME_ANYBODY
        case Standing.BLOCKED if view.report.blocking_stage is not None:
            return f"anyone who can clear what blocks stage {view.report.blocking_stage}"
        case Standing.BLOCKED | Standing.WAITING:
            if any(one.request is not None for one in view.report.waiting_for):
                from fsm_orchestrator.explanation.approvals import who_approves  # noqa: PLC0415 - rare

                people = who_approves(view)
                if people is not None:
                    return people
            gates = [one.decision.gate for one in blocking_gates(view)]
            named = listed(first_of(gates, GATES_NAMED_MAX))
            return f"the people who answer for {named}: the signal is theirs to give"
        case Standing.FAILED | Standing.TIMEOUT:
            return _who_failed(view)
        case Standing.DONE if not now_wrong:
            return "nobody needs to"
        case Standing.DONE | Standing.NOT_CLOSABLE if now_wrong:
            return "the owner of the artifacts"
        case Standing.NOT_CLOSABLE if _is_doubted(view):
            return "somebody who knows that its record is the one that was left"
        case Standing.DONE | Standing.NOT_CLOSABLE:
            return _who_closes(view)
        case standing:
            assert_never(standing)


def _remedies_of_open(view: InspectedRun) -> Iterator[str]:
    """Yield the remedies for a run that is done and may not be closed."""
    report = view.report
    if report.nothing_to_do and not report.failures:
        yield NOTHING_LEFT
        return
    if report.is_unearned:
        from fsm_orchestrator.explanation.unrun_words import unrun_remedies  # noqa: PLC0415 - rare

        yield from unrun_remedies(report)
        return
    own = (one.operation for one in report.failures)
    named = (_OPERATIONS.get(one, _RECORDING) for one in own if one in _NOT_OF_CLOSING)
    yield from dict.fromkeys(named)
    failed = _failed_at_end(view)
    if failed is None:
        yield "the artifacts are good now: resume to bring the report up to date"
    else:
        yield _stage_remedy(failed)
        yield "a resume runs that stage again, and no other"


def _who_closes(view: InspectedRun) -> str:
    report = view.report
    if report.nothing_to_do and not report.failures:
        return "nobody needs to"
    if report.is_unearned:
        return "the people who say what the run is to do"
    return RESUME_ANYBODY if _failed_at_end(view) is None else _who_failed(view)


def _failed_at_end(view: InspectedRun) -> StageExecution | None:
    """Return the failed stage that always runs, if it keeps a done run from being closed."""
    return next((one for one in view.report.failures if one.operation is None), None)


def _gate_remedies(view: InspectedRun) -> Iterator[str]:
    for decision in (one.decision for one in blocking_gates(view)):
        if decision.evidence is not None and decision.evidence.is_early_signal:
            yield "look at what the stages have left, and give the signal again if it is good"
        elif decision.evidence is not None and decision.evidence.problem is not None:
            if decision.evidence.approval is not None:
                from fsm_orchestrator.explanation.approvals import answered_remedy  # noqa: PLC0415 - rare

                answered = answered_remedy(view, decision.gate)
                if answered is not None:
                    yield answered
                    continue
            from fsm_orchestrator.explanation.evidence_remedies import remedy_of  # noqa: PLC0415 - rare

            yield remedy_of(decision.evidence, decision.evidence.problem)
        elif not decision.passed:
            yield GIVE_SIGNALS


def _who_failed(view: InspectedRun) -> str:
    found = view.report.failures
    if view.report.was_asked_to_end or not found:
        return RESUME_ANYBODY
    first = found[0]
    if first.operation in {Operation.RUN_TIMEOUT, Operation.BUDGET_VERIFY}:
        return "the person who sets the budget of the run"
    if first.attempt == 0:
        return "the administrator of the machine and the output directory"
    stop = None if first.metering is None else first.metering.stopped_by
    if stop is not None and stop.kind != "meter":
        return (
            f"the person who sets the budget of the run, or maintains the program of {first.stage}"
        )
    if first.ending in LIMITS and stop is None:
        return f"the person who sets the limits of stage {first.stage} or maintains its program"
    return f"the maintainer of the program or the settings of stage {first.stage}"


def _failure_remedies(view: InspectedRun) -> Iterator[str]:
    if view.report.was_asked_to_end:
        yield asked_remedy(view.report.stop_reason)
        return
    for execution in view.report.failures:
        metering = execution.metering
        if metering is not None and metering.stopped_by is not None:
            yield _budget_remedy(metering.stopped_by)
        elif execution.operation is None:
            yield _stage_remedy(execution)
        else:
            yield _OPERATIONS.get(execution.operation, _RECORDING)


def _budget_remedy(stop: BudgetStop) -> str:
    match stop.kind:
        case "time":
            return _OPERATIONS[Operation.RUN_TIMEOUT]
        case "unit":
            return _RAISE
        case "meter":
            return (
                "fix what the program writes to ORCHESTRATOR_METER: a line for each amount, such as"
                ' {"unit": "usd", "amount": 0.12}, appended and never changed'
            )
        case _:
            assert_never(stop)


def _stage_remedy(execution: StageExecution) -> str:
    if execution.start_problem in _START_REMEDIES:
        return _START_REMEDIES[execution.start_problem]
    match execution.ending:
        case Ending.SIGNALED if execution.signal == SIGKILL:
            return _KILLED
        case Ending.EXITED if execution.exit_code == KILLED_CODE:
            return _KILLED
        case Ending.NOT_SPAWNED:
            return "put the program where the stage looks for it, or correct its settings"
        case Ending.EXITED | Ending.SIGNALED:
            return "fix the program, its arguments or its environment"
        case (
            Ending.PROTECTED_CHANGED
            | Ending.ARTIFACTS_WRONG
            | Ending.CONTRACT_VIOLATED
            | Ending.BUDGET_EXHAUSTED
        ) as left:
            return _LEFT_WRONG[left]
        case Ending.VERIFICATION_FAILED:
            return (
                "fix what the stage does, and run it again; where only what verifies it was wrong,"
                " correct that and verify again with --reverify"
            )
        case Ending.TIMED_OUT | Ending.WENT_QUIET:
            return (
                "give it more time only if that is justified; else give it less to do, or split"
                " the work over stages"
            )
        case Ending.OUTPUT_LIMIT | Ending.LIMIT_EXCEEDED as limit:
            less = "print" if limit is Ending.OUTPUT_LIMIT else "use"
            what = "its output limit" if limit is Ending.OUTPUT_LIMIT else "its limit"
            return f"make it {less} less, or raise {what}"
        case Ending.LEAKED:
            return "make it wait for the processes that it starts"
        case Ending.REWORK_REQUESTED | Ending.DECLINED | Ending.BLOCKED as said:
            return _SAID_REMEDIES[said]
        case Ending.SIBLING_FAILED | Ending.LEASE_LOST as others:
            return _BY_OTHERS[others]
        case Ending.INTERRUPTED | Ending.LOST | Ending.CONTROL_TAMPERED | None:
            return "find out who ended it, unless that was intended"
        case ending:
            assert_never(ending)
