"""examples/temporal: the session of its page runs, and its files match the page."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psutil
import pytest

from tests.support import forked, guide, temporal_server
from tests.support.command import orchestrate
from tests.support.guide import BLOCK
from tests.support.yaml_text import read_yaml

EXAMPLE = Path(__file__).parents[2] / "examples" / "temporal"
PAGE = EXAMPLE / "README.md"
PINNED = re.compile(r"[a-z0-9/-]+:\d[\d.]*")
EPHEMERAL = re.compile(r"\bfor +\S+|\b\d+(\.\d+)?m?s\b")


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Yield a machine with Temporal's command line, whose server listens at a free port."""
    if reason := temporal_server.why_not():
        pytest.skip(reason)
    address = f"127.0.0.1:{temporal_server.free_port()}"
    shim = tmp_path / "temporal"
    shim.write_text(
        "#!/bin/sh\n"
        f'test "$2" != start-dev || set -- "$@" --headless --port {address.rpartition(":")[2]}\n'
        f'exec "{temporal_server.BINARY}" "$@"\n'
    )
    shim.chmod(0o755)
    mark = uuid.uuid4().hex
    for name, value in {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "TEMPORAL_ADDRESS": address,
        "MARK_OF_TEST": mark,
        "FSM_ORCHESTRATOR_LOG_FORMAT": "text",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(forked, "IS_POSSIBLE", False)  # the page kills the process that it started
    yield
    for process in psutil.process_iter():
        try:
            if process.environ().get("MARK_OF_TEST") == mark:
                process.kill()
        except psutil.Error:
            continue


@pytest.mark.usefixtures("laptop")
def test_session_with_the_development_server_runs() -> None:
    """Two workers, a waiting run, a signal and a worker killed in the middle: the run ends done."""
    guide.follow(PAGE, EPHEMERAL, beside=EXAMPLE)


def compose() -> dict[str, Any]:
    """Return the services of the compose file."""
    return cast("dict[str, Any]", _merged(read_yaml((EXAMPLE / "compose.yaml").read_text())))


def _merged(value: Any) -> Any:
    """Return a document with its merge keys (`<<`) resolved, as Compose does."""
    if isinstance(value, list):
        return [_merged(one) for one in value]
    if not isinstance(value, dict):
        return value
    own = {key: _merged(one) for key, one in value.items()}
    return {**own.pop("<<", {}), **own}


def test_images_are_pinned_and_nothing_is_open_to_others() -> None:
    """Each image except this program's has a version, and each port is this machine's alone."""
    services = compose()["services"]
    for name, service in services.items():
        is_ours = "build" in service
        assert is_ours or PINNED.fullmatch(service["image"]), name
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:"), name
    assert {"postgresql", "temporal", "temporal-ui", "worker-a", "worker-b"} <= set(services)


def test_every_name_in_the_compose_file_is_declared() -> None:
    """Everything that services wait for, mount and are configured by is declared."""
    document = compose()
    services, volumes = document["services"], document["volumes"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in services, name
            assert (how["condition"] == "service_healthy") is ("healthcheck" in services[other])
        for volume in service.get("volumes", ()):
            assert volume.partition(":")[0] in volumes, name
        for config in service.get("configs", ()):
            assert config["source"] in document["configs"], name
    image = (EXAMPLE / "Dockerfile").read_text()
    for path in re.findall(r"examples/temporal/\S+", image):
        assert (EXAMPLE / Path(path).name).exists()


def test_workers_of_the_compose_file_are_workers(tmp_path: Path) -> None:
    """Their command has existing options, and can reach the server."""
    (tmp_path / "state.key").write_text("0" * 64)
    services = compose()["services"]
    for name in ("worker-a", "worker-b"):
        service = services[name]
        assert service["environment"]["TEMPORAL_ADDRESS"] == "temporal:7233"
        program, *words = service["command"]
        assert program == "fsm-orchestrator"
        done = orchestrate(*words, "--help", cwd=tmp_path)
        assert done.code == 0
        assert "Usage: fsm-orchestrator temporal worker" in done.stdout


def test_scripts_of_the_compose_file_do_what_they_are_for(tmp_path: Path) -> None:
    """The schemas of both databases are made, and the key is made once."""
    services = compose()["services"]
    tool = tmp_path / "temporal-sql-tool"
    tool.write_text('#!/bin/sh\necho "$@" >> "$0.log"\n')
    tool.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    _typed(services["temporal-schema"], {"PATH": path})
    made = (tmp_path / "temporal-sql-tool.log").read_text()
    for database, folder in (("temporal", "temporal"), ("temporal_visibility", "visibility")):
        assert f"--db {database} create\n" in made
        assert (
            f"--db {database} update-schema -d /etc/temporal/schema/postgresql/v12/{folder}/"
            in made
        )
    key = tmp_path / "state.key"
    for _ in range(2):
        _typed(services["state-key"], {"PATH": path}, {"/key/": f"{tmp_path}/"})
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert re.fullmatch(r"[0-9a-f]{64}", key.read_text())


def _typed(
    service: dict[str, Any], env: dict[str, str], places: dict[str, str] | None = None
) -> None:
    """Run the script of a service, as Compose hands it to the shell."""
    script = service["command"][0].replace("$$", "$")
    for there, here in (places or {}).items():
        script = script.replace(there, here)
    subprocess.run([*service["entrypoint"], script], env=env, check=True)


def test_what_is_typed_with_docker_is_what_was_typed_without() -> None:
    """Each command for a container is one of the session, which a test runs."""
    page = PAGE.read_text()
    laptop, _, docker = page.partition("## With Docker")
    typed = {line.removeprefix("$ ") for line in laptop.splitlines() if line.startswith("$ ")}
    inside = re.findall(
        r"^\$ docker compose exec worker-a (fsm-orchestrator .*)$", docker, re.MULTILINE
    )
    assert len(inside) >= 4
    assert [one for one in inside if one not in typed] == []
    named = re.findall(r"\bworker-\w+", docker)
    assert set(named) <= set(compose()["services"])


def test_page_shows_no_block_that_nobody_runs() -> None:
    """Only the session with Docker is not run."""
    notes = [found["note"] or "" for found in BLOCK.finditer(PAGE.read_text())]
    assert notes.count("not run") == 1
