"""The types of parameters: values that are checked as they are parsed, options given once.

A refusal never shows a secret. Each type offers its values to the shell; completion.py looks them
up.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, assert_never

import click

from fsm_orchestrator.clock import SystemClock
from fsm_orchestrator.constants import PORT_MAX, RUN_ID_PATTERN, TASK_QUEUE_PATTERN
from fsm_orchestrator.model.option_kinds import PORT_WORDS, Bounds, Choices, Kind, ValueKind
from fsm_orchestrator.text.hidden import quoted
from fsm_orchestrator.text.phrases import listed, suggestion
from fsm_orchestrator.text.units import Measure, NotMeasuredError, is_bare, measured

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_SHOWN_CHARACTERS_MAX: Final = 80


class Section(click.Option):
    """An option with its heading in the help."""

    def __init__(self, section: str, names: str | Sequence[str], **settings: Any) -> None:
        super().__init__([names] if isinstance(names, str) else names, **settings)
        self.section = section


class Once(Section):
    """An option that may be given once: of two values, neither may win by its position."""

    def __init__(self, section: str, names: str | Sequence[str], **settings: Any) -> None:
        super().__init__(section, names, multiple=True, **settings)

    def process_value(self, ctx: click.Context, value: Any) -> Any:
        """Return the given value, or None."""
        values = super().process_value(ctx, value)
        if len(values) > 1:
            raise click.UsageError(self._refusal(len(values)))
        return values[0] if values else None

    def _refusal(self, count: int) -> str:
        names = [name for name in self.opts if name.startswith("--")]
        if len(names) == 1:
            return f"{names[0]} was given {count} times; once is enough"
        return f"{listed(names)} are one option, given {count} times; once is enough"


class EnvironmentPair(click.ParamType[tuple[str, str]]):
    """`KEY=VALUE`. A refusal does not show the pair."""

    name = "KEY=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split at the first `=`."""
        if isinstance(value, tuple):
            return value
        key, equals, content = str(value).partition("=")
        if not equals or not key:
            what = "has no '='" if not equals else "has no key before '='"
            self.fail(f"a pair is KEY=VALUE, and one given here {what} (not shown)", param, ctx)
        return key, content


class DeclaredSecret(click.ParamType[tuple[str, str | None]]):
    """`KEY`, or `KEY=VALUE`. A refusal does not show it."""

    name = "KEY"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str | None]:
        """Split at the first `=`; without one there is no value."""
        if isinstance(value, tuple):
            return value
        key, equals, content = str(value).partition("=")
        if not key:
            self.fail("a secret is the name of a variable, and one given here is empty", param, ctx)
        return key, content if equals else None


class CommandLine(click.ParamType[tuple[str, ...]]):
    """A command as one text, split into words as a shell does. A refusal does not show it."""

    name = "COMMAND"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the words."""
        if isinstance(value, tuple):
            return value
        import shlex

        try:
            words = tuple(shlex.split(str(value)))
        except ValueError as error:
            self.fail(f"a command given here cannot be split into words: {error}", param, ctx)
        if not words or not words[0]:
            self.fail("a command given here is empty", param, ctx)
        return words


class _Identifier(click.ParamType[str]):
    """A text with a restricted set of characters."""

    _pattern = ""
    _rule = ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, checked."""
        if not re.fullmatch(self._pattern, str(value)):
            said = f"{quoted(str(value))}: {self._rule}, and begins with a letter or digit"
            self.fail(said, param, ctx)
        return str(value)


class RunIdentifier(_Identifier):
    """A run id, of the allowed characters."""

    name = "ID"
    _pattern = RUN_ID_PATTERN
    _rule = "a run id is 1 to 64 letters, digits, dots, underscores and dashes"


class TaskQueueName(_Identifier):
    """The name of a task queue, of the allowed characters."""

    name = Kind.QUEUE.metavar
    _pattern = TASK_QUEUE_PATTERN
    _rule = "a task queue is 1 to 100 letters, digits and . _ : / -"


class EarlierRun(RunIdentifier):
    """The id of a run that a later one has moved to the archive."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Offer the runs in the archive of OUT."""
        del param
        from fsm_orchestrator.cli.parser import completion

        return completion.archived_runs(ctx, incomplete)


