"""The workflow of a governed run: it orders one invocation after another, and waits for people.

It decides nothing about the run: by the result of an invocation, and by what people say, it orders
the next one, waits, or ends. Every later version of this program replays it from its history, so:

* its behavior for the history of a running workflow changes only behind `workflow.patched`, with
  a history recorded before that in the tests; `workflow.deprecate_patch` once none of them runs;
* keys are added to shapes with a default, and never removed;
* no clock, file, random number or set: only what the SDK provides.
"""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import timedelta

from temporalio import exceptions, workflow
from temporalio.common import RetryPolicy, SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from fsm_orchestrator.temporal.deciding import (
        GONE_ON_MAX,
        NEEDS_APPROVAL,
        Next,
        approval_refusal_of,
        is_further,
        next_after,
        refusal_of,
        retry_seconds,
    )
    from fsm_orchestrator.temporal.problems import problem_in
    from fsm_orchestrator.temporal.shapes import (
        ACTIVITY,
        GATES_ATTRIBUTE,
        MEMO,
        OUTCOME_ATTRIBUTE,
        SHAPES_VERSION,
        STATE_ATTRIBUTE,
        WORKFLOW,
        Carried,
        Invocation,
        InvocationResult,
        Problem,
        RunSpec,
        Stand,
    )

INVOCATION_DAYS_MAX = 366
"""The longest that an invocation may take. The run has its own limits for stages; a worker that is
gone is noticed by its heartbeats."""
INVOCATIONS_MAX = 200
"""The number of invocations after which the workflow continues as a new one, with no history."""
_REFUSED = "Refused"


