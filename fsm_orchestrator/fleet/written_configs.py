"""The config file of each run, next to the runs' directories: it also works by hand."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from fsm_orchestrator.config.config_reading import CONFIG_BYTES_MAX
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import UsageError
from fsm_orchestrator.fleet.definition import FleetRun
from fsm_orchestrator.fleet.standing import Action, Decision
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import counted, first_of

CONFIG_DIRECTORY: Final = ".fleet"
"""The directory of the config files, a name that no run can have."""
_NAMED_MAX: Final = 5


def write_configs(
    runs: Iterable[FleetRun],
    decisions: Mapping[str, Decision],
    directory: Path,
    submitted: Collection[str] = (),
) -> None:
    """Write the config file of each run whose file differs or does not exist.

    `submitted` has the names of the runs that an engine has, and continues unchanged.

    Raises:
        UsageError: the definition of a run that is done or submitted has changed, and nothing is
            written; or a file cannot be written.
    """
    import tomli_w  # noqa: PLC0415 - not to read a fleet

    texts = {run.name: tomli_w.dumps(dict(run.table)).encode() for run in runs}
    paths = {name: directory / CONFIG_DIRECTORY / f"{name}.toml" for name in texts}
    other = [name for name, text in texts.items() if _content(paths[name]) != text]
    for settled, how in (
        ({name for name in texts if decisions[name].action is Action.SKIP}, "done"),
        (submitted, "submitted"),
    ):
        _refuse_changed([name for name in other if name in settled], how, directory)
    for name in other:
        try:
            files.replace_file(paths[name], texts[name], mode=0o600)
        except OSError as error:
            raise UsageError(
                f"cannot write {copyable(paths[name])}: {files.reason(error)}",
                remedy="name another directory with --dir",
            ) from error


def _refuse_changed(changed: list[str], how: str, directory: Path) -> None:
    if changed:
        raise UsageError(
            f"{counted(len(changed), 'run')} {how} in {copyable(directory)} would have"
            f" another definition now: {', '.join(first_of(changed, _NAMED_MAX))}",
            remedy="give the new work another name, or restore the old definition",
        )


def _content(path: Path) -> bytes | None:
    try:
        return files.read_bounded(path, CONFIG_BYTES_MAX)
    except OSError:
        return None