class Instant(click.ParamType[datetime]):
    """A point in time in ISO 8601; without an offset it is UTC."""

    name = "ISO"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time, with its offset."""
        if isinstance(value, datetime):
            return value
        try:
            instant = datetime.fromisoformat(str(value))
            return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(f"{quoted(str(value))} is not a time like 2026-01-31T09:00:00Z", param, ctx)


class Since(Instant):
    """An instant in the past: a time, or how long ago it was."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the instant, with its offset."""
        if isinstance(value, str) and not is_bare(value):
            with contextlib.suppress(NotMeasuredError, OverflowError):
                span = timedelta(milliseconds=measured(value, Measure.MILLISECONDS))
                return SystemClock().now() - span
        try:
            return super().convert(value, param, ctx)
        except click.UsageError:
            said = f"{quoted(str(value))} is neither a time like 2026-01-31T09:00:00Z nor a span"
            self.fail(f"{said} like 10m or 1h30m, which is how long ago it was", param, ctx)


class NonEmpty(click.ParamType[str]):
    """Text that is not empty; `offered` names the functions of completion.py that complete it."""

    offered: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text, checked."""
        if not value:
            self.fail("it is empty", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Offer the values that fit."""
        del ctx, param
        from fsm_orchestrator.cli.parser import completion

        return [one for name in self.offered for one in getattr(completion, name)(incomplete)]


class Directory(NonEmpty):
    """The path of a directory, which need not exist yet."""

    offered = ("directories",)


class FilePath(NonEmpty):
    """The path of a file, or of a program by its name."""

    offered = ("paths",)


class LifecycleSource(NonEmpty):
    """A built-in lifecycle, by its name, or a lifecycle file."""

    offered = ("paths", "shipped_lifecycles")


class StageName(NonEmpty):
    """The name of a stage of the run in OUT, or of the lifecycle with these `stages`."""

    def __init__(self, stages: Sequence[str]) -> None:
        super().__init__("STAGE")
        self._stages = tuple(stages)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Offer the stages."""
        del param
        from fsm_orchestrator.cli.parser import completion

        return completion.stages(ctx, incomplete, self._stages)


class Whole(click.ParamType[int]):
    """A whole number within bounds, or a duration or size if the bounds measure one."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.name = bounds.metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number, checked."""
        if isinstance(value, int):
            return value
        try:
            return self.bounds.read(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Port(click.ParamType[int | str]):
    """A TCP port, or a word for all or none of them."""

    name = "PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return the port, checked, or the word."""
        text = str(value)
        if text in PORT_WORDS:
            return text
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= PORT_MAX):
            said = f"{quoted(text)} is neither a port from 1 to {PORT_MAX} nor `none` or `any`"
            self.fail(said, param, ctx)
        return int(text)


class Word(click.Choice[str]):
    """One of a set of words; a refusal names them all, and the one that was probably meant."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word, checked."""
        text, words = str(value), tuple(self.choices)
        if text not in words:
            shown = repr(text[:_SHOWN_CHARACTERS_MAX])
            said = f"{shown} is not one of {', '.join(words)}{suggestion(text, words)}"
            self.fail(said, param, ctx)
        return text


def one_of(words: type[StrEnum]) -> Word:
    """Return the type for the values of a closed set."""
    return Word([one.value for one in words])


def parameter_type(kind: ValueKind) -> click.ParamType[Any]:
    """Return the type that checks and completes the values of a stage's setting."""
    match kind:
        case Bounds():
            return Whole(kind)
        case Choices(words):
            return Word(words)
        case Kind.FILE:
            return FilePath(kind.metavar)
        case Kind.DIRECTORY:
            return Directory(kind.metavar)
        case Kind.PAIR:
            return EnvironmentPair()
        case Kind.NAME:
            return DeclaredSecret()
        case Kind.PORT:
            return Port()
        case Kind.COMMAND:
            return CommandLine()
        case Kind.QUEUE:
            return TaskQueueName()
        case Kind.TEXT | Kind.FLAG:
            return click.STRING
        case _:
            assert_never(kind)
