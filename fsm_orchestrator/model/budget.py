"""A run's budget over all its stages, what the run used, and which part of the budget ended it.

Amounts are decimal numbers kept as text: nothing here is ever a float. Loaded by runs that have a
budget, a time for all stages, or a meter.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from fsm_orchestrator.model.base import Count, Ordinal, StateName, StrictModel
from fsm_orchestrator.model.declared import (
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from fsm_orchestrator.model.limit_words import time_words
from fsm_orchestrator.model.limits import Milliseconds
from fsm_orchestrator.model.promises import TimeLimit
from fsm_orchestrator.text.amounts import (
    AMOUNT_PATTERN,
    UNIT_PATTERN,
    UNIT_WORDS,
    UNITS_MAX,
    amount_given,
    grouped,
    is_unit,
)
from fsm_orchestrator.text.hidden import quoted


def _unit(value: Any) -> Any:
    """Refuse a bad unit with a message: a pattern says little to somebody who wrote USD."""
    if isinstance(value, str) and not is_unit(value):
        raise ValueError(f"{quoted(value)} is not a unit: {UNIT_WORDS}")
    return value


UnitName = Annotated[str, StringConstraints(pattern=f"^{UNIT_PATTERN}$"), BeforeValidator(_unit)]
Amount = Annotated[str, StringConstraints(pattern=f"^{AMOUNT_PATTERN}$")]


def _given(value: Any) -> Any:
    """Take a whole number, or a decimal number as text, as an amount."""
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str):
        raise ValueError(  # noqa: TRY004 - pydantic's protocol
            "should be an amount: a whole number, or a decimal one as text, never a float"
        )
    amount = amount_given(value)
    if amount == "0":
        raise ValueError("should be more than 0: without any budget nothing could be started")
    return amount


AllowedAmount = Annotated[
    Amount,
    BeforeValidator(_given),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0},
                {"type": "string", "pattern": r"^[0-9]{1,18}(\.[0-9]{1,30})?$"},
            ]
        }
    ),
]
Units = Annotated[Mapping[UnitName, AllowedAmount], Field(max_length=UNITS_MAX)]
"""The allowed amount of each unit, by its name."""


class RunBudget(StrictModel):
    """The limits on what a run may use over all its stages."""

    run_timeout_ms: Milliseconds | None = Field(
        description="How long each invocation may work, in milliseconds; null for no limit."
    )
    total_timeout_ms: Milliseconds | None = Field(
        description=(
            "How long all invocations together may work, in milliseconds; null for no limit."
        )
    )
    units: Annotated[dict[UnitName, Amount], Field(max_length=UNITS_MAX)] = Field(
        description="How much of each unit all attempts together may meter, by its name."
    )

    @property
    def given(self) -> dict[str, Any]:
        """The budget in the form in which it is given to an invocation."""
        known = self.model_dump(exclude_none=True)
        units = known.pop("units")
        return {**known, "budget": units} if units else known

    def time(self, limit: TimeLimit) -> int | None:
        """Return the time limit of one kind; None for no limit."""
        return self.run_timeout_ms if limit is TimeLimit.RUN else self.total_timeout_ms


class UnitAmount(StrictModel):
    """An amount of a unit."""

    unit: UnitName = Field(description="Name of the unit.")
    amount: Amount = Field(description="How much of it, as a decimal number.")


class MeterProblem(StrEnum):
    """The reason why a meter does not count."""

    NOT_JSON = "not_json"
    NOT_AN_ENTRY = "not_an_entry"
    BAD_UNIT = "bad_unit"
    BAD_AMOUNT = "bad_amount"
    NEGATIVE = "negative"
    LINE_TOO_LONG = "line_too_long"
    TOO_LARGE = "too_large"
    TOO_MANY_UNITS = "too_many_units"
    SHRANK = "shrank"
    REWRITTEN = "rewritten"
    REPLACED = "replaced"
    UNREADABLE = "unreadable"
    SECRET = "secret"  # noqa: S105 - nobody's
    UNMETERED = "unmetered"


_PROBLEMS: Final = {
    MeterProblem.NOT_JSON: "is not a JSON object in UTF-8 that has each key once",
    MeterProblem.NOT_AN_ENTRY: "has keys other than unit and amount, or lacks one of them",
    MeterProblem.BAD_UNIT: "has a unit that is not a name: lower-case letters, digits and _",
    MeterProblem.BAD_AMOUNT: (
        "has an amount that is not a number, or has too many digits before or after its point"
    ),
    MeterProblem.NEGATIVE: "has an amount that is less than 0",
    MeterProblem.LINE_TOO_LONG: "is longer than a line may be",
    MeterProblem.TOO_LARGE: "it grew larger than it may be",
    MeterProblem.TOO_MANY_UNITS: f"names more than {UNITS_MAX} units",
    MeterProblem.SHRANK: "it became shorter than it was",
    MeterProblem.REWRITTEN: "what had been read of it was changed",
    MeterProblem.REPLACED: "it was removed, or another file is in its place",
    MeterProblem.UNREADABLE: "it cannot be read",
    MeterProblem.SECRET: "holds a declared secret, which nothing here may show",
    MeterProblem.UNMETERED: "nothing was written to it, and the stage must meter",
}


class TimeStop(StrictModel):
    """The end of the run's time."""

    kind: Literal["time"] = Field(description="What ended it.")
    limit: TimeLimit = Field(description="Whose time that was, by its key.")
    allowed_ms: Count = Field(description="All of that time, in milliseconds.")

    @property
    def words(self) -> str:
        """The cause of the stop, as a sentence."""
        return f"the {time_words(self.limit, self.allowed_ms)} is up"


