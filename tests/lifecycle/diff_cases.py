"""Changes of lifecycles: some loosen, some tighten, some do neither."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import fsm_orchestrator
from fsm_orchestrator.lifecycle.diff import Effect, LifecycleDiff, LostFacts
from fsm_orchestrator.lifecycle.guarantees import Fact
from fsm_orchestrator.lifecycle.model import Lifecycle
from tests.lifecycle.test_rules import state
from tests.support.lifecycle_cases import DEFAULT, edge, edited

REVIEWED = (Path(__file__).parents[2] / "states" / "reviewed_run.toml").read_text()
NEXT = "[[transition]]\n"
GATES = 'gates = ["policy", "ci", "review"]'
MANAGER = 'name = "manager"\nkind = "stage"'
MANAGER_DONE = 'source = "manager"\ndest = "executor"'
TO_MANAGER = 'source = "gating"\ndest = "manager"'
TO_DONE = 'source = "executor"\ndest = "done"'
BROKEN_ARTIFACTS = (
    f'{NEXT}trigger = "stage_succeeded"\nsource = "executor"\ndest = "failed"\n'
    'unless = "artifacts_intact"\n'
    'why = "an artifact that was good is gone or broken when the run would close"\n\n'
)
LOST_GATES = (
    f'{NEXT}trigger = "stage_succeeded"\nsource = "executor"\ndest = "blocked"\n'
    'unless = "gates_hold"\nwhy = "a gate that passed at the start no longer does"\n\n'
)
STAGE_FAILED = 'trigger = "stage_failed"\nsource = ["manager", "executor"]'
UP_TO_MANAGER = "pending --start--> gating --gates_passed--> manager"
UP_TO_EXECUTOR = f"{UP_TO_MANAGER} --stage_succeeded--> executor"
UP_TO_DONE = f"{UP_TO_EXECUTOR} --stage_succeeded--> done"
UNCERTAIN = "although this is not certain"


CLOSURE = ('gates_guard = "stages"', 'gates_guard = "closure"')
RESUMED = 'trigger = "resume"\nsource = "prep"\ndest = "gating"'
RESUMED_TO_PREP = RESUMED.replace("gating", "prep")


def stage(name: str, after: str) -> str:
    """Return a stage with all its edges, to append to the default lifecycle."""
    source = f'"{name}"'
    return (
        state(name, "stage")
        + edge("stage_succeeded", source, after)
        + edge("stage_failed", source, "failed")
        + edge("stage_timed_out", source, "timeout")
        + edge("run_aborted", source, "failed")
        + edge("resume", source, "gating")
    )


def changed(text: str, *edits: tuple[str, str]) -> str:
    """Return the text with each pair's first part replaced by its second."""
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return text


class Change(NamedTuple):
    """A change from the first text to the second, and (target, reason, walk) of what it loosens."""

    name: str
    old: str
    new: str
    loosenings: tuple[tuple[str, str, str | None], ...]


def with_limit(line: str) -> str:
    """Return the default lifecycle with a line in its stage manager."""
    return edited((MANAGER, f"{MANAGER}\n{line}"))


def with_retry(line: str) -> str:
    """Return the default lifecycle with retries of its stage manager."""
    return with_limit(f"retry = {{ {line} }}")


