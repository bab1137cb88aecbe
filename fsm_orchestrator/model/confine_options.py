"""The settings of a stage's confinement and of its usage limits, one row each."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.constants import BYTES_MAX, PROCESSES_MAX, SECONDS_MAX
from fsm_orchestrator.model.option_kinds import Bounds, Choices, Kind, StageOption
from fsm_orchestrator.model.promises import SignalReach
from fsm_orchestrator.text.units import Measure

CONFINE_OPTIONS: Final = (
    StageOption(
        "write",
        Kind.FILE,
        named="writable",
        help="Confine the stage: it may write to this file or directory, to where its expected"
        " artifacts are, and to its own temporary directory, and nowhere else. Repeatable.",
        description="The files and directories that the stage may write to, besides the directories"
        " of its expected artifacts and its own temporary directory.",
        table="confine",
        is_repeatable=True,
    ),
    StageOption(
        "read",
        Kind.FILE,
        named="readable",
        help="Confine the stage: it may read and execute this file or directory, what the system"
        " needs, and what it may write, and nothing else. Repeatable.",
        description="The files and directories that the stage may read and execute, besides those"
        " of the system and those that it may write to; everything unless given.",
        table="confine",
        is_repeatable=True,
    ),
    StageOption(
        "connect",
        Kind.PORT,
        help="Confine the stage: it may connect to this TCP port and use no other network; `none`"
        " for none, `any` (the default) for all. Repeatable.",
        description="The TCP ports that the stage may connect to, `none` or `any`; unless `any`, it"
        " has no other sockets than TCP and Unix ones.",
        table="confine",
        is_repeatable=True,
    ),
    StageOption(
        "bind",
        Kind.PORT,
        named="listen",
        help="Confine the stage: it may listen on this TCP port; `none` for none, `any` (the"
        " default) for all. Repeatable.",
        description="The TCP ports that the stage may listen on, `none` or `any`.",
        table="confine",
        is_repeatable=True,
    ),
    StageOption(
        "signals",
        Choices(tuple(one.value for one in SignalReach)),
        help="Confine the stage: the processes that it may signal, its own (the default of a"
        " confined stage, where the kernel can hold that) or any.",
        description="The processes that the stage may signal: its own, or any. Its own unless"
        " given, as far as the kernel can hold that.",
        table="confine",
    ),
    StageOption(
        "require",
        Kind.FLAG,
        named="confine-require",
        help="Do not start a confined stage where the kernel cannot hold what was asked for (the"
        " default, unless a config file says otherwise).",
        description="Whether the stage is not started where the kernel cannot hold what is asked"
        " for here; true unless given.",
        table="confine",
    ),
)
"""The settings of a stage's confinement."""
CONFINE_KEYS: Final = tuple(one.key for one in CONFINE_OPTIONS)
"""The keys of the table `confine`."""

USAGE_OPTIONS: Final = (
    StageOption(
        "memory_bytes_max",
        Bounds(1, BYTES_MAX, "a whole number of bytes", "SIZE", Measure.BYTES),
        named="memory-bytes-max",
        measured="memory_max",
        help="How much memory of their own all processes of the stage may have together, sampled"
        " (default: no limit).",
        description="How much resident memory of their own all processes of the stage may have"
        " together, in bytes, as sampled while it runs; no limit unless given.",
    ),
    StageOption(
        "processes_max",
        Bounds(1, PROCESSES_MAX, "a whole number of processes"),
        help="How many processes the stage may have at once, sampled (default: no limit).",
        description="How many processes the stage may have at once, as sampled while it runs; no"
        " limit unless given.",
    ),
    StageOption(
        "cpu_seconds_max",
        Bounds(1, SECONDS_MAX, "a whole number of seconds", "SECONDS"),
        help="How much processor time all processes of the stage may use together, sampled"
        " (default: no limit).",
        description="How much processor time all processes of the stage may use together, in"
        " seconds, as sampled while it runs; no limit unless given.",
    ),
    StageOption(
        "file_bytes_max",
        Bounds(1, BYTES_MAX, "a whole number of bytes", "SIZE", Measure.BYTES),
        named="file-bytes-max",
        measured="file_max",
        help="How large a file may be that the stage writes: RLIMIT_FSIZE (default: no limit).",
        description="How large a file may be that the stage writes, in bytes, by RLIMIT_FSIZE; no"
        " limit unless given.",
    ),
)
"""The settings of a stage's usage limits."""
