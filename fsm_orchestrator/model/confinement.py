"""The confinement of a stage: as one source sets it, and what of it was enforced in an attempt.

`Confine` is what options, config file and record say; null where they say nothing.
"""

from typing import Annotated, Any, Literal

from fsm_orchestrator.constants import PORT_MAX
from fsm_orchestrator.model.base import Count, PathText, StrictModel
from fsm_orchestrator.model.declared import BeforeValidator, Field, Strict
from fsm_orchestrator.model.limits import unset
from fsm_orchestrator.model.option_kinds import ALL_PORTS, NO_PORTS
from fsm_orchestrator.model.promises import HeldHow, Promise, SignalReach, StageLimit


def _ports(given: Any) -> Any:
    """Replace a word by the ports that it stands for, also if it is the one value of an option."""
    listed = isinstance(given, list | tuple)
    word = given[0] if listed and len(given) == 1 else given
    if word == NO_PORTS:
        return ()
    if word == ALL_PORTS:
        return word
    if not listed or not all(type(one) is int and 1 <= one <= PORT_MAX for one in given):
        raise ValueError(
            f"should be a list of ports from 1 to {PORT_MAX}, `{NO_PORTS}` or `{ALL_PORTS}`"
        )
    return given


Port = Annotated[int, Field(strict=True, ge=1, le=PORT_MAX)]
Ports = Annotated[
    Annotated[tuple[Port, ...], Strict(strict=False)] | Literal["any"], BeforeValidator(_ports)
]
"""The TCP ports; `any` for all of them, and for every other kind of socket."""
Paths = Annotated[tuple[PathText, ...], Strict(strict=False)]


class Confine(StrictModel):
    """The settings of one source for a stage's confinement; null where it says nothing."""

    write: Paths | None = unset("write")
    read: Paths | None = unset("read")
    connect: Ports | None = unset("connect")
    bind: Ports | None = unset("bind")
    signals: Annotated[SignalReach, Strict(strict=False)] | None = unset("signals")
    require: bool | None = unset("require")

    def over(self, lower: "Confine | None") -> "Confine":
        """Return these settings, completed by those of `lower`."""
        if lower is None:
            return self
        return lower.model_copy(update=self.model_dump(exclude_none=True))

    @property
    def promised(self) -> tuple[Promise, ...]:
        """The promises that must hold for the stage to be started."""
        if self.require is False:
            return ()
        return (
            Promise.WRITE,
            Promise.TRUNCATE,
            *((Promise.READ,) if self.read is not None else ()),
            *((Promise.CONNECT,) if self.ports(self.connect) is not None else ()),
            *((Promise.BIND,) if self.ports(self.bind) is not None else ()),
            *(
                (Promise.SIGNALS, Promise.ABSTRACT_SOCKETS)
                if self.signals is SignalReach.OWN
                else ()
            ),
        )

    @staticmethod
    def ports(given: Ports | None) -> tuple[int, ...] | None:
        """Return the allowed ports; None for all."""
        return None if given is None or given == ALL_PORTS else given


class Confinement(StrictModel):
    """The confinement of an attempt, and which promises the kernel held."""

    write: tuple[str, ...] = Field(
        description="Absolute paths of what it might write to; known secret values are masked."
    )
    read: tuple[str, ...] | None = Field(
        description="Absolute paths of what it might read and execute; null for everything."
    )
    connect: tuple[Port, ...] | None = Field(
        description="TCP ports that it might connect to; null for all, and for other sockets."
    )
    bind: tuple[Port, ...] | None = Field(
        description="TCP ports that it might listen on; null for all."
    )
    required: tuple[Promise, ...] = Field(
        description="The promises without which it was not to be started."
    )
    landlock_abi: Count | None = Field(
        description="Version of the kernel's Landlock, 0 for none; null when nothing was started."
    )
    held: tuple[Promise, ...] = Field(description="The promises that the kernel held.")


class ExceededLimit(StrictModel):
    """A usage limit of a stage that an attempt exceeded."""

    limit: StageLimit = Field(description="The limit, by its key.")
    allowed: Count = Field(description="How much is allowed, in bytes, processes or seconds.")
    used: Count = Field(
        description="How much was used when that was seen; what is allowed, where only the kernel"
        " knows."
    )
    held_by: HeldHow = Field(description="How the limit is held.")
