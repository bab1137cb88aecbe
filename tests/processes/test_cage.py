"""A process in a cage, seen from inside: it tries each forbidden action."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fsm_orchestrator.model.endings import Exited, NotSpawned, SpawnFailure
from fsm_orchestrator.model.promises import Promise
from fsm_orchestrator.processes import cage, landlock, seccomp
from fsm_orchestrator.processes.cage_order import CageOrder
from fsm_orchestrator.vocabulary import Containment
from tests.processes import cage_probe
from tests.processes.runner_cases import AMPLE, Bench

needs_landlock = pytest.mark.skipif(
    landlock.version() < landlock.ABI_SCOPES or not seccomp.is_supported(),
    reason="this kernel's Landlock does not hold all that is promised",
)
OPEN = CageOrder(write=(), read=None, connect=None, bind=None, is_scoped=False, required=())
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/dev/null", "/sys")
REFUSED = {"EACCES", "EPERM"}


class Ground:
    """The surroundings of a process in a cage: directories inside and outside, and sockets."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.inside, self.outside = directory / "inside", directory / "outside"
        self.inside.mkdir()
        (self.outside / "empty").mkdir(parents=True)
        (self.outside / "file").write_text("kept")
        shutil.copy("/bin/true", self.outside / "program")
        (self.inside / "mine").write_text("mine")
        (self.inside / "link").symlink_to(self.outside / "file")
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        self.abstract = uuid.uuid4().hex
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\0" + self.abstract)
        listener.listen()
        self.sockets.append(listener)

    @property
    def ports(self) -> tuple[int, int]:
        """The port that may be connected to, and the one that may not."""
        first, second = (one.getsockname()[1] for one in self.sockets[:2])
        return first, second

    def close(self) -> None:
        """Close the sockets."""
        for one in self.sockets:
            one.close()

    @property
    def arguments(self) -> tuple[str, ...]:
        """The arguments of the probe."""
        places = (str(self.outside), str(self.inside), str(os.getpid()))
        return (cage_probe.__file__, *places, *map(str, self.ports), self.abstract)

    def probe(self, order: CageOrder | None, *names: str) -> dict[str, str]:
        """Run the probe in a cage and return the result of each attempt."""
        bench = Bench(self.directory, Containment.SUBREAPER)
        try:
            report = bench.run(sys.executable, "-I", "-S", *self.arguments, *names, cage=order)
            assert report.end == Exited(0), report
        finally:
            bench.close()
        found: dict[str, str] = json.loads((self.directory / "stdout").read_text())
        return found


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Yield what all tests of this file use for their attempts, which change nothing of it."""
    ground = Ground(tmp_path_factory.mktemp("cage"))
    yield ground
    ground.close()


@pytest.fixture(scope="module")
def tight(ground: Ground) -> dict[str, str]:
    """Return the result of each attempt where everything is asked for."""
    interpreter = (sys.prefix, sys.base_prefix, cage_probe.__file__)
    return ground.probe(
        OPEN._replace(
            write=(str(ground.inside), "/dev/null"),
            read=(*filter(os.path.exists, SYSTEM), *interpreter),
            connect=(ground.ports[0],),
            bind=(),
            is_scoped=True,
            required=tuple(Promise),
        )
    )


@pytest.fixture(scope="module")
def loose(ground: Ground) -> dict[str, str]:
    """Return the result of each attempt where only writing is confined."""
    return ground.probe(
        OPEN._replace(
            write=(str(ground.inside), "/dev/null"), required=(Promise.WRITE, Promise.TRUNCATE)
        )
    )


WRITES = [name for name in cage_probe.ATTEMPTS if "outside" in name or "of inside" in name]
WRITES += ["rename into inside", "hard link into inside", "write through a link inside"]
WRITES += ["write through a descriptor's name"]
READS = ["read outside", "list outside", "execute outside"]
WRITES = [name for name in dict.fromkeys(WRITES) if name not in READS]
OTHERS = [name for name in cage_probe.ATTEMPTS if "keeper" in name or "orchestrator" in name]
OTHERS += ["slow down all of the user's"]
SIGNALS = [name for name in OTHERS if name.startswith("signal")]
SOCKETS = [name for name in cage_probe.ATTEMPTS if name.startswith("make a") and "socket" in name]
SOCKETS.remove("make a Unix socket")
NETWORK = [*SOCKETS, "connect to another port", "connect by sending", "bind a port"]
KERNEL = ["make a user namespace", "mount", "change the root", "use the keyring"]
KERNEL += ["type into a terminal"]
ALLOWED = ["write inside", "rename inside", "write to /dev/null", "write to /dev/stdout"]
ALLOWED += ["signal an own child", "limit itself", "slow itself down", "make a Unix socket"]


@needs_landlock
class TestEverythingAskedFor:
    """A process that may reach only what it was given."""

    @pytest.mark.parametrize(
        "name", [*WRITES, *OTHERS, *NETWORK, *KERNEL, "reach an abstract socket"]
    )
    def test_attempt_is_refused(self, tight: dict[str, str], name: str) -> None:
        """An attempt to reach out of the cage fails."""
        assert tight[name] in {*REFUSED, "EXDEV"}

    @pytest.mark.parametrize("name", READS)
    def test_reading_outside_is_refused(self, tight: dict[str, str], name: str) -> None:
        """A process cannot read what it was not given."""
        assert tight[name] == "EACCES"

    @pytest.mark.parametrize("name", [*ALLOWED, "connect to the open port"])
    def test_own_work_goes_on(self, tight: dict[str, str], name: str) -> None:
        """A stage can use all that it needs for its work."""
        assert tight[name] == "ok"

    def test_io_uring_is_not_there(self, tight: dict[str, str]) -> None:
        """There is no io_uring, which could do unseen what the filter refuses."""
        assert tight["set up io_uring"] == "ENOSYS"

    def test_privileges_are_given_up(self, tight: dict[str, str]) -> None:
        """The process has no capabilities, and gains none."""
        assert tight["NoNewPrivs"] == "1"
        assert tight["Seccomp"] == "2"
        assert int(tight["CapEff"], 16) == 0

    def test_nothing_outside_was_changed(self, ground: Ground, tight: dict[str, str]) -> None:
        """None of the attempts left a trace."""
        assert tight
        assert (ground.outside / "file").read_text() == "kept"
        assert {one.name for one in ground.outside.iterdir()} == {"empty", "file", "program"}


@needs_landlock
class TestOnlyWriting:
    """A process whose writing alone is confined."""

    @pytest.mark.parametrize("name", WRITES)
    def test_attempt_is_refused(self, loose: dict[str, str], name: str) -> None:
        """An attempt to reach out of the cage fails."""
        assert loose[name] in {*REFUSED, "EXDEV"}

    @pytest.mark.parametrize(
        "name",
        [
            *(*ALLOWED, "read outside", "list outside", "connect to another port", "bind a port"),
            *("make a UDP socket", "reach an abstract socket", "signal the keeper"),
        ],
    )
    def test_rest_is_open(self, loose: dict[str, str], name: str) -> None:
        """The cage leaves open what it was not asked to close."""
        assert loose[name] == "ok"

    @pytest.mark.parametrize("name", [one for one in OTHERS if one not in SIGNALS])
    def test_others_are_not_looked_into(self, loose: dict[str, str], name: str) -> None:
        """A confined process never looks into one outside."""
        assert loose[name] in REFUSED


@needs_landlock
def test_without_network_there_are_unix_sockets_only(ground: Ground) -> None:
    """An empty list of ports closes the network."""
    found = ground.probe(OPEN._replace(write=(str(ground.inside),), connect=(), bind=()))
    refused = {name for name in (*NETWORK, "connect to the open port") if found[name] in REFUSED}
    assert refused == {*NETWORK, "connect to the open port"}
    assert found["make a Unix socket"] == "ok"


CONSUMING = ["remove outside", "rename outside", "rename into inside", "rename out of inside"]
HARMLESS = [name for name in (*WRITES, *READS, *SIGNALS) if name not in CONSUMING]
HARMLESS += ["bind a port"]
if os.geteuid() == 0:  # the keeper is closed to all but root anyway
    HARMLESS += ["read the keeper's environment", "follow a descriptor of the keeper"]
HARMLESS += ["connect to another port", "make a UDP socket", "make a netlink socket"]
HARMLESS += ["reach an abstract socket"]


@pytest.mark.parametrize("names", [HARMLESS, *([name] for name in CONSUMING)], ids=len)
def test_attempts_succeed_without_a_cage(tmp_path: Path, names: list[str]) -> None:
    """The attempts succeed without a cage, so that their failure in one means something."""
    free = Ground(tmp_path)
    try:
        found = free.probe(None, *names)
    finally:
        free.close()
    assert {name: found[name] for name in names} == dict.fromkeys(names, "ok")


class TestReport:
    """The runner's report of a cage."""

    @pytest.fixture
    def bench(self, tmp_path: Path) -> Iterator[Bench]:
        """Yield a runner with a keeper."""
        bench = Bench(tmp_path, Containment.SUBREAPER)
        yield bench
        bench.close()

    @needs_landlock
    def test_says_what_holds(self, bench: Bench, tmp_path: Path) -> None:
        """The report names the version and the promises."""
        report = bench.shell("true", cage=OPEN._replace(write=(str(tmp_path),), is_scoped=True))
        assert report.end == Exited(0)
        assert report.cage is not None
        assert report.cage.abi == landlock.version()
        assert {Promise.WRITE, Promise.SIGNALS, Promise.NAMESPACES} <= {*report.cage.promises}
        assert not {Promise.READ, Promise.CONNECT, Promise.BIND} & {*report.cage.promises}

    def test_without_a_cage_says_nothing(self, bench: Bench) -> None:
        """Without a cage the report names none."""
        assert bench.shell("true").cage is None

    @needs_landlock
    def test_path_that_is_not_there(self, bench: Bench, tmp_path: Path) -> None:
        """A missing path is named, and nothing is started."""
        missing = str(tmp_path / "missing")
        report = bench.shell("true", cage=OPEN._replace(write=(missing,)))
        assert isinstance(report.end, NotSpawned)
        assert report.end.failure is SpawnFailure.NOT_CONFINED
        assert missing in report.end.detail

    @needs_landlock
    def test_program_that_may_not_be_read(self, bench: Bench, tmp_path: Path) -> None:
        """A program outside the executable paths is named."""
        report = bench.shell("true", cage=OPEN._replace(read=(str(tmp_path),)))
        assert isinstance(report.end, NotSpawned)
        assert "/bin/sh is not among what it may read and execute" in report.end.detail

    @needs_landlock
    def test_runner_goes_on_after_a_refusal(self, bench: Bench, tmp_path: Path) -> None:
        """The runner starts the next process as usual after a refusal."""
        bench.shell("true", cage=OPEN._replace(write=(str(tmp_path / "missing"),)))
        assert bench.shell("exit 3").end == Exited(3)

    def test_keeper_is_not_confined_itself(self, bench: Bench, tmp_path: Path) -> None:
        """The cage of one process is not that of the next."""
        bench.shell("true", cage=OPEN._replace(write=(str(tmp_path / "nothing"),)))
        outside = tmp_path / "written"
        assert bench.shell(f"echo x > {outside}; exit 4").end == Exited(4)
        assert outside.exists()

    @needs_landlock
    def test_limits_hold_in_a_cage(self, bench: Bench, tmp_path: Path) -> None:
        """A process in a cage is ended at its limits like any other."""
        limits = AMPLE._replace(timeout_ms=200, kill_grace_ms=200)
        report = bench.shell(
            "trap '' TERM; sleep 600 & setsid sleep 600 & wait",
            limits=limits,
            cage=OPEN._replace(write=(str(tmp_path),), is_scoped=True),
        )
        assert type(report.end).__name__ == "TimedOut"
        assert report.survivors == ()

    def test_without_a_keeper_nothing_is_started(self, tmp_path: Path) -> None:
        """Without a keeper there is no cage, and nothing is started."""
        bench = Bench(tmp_path, Containment.PROCESS_GROUP)
        try:
            report = bench.shell("touch started", cage=OPEN)
        finally:
            bench.close()
        assert isinstance(report.end, NotSpawned)
        assert report.end.failure is SpawnFailure.NOT_CONFINED
        assert not (tmp_path / "started").exists()


