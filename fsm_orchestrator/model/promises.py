"""The closed sets of confinement and limits: what a stage is kept from, and how that is held."""

from __future__ import annotations

from enum import StrEnum


class StageLimit(StrEnum):
    """A limit of what a stage may use, by its key."""

    MEMORY = "memory_bytes_max"
    PROCESSES = "processes_max"
    PROCESSOR = "cpu_seconds_max"
    FILE = "file_bytes_max"


class TimeLimit(StrEnum):
    """Whose time a stage had, by its key."""

    STAGE = "timeout_ms"
    RUN = "run_timeout_ms"
    TOTAL = "total_timeout_ms"


class OnUnmetered(StrEnum):
    """The answer to a stage that did its work and metered nothing."""

    ALLOW = "allow"
    FAIL = "fail"


class HeldHow(StrEnum):
    """How a limit of what a stage may use is held."""

    SAMPLED = "sampled"
    CGROUP = "cgroup"
    RLIMIT = "rlimit"


class SignalReach(StrEnum):
    """Which processes a confined stage may signal: its own, or any."""

    OWN = "own"
    ANY = "any"


class Promise(StrEnum):
    """What a stage's confinement promises, each with what the kernel has to have for it."""

    WRITE = "write"
    TRUNCATE = "truncate"
    DEVICE_IOCTL = "device_ioctl"
    READ = "read"
    CONNECT = "connect"
    BIND = "bind"
    SIGNALS = "signals"
    ABSTRACT_SOCKETS = "abstract_sockets"
    INSPECTION = "inspection"
    NAMESPACES = "namespaces"

    @property
    def words(self) -> str:
        """What is promised, as people read it."""
        return _PROMISE_WORDS[self]


_PROMISE_WORDS = {
    Promise.WRITE: "that it writes nothing outside",
    Promise.TRUNCATE: "that it truncates nothing outside",
    Promise.DEVICE_IOCTL: "that it controls no device",
    Promise.READ: "that it reads nothing outside",
    Promise.CONNECT: "that it connects to nothing else",
    Promise.BIND: "that it listens on nothing else",
    Promise.SIGNALS: "that it signals no process outside",
    Promise.ABSTRACT_SOCKETS: "that it reaches no abstract socket outside",
    Promise.INSPECTION: "that it looks into no process outside",
    Promise.NAMESPACES: "that it makes no namespace and no mount",
}