@workflow.defn(name=WORKFLOW)
class GovernedRun:
    """One run."""

    @workflow.init
    def __init__(self, spec: RunSpec) -> None:
        carried = spec.carried
        self._spec = spec
        self._queue = carried.task_queue if carried else spec.task_queue
        self._number = carried.number if carried else spec.first_number - 1
        self._gates = dict(carried.gates) if carried else {}
        self._retries_used = carried.retries_used if carried else 0
        self._result = carried.result if carried else None
        self._problem: Problem | None = None
        self._is_at_work = True
        self._is_retried = False
        self._since = ""
        self._is_asked_to_go_on = False
        self._is_asked_to_end = False
        self._options = spec.options
        self._gone_on = 0
        self._ordered = 0
        self._work: workflow.ActivityHandle[InvocationResult] | None = None

    @workflow.run
    async def run(self, spec: RunSpec) -> Stand:
        """Order invocations until the run is done, or is not to continue."""
        if spec.schema_version > SHAPES_VERSION:
            # This fails the task, not the workflow: the engine has another worker try.
            raise RuntimeError(f"version {spec.schema_version} of the run is for a newer worker")
        while True:
            follows = await self._invoke()
            if follows is not Next.END and workflow.cancellation_reason() is not None:
                follows = Next.CANCELLED
            match follows:
                case Next.END:
                    return self.stands()
                case Next.CANCELLED:
                    if self._is_asked_to_end:
                        return self.stands()
                    raise asyncio.CancelledError
                case Next.GO_ON:
                    pass
                case Next.RETRY:
                    await self._pause()
                case Next.WAIT:
                    if not await self._told_to_go_on():
                        return self.stands()
            if self._is_asked_to_end:
                return self.stands()
            self._continue_as_new_if_long()

    # -- one invocation ---------------------------------------------------------------------

    async def _invoke(self) -> Next:
        """Order an invocation, wait for its end, and return the next step."""
        self._number += 1
        self._ordered += 1
        gates, self._gates = self._gates, {}
        self._is_asked_to_go_on = False
        is_first_word = self._result is None and self._problem is None
        self._is_at_work, self._is_retried = True, False
        if not is_first_word:
            self._show()
        spec = self._spec
        order = Invocation(
            run_id=spec.run_id,
            run_directory=spec.run_directory,
            request=spec.request,
            number=self._number,
            gates=gates,
            options=self._options,
            after=None if self._result is None else self._result.epoch,
        )
        self._work = workflow.start_activity(
            ACTIVITY,
            order,
            result_type=InvocationResult,
            task_queue=self._queue,
            heartbeat_timeout=timedelta(seconds=spec.heartbeat_seconds),
            start_to_close_timeout=timedelta(days=INVOCATION_DAYS_MAX),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=100),
                maximum_interval=timedelta(seconds=10),
                maximum_attempts=spec.attempts,
            ),
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"invocation {self._number} of {spec.run_id}",
        )
        try:
            result = await self._work
        except exceptions.ActivityError as error:
            self._work, self._is_at_work = None, False
            return self._not_made(error, gates)
        self._work, self._is_at_work = None, False
        return self._made(result)

    def _made(self, result: InvocationResult) -> Next:
        before, self._result, self._problem = self._result, result, None
        self._options = None
        self._queue = result.next_task_queue or self._queue
        left = self._spec.retries - self._retries_used
        follows = next_after(result, retries_left=left, has_gates=bool(self._gates))
        if follows is Next.GO_ON:
            self._gone_on = 1 if is_further(before, result) else self._gone_on + 1
            if self._gone_on > GONE_ON_MAX:
                follows = Next.WAIT
        else:
            self._gone_on = 0
        if follows is Next.WAIT and self._is_asked_to_go_on:
            follows = Next.GO_ON
        self._is_retried = follows is Next.RETRY
        if follows is not Next.GO_ON:
            self._show()
        return follows

    def _not_made(self, error: exceptions.ActivityError, gates: dict[str, str]) -> Next:
        """Note why an invocation could not be made; its signals are kept for the next one."""
        self._gates = {**gates, **self._gates}
        if exceptions.is_cancelled_exception(error):  # no worker had taken it yet
            return Next.CANCELLED
        self._problem = problem_in(error)
        if self._problem.latest_number is not None:
            self._number = max(self._number, self._problem.latest_number)
        follows = Next.GO_ON if self._is_asked_to_go_on else Next.WAIT
        if follows is Next.WAIT:
            self._show()
        return follows

    # -- waiting ----------------------------------------------------------------------------

    async def _told_to_go_on(self) -> bool:
        """Wait for people; return False once the time for that is over, or they ask to end."""
        seconds = self._spec.wait_seconds
        try:
            await workflow.wait_condition(
                lambda: self._is_asked_to_go_on or self._is_asked_to_end,
                timeout=None if seconds is None else timedelta(seconds=seconds),
            )
        except TimeoutError:
            return False
        return not self._is_asked_to_end

    async def _pause(self) -> None:
        """Wait until a retry is due, or somebody asks for it now."""
        seconds = retry_seconds(self._spec.retry_seconds, self._retries_used)
        self._retries_used += 1
        try:
            await workflow.wait_condition(
                lambda: self._is_asked_to_go_on or self._is_asked_to_end,
                timeout=timedelta(seconds=seconds),
            )
        except TimeoutError:
            return

    def _continue_as_new_if_long(self) -> None:
        is_long = workflow.info().is_continue_as_new_suggested()
        if self._ordered < INVOCATIONS_MAX and not is_long:
            return
        carried = Carried(
            number=self._number,
            task_queue=self._queue,
            gates=self._gates,
            retries_used=self._retries_used,
            result=self._result,
        )
        workflow.continue_as_new(
            dataclasses.replace(self._spec, options=self._options, carried=carried)
        )

    # -- what people say --------------------------------------------------------------------

    @workflow.update(description="Give signals of gates; the run continues with them.")
    def continue_run(self, gates: dict[str, str]) -> str:
        """Continue with signals of gates, and return what follows."""
        self._gates.update(gates)
        self._is_asked_to_go_on = True
        return self._follows()

    @continue_run.validator
    def _check_signals(self, gates: dict[str, str]) -> None:
        known = self._result.gates if self._result and self._result.gates else self._spec.gates
        refusal = refusal_of(gates, known)
        if refusal is None and not gates:
            refusal = "no gate is named"
        if refusal is not None:
            raise exceptions.ApplicationError(refusal, type=_REFUSED, non_retryable=True)
        refused = self._result.refused_by_signal if self._result else ()
        approved = [one for one in self._spec.approval_gates if one not in refused]
        refusal = approval_refusal_of(gates, known, approved)
        if refusal is not None:
            raise exceptions.ApplicationError(refusal, type=NEEDS_APPROVAL, non_retryable=True)
        self._refuse_if_ending()

    @workflow.update(description="Somebody has approved: have the gates judged again.")
    def approve(self) -> str:
        """Continue because people have approved, and return what follows."""
        self._is_asked_to_go_on = True
        return self._follows()

    @approve.validator
    def _check_approval(self) -> None:
        self._refuse_if_ending()
        if not self._is_at_work and not (self._result and self._result.waiting_gates):
            said = "no gate of this run waits for anybody"
            raise exceptions.ApplicationError(said, type=_REFUSED, non_retryable=True)

    @workflow.update(description="Resume the run as it is.")
    def resume(self) -> str:
        """Continue, and return what follows."""
        self._is_asked_to_go_on = True
        return self._follows()

    @resume.validator
    def _check_resume(self) -> None:
        self._refuse_if_ending()

    @workflow.update(description="End the invocation at work, as by SIGTERM, and the workflow.")
    def stop(self) -> str:
        """End the workflow, and return what follows."""
        self._is_asked_to_end = True
        if self._work is None:
            return "the workflow ends; the run is unchanged"
        self._work.cancel()
        return f"invocation {self._number} is asked to end, and the workflow ends with it"

    def _refuse_if_ending(self) -> None:
        if self._is_asked_to_end:
            raise exceptions.ApplicationError(
                "the run is ending", type=_REFUSED, non_retryable=True
            )

    def _follows(self) -> str:
        if self._is_at_work:
            return (
                f"invocation {self._number} is at work; unless the run is done then, invocation"
                f" {self._number + 1} follows"
            )
        return f"invocation {self._number + 1} follows"

    # -- queries -----------------------------------------------------------------------------

    @workflow.query(description="The standing of the run.")
    def stands(self) -> Stand:
        """Return the standing of the run."""
        return Stand(
            run_id=self._spec.run_id,
            run_directory=self._spec.run_directory,
            task_queue=self._queue,
            number=self._number,
            is_at_work=self._is_at_work,
            result=self._result,
            problem=self._problem,
            is_retried=self._is_retried,
            since=self._since,
        )

    @workflow.query(description="The result of the last invocation; null before the first ends.")
    def report(self) -> InvocationResult | None:
        """Return the result of the last invocation. Its whole report is in the run's directory."""
        return self._result

    def _show(self) -> None:
        """Make memo and search attributes show the standing of the run."""
        self._since = workflow.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        workflow.upsert_memo({MEMO: self.stands()})
        if not self._spec.has_attributes:
            return
        result = None if self._is_at_work else self._result  # while at work, it has left that state
        values = {
            STATE_ATTRIBUTE: result.state if result else None,
            OUTCOME_ATTRIBUTE: result.outcome if result else None,
        }
        keys = {name: SearchAttributeKey.for_keyword(name) for name in values}
        gates = SearchAttributeKey.for_keyword_list(GATES_ATTRIBUTE)
        waiting = result.waiting_gates if result else ()
        workflow.upsert_search_attributes(
            [
                *(
                    keys[name].value_unset() if value is None else keys[name].value_set(value)
                    for name, value in values.items()
                ),
                gates.value_set(waiting) if waiting else gates.value_unset(),
            ]
        )
