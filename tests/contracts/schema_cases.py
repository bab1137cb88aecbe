"""Runs to every ending, whose files are compared with the schemas."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from tests.support.command import (
    CHECKPOINT,
    ORCHESTRATOR_PID,
    PASSING,
    REPORT,
    orchestrate,
    shell,
    stages,
)

Document: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str | int, ...]

PUBLISHED: Final = Path(__file__).parents[2] / "docs" / "schemas"
ONCE_FAILING: Final = "test -e once || { touch once; exit 1; }"
ONCE_KILLING: Final = (
    f"test -e once || {{ touch once; kill -KILL {ORCHESTRATOR_PID}; exec sleep 60; }}"
)
IN_THE_WAY: Final = "cd $ORCHESTRATOR_OUTPUT_DIR; for f in {}; do rm $f; mkdir $f; done"
DONE: Final = (*PASSING, *stages())
PLAN: Final = ("--manager-expected-artifact", "plan.json")
RICH: Final = (
    *(
        *PASSING,
        *stages("echo '[1]' > plan.json; sleep 60 & sleep 0.2", f"echo no >&2; {ONCE_FAILING}"),
    ),
    *(*PLAN, "--manager-env", "MODE=open-sesame-4711", "--manager-env", "ORCHESTRATOR_X=y"),
    *("--manager-secret", "SHY=another-value-0815", "--manager-arg", "--by=another-value-0815"),
    *("--timeout-ms", "20000", "--kill-grace-ms", "900", "--executor-timeout-ms", "30000"),
    *("--manager-slow-after-ms", "50", "--on-leak", "warn", "--executor-output-limit", "90000"),
)
"""A run that fails, and that fills every field when it is resumed."""
RESUME: Final = ("--resume",)


def rewrite(path: Path, old: str, new: str) -> None:
    """Replace the first `old` in a file by `new`."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@dataclass(frozen=True, slots=True)
class Ending:
    """Commands run one after the other in the same OUT, and how the last of them ends.

    `events` are names of events that the log must have; `between` comes before the last command.
    """

    commands: tuple[tuple[str, ...], ...]
    code: int
    may_close: bool
    events: str = ""
    between: Callable[[Path], object] = lambda _: None