EARLY_GATE = (
    state("vetting", "gate", 'gates = ["ci"]')
    + edge("gates_passed", '"vetting"', "manager")
    + edge("gates_refused", '"vetting"', "blocked")
    + edge("run_aborted", '"vetting"', "failed")
    + edge("resume", '"vetting"', "gating")
)
LOOSENING = (
    Change(
        "a gate is no longer judged",
        DEFAULT,
        edited((GATES, 'gates = ["policy", "review"]')),
        (
            ("manager", f"can be entered {UNCERTAIN}: gate ci passed", UP_TO_MANAGER),
            ("executor", f"can be entered {UNCERTAIN}: gate ci passed", UP_TO_EXECUTOR),
            ("done", f"can be reached {UNCERTAIN}: gate ci passed", UP_TO_DONE),
        ),
    ),
    Change(
        "artifacts are no longer looked at before done",
        DEFAULT,
        edited((BROKEN_ARTIFACTS, "")),
        (("done", f"can be reached {UNCERTAIN}: artifacts_intact holds", UP_TO_DONE),),
    ),
    Change(
        "the gates are no longer looked at before done",
        DEFAULT,
        edited((LOST_GATES, "")),
        (("done", f"can be reached {UNCERTAIN}: gates_hold holds", UP_TO_DONE),),
    ),
    Change(
        "a look at the artifacts comes too early",
        DEFAULT,
        edited(
            (BROKEN_ARTIFACTS, ""),
            (
                f'{NEXT}trigger = "stage_succeeded"\n{MANAGER_DONE}',
                BROKEN_ARTIFACTS.replace("executor", "manager")
                + f'{NEXT}trigger = "stage_succeeded"\n{MANAGER_DONE}',
            ),
        ),
        (("done", f"can be reached {UNCERTAIN}: artifacts_intact holds", UP_TO_DONE),),
    ),
    Change(
        "a stage is passed by under a condition",
        DEFAULT,
        edited(
            (
                f'{NEXT}trigger = "gates_passed"\n{TO_MANAGER}',
                f'{NEXT}trigger = "gates_passed"\nsource = "gating"\ndest = "executor"\n'
                f'guard = "artifacts_intact"\nwhy = "x"\n{NEXT}trigger = "gates_passed"\n'
                + TO_MANAGER,
            )
        ),
        (
            (
                "executor",
                f"can be entered {UNCERTAIN}: 'manager' succeeded",
                "pending --start--> gating --gates_passed--> executor",
            ),
            (
                "done",
                f"can be reached {UNCERTAIN}: 'manager' succeeded",
                "pending --start--> gating --gates_passed--> executor --stage_succeeded--> done",
            ),
            (
                "done",
                "can be reached although 'manager' was entered and did not succeed",
                (
                    f"{UP_TO_MANAGER} --resume--> gating"
                    " --gates_passed--> executor --stage_succeeded--> done"
                ),
            ),
        ),
    ),
    Change(
        "a new stage runs before a gate that all others come after",
        DEFAULT,
        edited(
            (GATES, 'gates = ["policy", "review"]'),
            (TO_MANAGER, 'source = "gating"\ndest = "prep"'),
        )
        + stage("prep", "manager").replace('"prep"\ndest = "manager"', '"prep"\ndest = "vetting"')
        + EARLY_GATE,
        (
            (
                "prep",
                f"can be entered {UNCERTAIN}: gate ci passed",
                "pending --start--> gating --gates_passed--> prep",
            ),
        ),
    ),
    Change(
        "a failed stage leads on",
        DEFAULT,
        edited((STAGE_FAILED, STAGE_FAILED.replace('"manager", ', "")))
        + edge("stage_failed", '"manager"', "executor"),
        (
            (
                "executor",
                f"can be entered {UNCERTAIN}: 'manager' succeeded",
                f"{UP_TO_MANAGER} --stage_failed--> executor",
            ),
            (
                "done",
                f"can be reached {UNCERTAIN}: 'manager' succeeded",
                f"{UP_TO_MANAGER} --stage_failed--> executor --stage_succeeded--> done",
            ),
            (
                "manager",
                (
                    "leads to 'executor', a state of kind stage, not to a terminal state with"
                    " outcome failed"
                ),
                None,
            ),
            (
                "done",
                "can be reached although 'manager' was entered and did not succeed",
                f"{UP_TO_MANAGER} --stage_failed--> executor --stage_succeeded--> done",
            ),
        ),
    ),
    Change(
        "a loop loses its bound",
        REVIEWED,
        changed(REVIEWED, ("at_most = 2\n", 'guard = "gates_hold"\n')),
        (
            (
                "reviewer",
                (
                    "leads to 'executor', a state of kind stage, not to a terminal state with"
                    " outcome failed, and has no key 'at_most'"
                ),
                None,
            ),
            (
                "executor",
                "is on an unbounded loop",
                "executor --stage_succeeded--> reviewer --rework_requested--> executor",
            ),
            (
                "reviewer",
                "at_most of reviewer --rework_requested--> executor: was 2, is not set",
                None,
            ),
        ),
    ),
    Change(
        "a new stage comes before the gates that all others come after",
        edited(CLOSURE),
        edited(
            CLOSURE,
            ('source = "pending"\ndest = "gating"', 'source = "pending"\ndest = "prep"'),
            ('"timeout"]\ndest = "gating"', '"timeout"]\ndest = "prep"'),
        )
        + changed(stage("prep", "gating"), (RESUMED, RESUMED_TO_PREP)),
        (
            (
                "prep",
                (
                    f"can be entered {UNCERTAIN}: gate policy passed, gate ci passed, gate review"
                    " passed"
                ),
                "pending --start--> prep",
            ),
        ),
    ),
    Change(
        "a stage is put behind the last look",
        DEFAULT,
        edited((TO_DONE, 'source = "executor"\ndest = "audit"')) + stage("audit", "done"),
        (
            (
                "done",
                f"can be reached {UNCERTAIN}: artifacts_intact holds, gates_hold holds",
                f"{UP_TO_EXECUTOR} --stage_succeeded--> audit --stage_succeeded--> done",
            ),
        ),
    ),
    Change(
        "more rework is allowed",
        REVIEWED,
        changed(REVIEWED, ("at_most = 2", "at_most = 3")),
        (
            (
                "reviewer",
                "at_most of reviewer --rework_requested--> executor: was 2, is 3",
                None,
            ),
        ),
    ),
    Change(
        "the gates guard only the closure",
        DEFAULT,
        edited(('gates_guard = "stages"', 'gates_guard = "closure"')),
        (("", "gates_guard: stages are no longer promised to come after the gates", None),),
    ),
    *(
        Change(name, old, new, (("manager", reason, None),))
        for name, old, new, reason in (
            (
                "a timeout is raised",
                with_limit("timeout_ms = 5"),
                with_limit("timeout_ms = 6"),
                "timeout_ms: was 5, is 6",
            ),
            (
                "a timeout is dropped",
                with_limit("timeout_ms = 5"),
                DEFAULT,
                "timeout_ms: was 5, is not set (30000)",
            ),
            (
                "a timeout is set above the default",
                DEFAULT,
                with_limit("timeout_ms = 30001"),
                "timeout_ms: was not set (30000), is 30001",
            ),
            (
                "a limit that has no default is dropped",
                with_limit("idle_timeout_ms = 5"),
                DEFAULT,
                "idle_timeout_ms: was 5, is not set",
            ),
            (
                "more attempts are made",
                with_retry("max_attempts = 2, exit_codes = [1]"),
                with_retry("max_attempts = 3, exit_codes = [1]"),
                "retry.max_attempts: was 2, is 3",
            ),
            (
                "attempts follow more exit codes",
                with_retry("max_attempts = 2, exit_codes = [1]"),
                with_retry("max_attempts = 2, exit_codes = [1, 2]"),
                "is also tried again after exit 2",
            ),
            (
                "attempts follow timeouts",
                with_retry("max_attempts = 2, exit_codes = [1]"),
                with_retry("max_attempts = 2, exit_codes = [1], timeouts = true"),
                "retry.timeouts: was false, is true",
            ),
        )
    ),
)
TIGHTENING = {
    "a stage comes before done": (
        DEFAULT,
        edited((MANAGER_DONE, 'source = "manager"\ndest = "audit"')) + stage("audit", "executor"),
        "executor: certain now and not before: 'audit' succeeded",
    ),
    "artifacts are looked at before the executor": (
        DEFAULT,
        edited(
            (
                f'{NEXT}trigger = "stage_succeeded"\n{MANAGER_DONE}',
                BROKEN_ARTIFACTS.replace("executor", "manager")
                + f'{NEXT}trigger = "stage_succeeded"\n{MANAGER_DONE}',
            )
        ),
        "executor: certain now and not before: artifacts_intact holds",
    ),
    "less rework is allowed": (
        REVIEWED,
        changed(REVIEWED, ("at_most = 2", "at_most = 1")),
        "reviewer: at_most of reviewer --rework_requested--> executor: was 2, is 1",
    ),
    "a timeout is lowered": (
        with_limit("timeout_ms = 6"),
        with_limit("timeout_ms = 5"),
        "manager: timeout_ms: was 6, is 5",
    ),
    "attempts follow fewer exit codes": (
        with_retry("max_attempts = 2, exit_codes = [1, 2]"),
        with_retry("max_attempts = 2, exit_codes = [1]"),
        "manager: is no longer tried again after exit 2",
    ),
}
NEUTRAL = {
    "nothing": (DEFAULT, DEFAULT),
    "reasons and title": (
        DEFAULT,
        changed(DEFAULT, ("nothing may run before", "nothing runs before"), ("Gates first", "X")),
    ),
    "how slowness is told": (DEFAULT, with_limit("slow_after_ms = 5")),
    "a stage is renamed": (DEFAULT, changed(DEFAULT, ('"executor"', '"worker"'))),
    "the end is renamed": (
        DEFAULT,
        changed(DEFAULT, ('"done"\nk', '"over"\nk'), (TO_DONE, TO_DONE[:-5] + 'over"')),
    ),
    "the beginning and the gates are renamed": (
        DEFAULT,
        changed(DEFAULT, ('"pending"', '"begin"'), ('"gating"', '"judging"')),
    ),
    "conditions are tried in another order": (
        DEFAULT,
        edited((BROKEN_ARTIFACTS + LOST_GATES, LOST_GATES + BROKEN_ARTIFACTS)),
    ),
    "the gates are judged in two states": (
        DEFAULT,
        edited((GATES, 'gates = ["policy", "review"]'), (TO_MANAGER, TO_MANAGER[:-8] + 'vetting"'))
        + EARLY_GATE,
    ),
}


def shaped(text: str, folder: Path) -> Lifecycle:
    """Return a lifecycle of the right shape, not judged."""
    path = folder / "run.toml"
    path.write_text(text)
    return fsm_orchestrator.load_lifecycle(path)


def difference(old: str, new: str, folder: Path) -> LifecycleDiff:
    """Return the diff of two texts."""
    return fsm_orchestrator.diff(shaped(old, folder), shaped(new, folder))


def facts_of_cause(loosening: Effect) -> tuple[Fact, ...]:
    """Return the facts that a loosening names; none if it is no loss of facts."""
    return loosening.cause.facts if isinstance(loosening.cause, LostFacts) else ()
