"""The runs that are disturbed, and the runs before them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fsm_orchestrator import RunConfig, StageGiven
from fsm_orchestrator.lifecycle.source import shipped_text
from fsm_orchestrator.vocabulary import Gate
from tests.support.command import CHECKPOINT
from tests.sweeps.desk import EARLIER, SECRET, Desk
from tests.sweeps.disk_facts import begun_checkpoint


def whole(desk: Desk, *, executor: str = "true", manager: str = "true", **given: Any) -> RunConfig:
    """Return a run with every kept setting: two stages, a setting of each, an artifact."""
    scripts = {"manager": manager, "executor": f"{executor}; echo '[1]' >{desk.artifact}"}
    stages = {
        stage: StageGiven(
            bin="/bin/sh",
            args=("-c", f"echo {stage} >>{desk.notes}; {script}"),
            env={"MODE": f"{SECRET}-{stage}"},
            expected_artifacts=(str(desk.artifact),) if stage == "executor" else None,
        )
        for stage, script in scripts.items()
    }
    gates = {Gate.POLICY: "allow", Gate.CI: given.pop("ci", "success"), Gate.REVIEW: "approved"}
    return RunConfig(output_directory=desk.out, gates=gates, stages=stages, **given)


def going_on(desk: Desk) -> RunConfig:
    """Return `OUT --resume` alone."""
    return RunConfig(output_directory=desk.out, resume=True)


@dataclass(frozen=True, slots=True)
class Scenario:
    """An invocation to be disturbed, and the earlier runs in the same directory.

    `resumes` is how often the earlier run is resumed.
    """

    command: Callable[[Desk], RunConfig]
    before: Callable[[Desk], RunConfig] | None = None
    is_resume: bool = False
    resumes: int = 0

    def run_before(self, desk: Desk, act: Callable[[RunConfig], object]) -> None:
        """Do what comes before the invocation to be disturbed."""
        if self.before is not None:
            act(self.before(desk))
        for _ in range(self.resumes):
            act(going_on(desk))

    def step(self, desk: Desk) -> RunConfig:
        """Return the invocation to be disturbed."""
        return going_on(desk) if self.is_resume else self.command(desk)

    def next_step(self, desk: Desk) -> RunConfig:
        """Return the operator's next step: resume a run that has begun, otherwise try again."""
        return self.step(desk) if begun_checkpoint(desk) is None else going_on(desk)

    def with_values(self, desk: Desk) -> RunConfig:
        """Return the resume with all remaining settings typed again, including values."""
        config, kept = self.command(desk), begun_checkpoint(desk)
        complete = set() if kept is None else {one.stage for one in kept.completions}
        stages = {name: one for name, one in config.stages.items() if name not in complete}
        return config.model_copy(update={"resume": True, "stages": stages})


def failing_once(desk: Desk) -> RunConfig:
    """Return a run whose executor fails at its first attempt."""
    return whole(desk, executor=failing(1))


def failing(times: int) -> str:
    """Return a script that fails at its first attempts."""
    return f'[ "$ORCHESTRATOR_ATTEMPT" -gt {times} ] || exit 3'


def side_by_side(desk: Desk, *, executor: str = "true", manager: str = "true") -> RunConfig:
    """Return a run whose two stages run at once; the executor ends once the manager is complete."""
    path = desk.root / "side_by_side.toml"
    path.write_text(SIDE_BY_SIDE)
    complete = f"""grep -q '"completions":\\[{{"stage":"manager"' {desk.out / CHECKPOINT}"""
    waits = f"until {complete}; do sleep 0.01; done; {executor}"
    return whole(desk, executor=waits, manager=manager, lifecycle=str(path))


SIDE_BY_SIDE: Final = (
    shipped_text("governed_run")
    .decode()
    .replace(
        '[[state]]\nname = "manager"',
        '[[state]]\nname = "both"\nkind = "group"\nstages = ["manager", "executor"]\n\n'
        '[[state]]\nname = "manager"',
    )
    .replace(
        '[[transition]]\ntrigger = "stage_succeeded"\nsource = "manager"\ndest = "executor"\n'
        'why = "the plan exists, its artifacts are good"\n\n',
        "",
    )
    .replace('dest = "manager"', 'dest = "both"')
    .replace('"manager", "executor"]\ndest', '"both"]\ndest')
    .replace('"manager", "executor", "blocked"', '"both", "blocked"')
    .replace('source = "executor"', 'source = "both"')
)
"""The default lifecycle with both stages in a group."""


KEPT_MAX, KEPT_MIN = 3, 2
"""The number of invocations that a record keeps in these sweeps, at most and after the others were
moved."""


SCENARIOS: Final[dict[str, Scenario]] = {
    # Three that begin empty follow each other: what only they do is tested in one of them.
    "done": Scenario(whole),
    "blocked": Scenario(lambda desk: whole(desk, ci="failure")),
    "failing": Scenario(lambda desk: whole(desk, executor="exit 3")),
    "resumed": Scenario(failing_once, before=failing_once, is_resume=True),
    "archiving": Scenario(whole, before=lambda desk: whole(desk, run_id=EARLIER)),
    "done again": Scenario(whole, before=whole, is_resume=True),
    "moving old ones": Scenario(
        lambda desk: whole(desk, executor=failing(KEPT_MAX)),
        before=lambda desk: whole(desk, executor=failing(KEPT_MAX)),
        is_resume=True,
        resumes=KEPT_MAX - 1,
    ),
}
