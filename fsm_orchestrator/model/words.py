"""Uses of pydantic's words, kept until something asks what pydantic makes of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

MISSING: Final = object()
"""Stands where nothing was given: None is a value."""


class Word:
    """A use of one of pydantic's words: its name, and what it was called with."""

    __slots__ = ("args", "name", "options")

    def __init__(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.name = name
        self.args = args
        self.options = options

    def made(self) -> Any:
        """Return what the word means to pydantic."""
        import pydantic  # noqa: PLC0415 - this is what is put off

        return getattr(pydantic, self.name)(*self.args, **self.options)


class LeftOut(Word):
    """A field that is left out of what is written where it holds its default."""

    __slots__ = ()


def word(name: str) -> Callable[..., Word]:
    """Return what stands for one of pydantic's words in a declaration."""
    return lambda *args, **options: Word(name, args, options)


class Judge:
    """A validator of a model, and the word that makes it one."""

    __slots__ = ("function", "word")

    def __init__(self, function: Any, used: Word) -> None:
        self.function = function
        self.word = used

    def __get__(self, instance: Any, owner: type) -> Any:
        """Return the function, bound as it was declared."""
        return self.function.__get__(instance, owner)


def judge(name: str) -> Callable[..., Callable[[Any], Judge]]:
    """Return what stands for one of pydantic's decorators of validators."""
    return lambda *args, **options: lambda function: Judge(function, Word(name, args, options))


class Declaration:
    """A field as it is declared.

    Attributes:
        declared: its annotation as it stands in the class; a text where the module keeps texts.
        given: what stands behind the equals sign; `MISSING` where nothing does.
        module: the name of the module that it is declared in.
    """

    __slots__ = ("declared", "given", "module")

    def __init__(self, declared: Any, given: Any, module: str) -> None:
        self.declared = declared
        self.given = given
        self.module = module

    @property
    def annotation(self) -> Any:
        """The annotation itself."""
        if not isinstance(self.declared, str):
            return self.declared
        return eval(self.declared, vars(sys.modules[self.module]))  # noqa: S307 - as typing does

    def __getattr__(self, name: str) -> Any:
        """Return what pydantic knows of a field: its description, its alias."""
        if name[:2] == "__":
            raise AttributeError(name)
        given = self.given if isinstance(self.given, Word) else Word("Field", (), {})
        return getattr(given.made(), name)
