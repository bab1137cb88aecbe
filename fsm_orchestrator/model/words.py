"""Uses of pydantic's words, kept until pydantic's own meaning of them is needed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

MISSING: Final = object()
"""The placeholder where nothing was given: None is a value."""


class Word:
    """A use of one of pydantic's words: its name, and the arguments of the call."""

    __slots__ = ("args", "name", "options")

    def __init__(self, name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.name = name
        self.args = args
        self.options = options

    def made(self) -> Any:
        """Return the object that pydantic makes of the word."""
        import pydantic  # noqa: PLC0415 - this is what is put off

        return getattr(pydantic, self.name)(*self.args, **self.options)


class LeftOut(Word):
    """A field that is left out of what is written while it has its default."""

    __slots__ = ()


def word(name: str) -> Callable[..., Word]:
    """Return the stand-in for one of pydantic's words in a declaration."""
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
    """Return the stand-in for one of pydantic's decorators of validators."""
    return lambda *args, **options: lambda function: Judge(function, Word(name, args, options))


class Declaration:
    """A field as it is declared.

    Attributes:
        declared: its annotation as it is in the class; text if the module keeps annotations as
            text.
        given: the value after the equals sign; `MISSING` if there is none.
        module: the name of the module in which it is declared.
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
        """Return an attribute of the field as pydantic knows it: its description, its alias."""
        if name[:2] == "__":
            raise AttributeError(name)
        given = self.given if isinstance(self.given, Word) else Word("Field", (), {})
        return getattr(given.made(), name)
