"""The closed sets of confinement and limits: restrictions on a stage, and how they are enforced."""

from __future__ import annotations

from enum import StrEnum


class StageLimit(StrEnum):
    """A limit on what a stage may use, by its key."""

    MEMORY = "memory_bytes_max"
    PROCESSES = "processes_max"
    PROCESSOR = "cpu_seconds_max"
    FILE = "file_bytes_max"


class TimeLimit(StrEnum):
    """The owner of the time that a stage had, by the key of the limit."""

    STAGE = "timeout_ms"
    RUN = "run_timeout_ms"
    TOTAL = "total_timeout_ms"


class OnUnmetered(StrEnum):
    """The response to a stage that did its work and metered nothing."""

    ALLOW = "allow"
    FAIL = "fail"


class HeldHow(StrEnum):
    """The way in which a usage limit of a stage is enforced."""

    SAMPLED = "sampled"
    CGROUP = "cgroup"
    RLIMIT = "rlimit"


class SignalReach(StrEnum):
    """The processes that a confined stage may signal: its own, or any."""

    OWN = "own"
    ANY = "any"


class Promise(StrEnum):
    """A promise of a stage's confinement, each with what the kernel needs for it."""

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
        """The promise as text for people."""
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