def run_in(order: cage.Order, code: str) -> str:
    """Return what Python code prints in a cage of an older version."""
    reader, writer = os.pipe()

    def start() -> int:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", code],
            dict(os.environ),
            file_actions=[(os.POSIX_SPAWN_DUP2, writer, 1)],
            setsigdef=[signal.SIGPIPE],
        )

    pid = cage.spawn(order, start)
    os.close(writer)
    with os.fdopen(reader) as printed:
        text = printed.read()
    os.waitpid(pid, 0)
    return text.strip()


@needs_landlock
class TestOlderKernels:
    """Older versions of Landlock: what they let through is refused another way, or not promised."""

    @pytest.mark.parametrize("abi", [1, 2])
    @pytest.mark.parametrize(
        "cut",
        [
            "os.truncate({path!r}, 0)",
            "os.open({path!r}, os.O_RDONLY | os.O_TRUNC)",
            "os.open({path!r}, os.O_WRONLY | os.O_TRUNC)",
        ],
    )
    def test_truncation_is_refused(self, tmp_path: Path, abi: int, cut: str) -> None:
        """Below version 3 the filter refuses truncation, which Landlock does not know."""
        inside, path = tmp_path / "inside", tmp_path / "file"
        inside.mkdir()
        path.write_text("kept")
        order = cage.Order([b"abi %d" % abi, b"write " + os.fsencode(inside)])
        code = f"import os\ntry: {cut.format(path=str(path))}\nexcept OSError as e: print(e.errno)"
        assert run_in(order, code) == "13"
        assert path.read_text() == "kept"

    @pytest.mark.parametrize(
        ("abi", "expected"),
        [
            (0, {Promise.NAMESPACES}),
            (1, {Promise.WRITE, Promise.TRUNCATE, Promise.READ, Promise.INSPECTION}),
            (4, {Promise.CONNECT, Promise.BIND}),
            (5, {Promise.DEVICE_IOCTL}),
            (6, {Promise.SIGNALS, Promise.ABSTRACT_SOCKETS}),
        ],
    )
    def test_promises_begin_with_a_version(self, abi: int, expected: set[Promise]) -> None:
        """Each promise is made from the first version that keeps it."""
        fields = [b"read", b"connect 443", b"bind", b"signals"]
        now = {*cage.held_by(cage.Order([*fields, b"abi %d" % abi]))}
        before = {*cage.held_by(cage.Order([*fields, b"abi %d" % max(0, abi - 1)]))}
        if abi == 0:
            before = set()
        assert {one.decode() for one in now - before} == {one.value for one in expected}

    def test_no_network_needs_no_new_kernel(self) -> None:
        """The filter alone refuses all sockets."""
        assert b"connect" in cage.held_by(cage.Order([b"connect", b"abi 1"]))


def test_unknown_word_is_no_order() -> None:
    """An unknown word makes an order invalid and is never left out."""
    with pytest.raises(OSError, match="Invalid argument"):
        cage.Order([b"everything"])


def test_orders_are_read_as_they_are_written() -> None:
    """An order that is written is read back unchanged."""
    asked = CageOrder(
        write=("/a", "/b c"),
        read=(),
        connect=(443, 8080),
        bind=None,
        is_scoped=True,
        required=(Promise.WRITE,),
    )
    order: Any = cage.Order([os.fsencode(one) for one in asked.fields])
    assert (order.write, order.read) == ([b"/a", b"/b c"], [])
    assert (order.connect, order.bind, order.signals) == ([443, 8080], None, True)
    assert order.required == {b"write"}