class UnitStop(StrictModel):
    """A unit of which more was metered than the run may use."""

    kind: Literal["unit"] = Field(description="What ended it.")
    unit: UnitName = Field(description="Name of the unit.")
    spent: Amount = Field(description="How much of it was metered in the run by then.")
    allowed: Amount = Field(description="How much of it was allowed.")

    @property
    def words(self) -> str:
        """The cause of the stop, as a sentence."""
        return (
            f"spent {grouped(self.spent)} {self.unit}, more than the budget of"
            f" {grouped(self.allowed)} {self.unit}"
        )

    @property
    def nothing_left(self) -> str:
        """The reason why nothing more is started, as a sentence."""
        spent, allowed = grouped(self.spent), grouped(self.allowed)
        return f"no budget is left: {spent} of {allowed} {self.unit} are spent"


class MeterStop(StrictModel):
    """A meter that cannot be relied on."""

    kind: Literal["meter"] = Field(description="What ended it.")
    problem: MeterProblem = Field(description="What is wrong with the meter.")
    line: Ordinal | None = Field(
        description="Number of the line that is wrong; null where no single line is."
    )

    @property
    def words(self) -> str:
        """The cause of the stop, as a sentence."""
        where = "its meter cannot be relied on:"
        if self.line is not None:
            where += f" line {self.line}"
        return f"{where} {_PROBLEMS[self.problem]}"


BudgetStop = Annotated[TimeStop | UnitStop | MeterStop, Field(discriminator="kind")]


class Metering(StrictModel):
    """The amounts that an attempt metered, and the part of the run's budget that ended it."""

    metered: Annotated[tuple[UnitAmount, ...], Field(max_length=UNITS_MAX)] = Field(
        description="How much of each unit it metered, as far as the meter can be relied on."
    )
    stopped_by: BudgetStop | None = Field(
        description="The part of the run's budget that ended it; null when none did."
    )

    @property
    def is_out_of_time(self) -> bool:
        """True if the run's time limit ended the attempt."""
        return isinstance(self.stopped_by, TimeStop)


class StageAmount(StrictModel):
    """The amount of a unit that attempts of a stage metered."""

    stage: StateName = Field(description="Name of the stage.")
    unit: UnitName = Field(description="Name of the unit.")
    amount: Amount = Field(description="How much of it, as a decimal number.")


class Used(StrictModel):
    """The part of the run's budget that an invocation used, apart from what its attempts say.

    `unseen` is what an attempt had metered when its orchestrator died, before this invocation
    began.
    """

    worked_ms: Count | None = Field(
        description="How long the invocation worked, in milliseconds; null before it has ended."
    )
    unseen_ms: Count = Field(
        description=(
            "How long the invocation before it had worked, as far as is known, where it was killed."
        )
    )
    unseen: tuple[StageAmount, ...] = Field(
        description="What the attempt had metered that was cut off with it."
    )

    def with_more(self, later: "Used | None") -> "Used":
        """Return the sum of what two invocations used that ran nothing."""
        if later is None:
            return self
        return Used(
            worked_ms=(self.worked_ms or 0) + (later.worked_ms or 0),
            unseen_ms=self.unseen_ms + later.unseen_ms,
            unseen=(*self.unseen, *later.unseen),
        )


class UsedBefore(StrictModel):
    """The part of the run's budget that old invocations used."""

    worked_ms: Count = Field(description="How long they worked, in milliseconds.")
    metered: tuple[StageAmount, ...] = Field(description="What they metered, by stage and unit.")


class UnitReport(StrictModel):
    """The amount of a unit that was spent."""

    unit: UnitName = Field(description="Name of the unit.")
    spent: Amount = Field(description="How much of it all attempts of the run have metered.")
    allowed: Amount | None = Field(description="How much of it they may meter; null for no limit.")
    by_stage: dict[StateName, Amount] = Field(description="How much of it each stage metered.")


class BudgetReport(StrictModel):
    """The limits on what a run may use over all its stages, and what it used."""

    run_timeout_ms: Milliseconds | None = Field(
        description="How long each invocation may work, in milliseconds; null for no limit."
    )
    total_timeout_ms: Milliseconds | None = Field(
        description=(
            "How long all invocations together may work, in milliseconds; null for no limit."
        )
    )
    worked_ms: Count | None = Field(
        description=(
            "How long the ended invocations have worked, in milliseconds; null where"
            " total_timeout_ms is."
        )
    )
    units: tuple[UnitReport, ...] = Field(
        description="What was spent, the units with a budget first."
    )