ENDINGS: Final[Mapping[str, Ending]] = {
    "done": Ending(
        (DONE,),
        0,
        may_close=True,
        events="run.started record.kept transition attempt.begun run.ended",
    ),
    "done, richly": Ending(
        (RICH, RESUME),
        0,
        may_close=True,
        events="stage.skipped run.warning process.leaked stage.slow",
    ),
    "done, with output told": Ending(
        ((*PASSING, *stages("echo one; echo two >&2"), "--log-output"),),
        0,
        may_close=True,
        events="stage.output",
    ),
    "done, a stage passed over": Ending(
        ((*PASSING, *shell("executor", "exit 0")),), 0, may_close=False, events="run.warning"
    ),
    "done, a stage skipped as asked": Ending(
        ((*PASSING, *shell("executor", "exit 0"), "--skip-stage", "manager"),), 0, may_close=True
    ),
    "failed by a verification": Ending(
        ((*PASSING, *stages(), "--manager-verify", "true", "--manager-verify", "false"),),
        1,
        may_close=False,
        events="verification.started verification.ended",
    ),
    "done, verified again": Ending(
        (
            (*PASSING, *stages(), "--executor-verify", "false"),
            ("--resume", "--reverify", "--executor-verify", "true"),
        ),
        0,
        may_close=True,
    ),
    "done after a retry": Ending(
        (
            (
                *(*PASSING, *stages(ONCE_FAILING), "--manager-max-attempts", "2"),
                *("--manager-retry-exit-code", "1", "--manager-backoff-ms", "1"),
            ),
        ),
        0,
        may_close=True,
        events="stage.retrying",
    ),
    "done twice": Ending((DONE, RESUME), 0, may_close=True, events="stage.skipped record.begun"),
    "done after another run": Ending(((*DONE, "--run-id", "first"), DONE), 0, may_close=True),
    "done after a kill": Ending(
        ((*PASSING, *stages(ONCE_KILLING)), RESUME), 0, may_close=True, events="attempt.interrupted"
    ),
    "timeout, for the run had no time": Ending(
        ((*DONE, "--run-timeout", "1ms"),), 124, may_close=False, events="budget.spent"
    ),
    "done, an artifact lost since": Ending(
        ((*PASSING, *stages("echo 1 > plan.json"), *PLAN), RESUME),
        *(1, False),
        events="closure.refused",
        between=lambda out: (out.parent / "plan.json").unlink(),
    ),
    "timeout, an artifact half judged": Ending(
        (
            (
                *(*PASSING, *shell("manager", "truncate -s 16G work.bin")),
                *("--manager-expected-artifact", "work.bin", "--timeout-ms", "1200"),
            ),
        ),
        124,
        may_close=False,
        events="artifact.slow",
    ),
    "blocked": Ending(((*PASSING[2:], *stages()),), 3, may_close=False, events="gate.decided"),
    "failed": Ending(
        ((*PASSING, *stages("exit 3")),), 1, may_close=False, events="stage.started stage.ended"
    ),
    "failed by a signal": Ending(
        ((*PASSING, *stages("ulimit -c 0; kill -SEGV $$")),), 1, may_close=False
    ),
    "failed to start": Ending(((*PASSING, "--manager-bin", "/no/program"),), 1, may_close=False),
    "failed for an artifact": Ending(
        ((*PASSING, *stages("echo [1, > plan.json"), *PLAN),), 1, may_close=False
    ),
    "failed to record a report": Ending(
        ((*PASSING, *stages(IN_THE_WAY.format(REPORT))),),
        *(1, False),
        events="recording.failed",
    ),
    "failed to record anything": Ending(
        ((*PASSING, *stages(IN_THE_WAY.format(f"{REPORT} {CHECKPOINT}"))),),
        *(1, False),
        events="recording.failed",
    ),
    "refused": Ending(
        (DONE, RESUME),
        *(1, False),
        events="run.refused",
        between=lambda out: rewrite(out / CHECKPOINT, '"seq":1,', '"seq":7,'),
    ),
    "timeout": Ending(
        ((*PASSING, *stages("exec sleep 60"), "--timeout-ms", "50"),), 124, may_close=False
    ),
    "interrupted": Ending(
        ((*PASSING, *stages(f"kill -INT {ORCHESTRATOR_PID}; exec sleep 60")),), 130, may_close=False
    ),
    "terminated": Ending(
        ((*PASSING, *stages(f"kill -TERM {ORCHESTRATOR_PID}; exec sleep 60")),),
        143,
        may_close=False,
    ),
    "killed": Ending(
        ((*PASSING, *stages(f"kill -KILL {ORCHESTRATOR_PID}; exec sleep 60")),), -9, may_close=False
    ),
}


def run_to(ending: Ending, folder: Path) -> Path:
    """Run the commands of an ending in `folder`, and return the output directory."""
    out = folder / "out"
    for command in ending.commands[:-1]:
        orchestrate("./out", *command, cwd=folder)
    ending.between(out)
    ended = orchestrate("./out", *ending.commands[-1], cwd=folder)
    assert ended.code == ending.code, ended.stderr
    return out


@cache
def closing_reader() -> Draft202012Validator:
    """Return a reader of reports that knows only the published schema."""
    schema = json.loads((PUBLISHED / "report.schema.json").read_bytes())
    name = schema["$id"]
    registry: Registry[Any] = Registry().with_resource(name, Resource.from_contents(schema))
    closing = {"allOf": [{"$ref": name}, {"$ref": f"{name}#/$defs/ClosureReady"}]}
    return Draft202012Validator(closing, registry=registry)


def may_close(report: Any) -> bool:
    """Return whether that reader would close the run."""
    return bool(closing_reader().is_valid(report))


def at(document: Any, place: Place) -> Any:
    """Return the value at a place in a document."""
    for key in place:
        document = document[key]
    return document
