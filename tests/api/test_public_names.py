"""The public names, frozen: programs may rely on what this test lists.

A name that is added, removed, or called otherwise changes a line here, and a row of docs/python.md.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Final

import pytest

import fsm_orchestrator
from fsm_orchestrator import Interrupts, KeeperPool, RunOverview

GUIDE: Final = Path(__file__).parents[2] / "docs" / "python.md"
WORK: Final = "interrupts: Interrupts | None = None, listener: Listener | None = None, keepers: "
HELD: Final = (
    "lease: Lease | None = None, epoch: Epoch | None = None, task_queue: str | None = None"
)
RUNS: Final = f"(config: RunConfig, *, {WORK}KeeperPool | None = None, {HELD}) -> Report"
HANDLES: Final = RUNS.replace("*, ", "*, install_signal_handlers: bool = False, ")
FUNCTIONS: Final = {
    "claim_epoch": "(run_directory: str | os.PathLike[str], number: int, attempt: int) -> Epoch",
    "diff": (
        "(old: Lifecycle, new: Lifecycle, renamed: Mapping[str, str] = mappingproxy({}))"
        " -> LifecycleDiff"
    ),
    "list_runs": "(*directories: str | os.PathLike[str]) -> tuple[RunOverview, ...]",
    "load_lifecycle": "(path: str | os.PathLike[str]) -> Lifecycle",
    "load_report": "(path: str | os.PathLike[str]) -> Report",
    "next_invocation": "(run_directory: str | os.PathLike[str]) -> int",
    "resume": HANDLES,
    "resume_async": RUNS,
    "run": HANDLES,
    "run_async": RUNS,
    "verify": "(lifecycle: Lifecycle) -> tuple[Finding, ...]",
}
TYPES: Final = frozenset(
    {
        *("Interrupts", "KeeperPool", "Lifecycle", "Listener", "Outcome", "Report", "RunConfig"),
        *("Epoch", "Lease", "RunOverview", "StageGiven", "Standing", "StopReason"),
    }
)
ERRORS: Final = frozenset(
    {
        *("BusyError", "CheckpointError", "FencedError", "InternalError", "LifecycleError"),
        *("OperationError", "OrchestratorError", "RecordingError", "ReportError", "UsageError"),
    }
)


def test_public_names_are_exactly_these() -> None:
    """The package's list, `dir` and `import *` have these names, and each can be imported."""
    names = {*FUNCTIONS, *TYPES, *ERRORS, "__version__"}
    assert fsm_orchestrator.__all__ == sorted(fsm_orchestrator.__all__)
    assert set(fsm_orchestrator.__all__) == names
    assert names <= set(dir(fsm_orchestrator))
    with pytest.raises(AttributeError, match="no attribute 'walk'"):
        fsm_orchestrator.walk  # noqa: B018  # the access is the test


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_functions_are_called_like_this(name: str) -> None:
    """The parameters, defaults and results of the functions are promised as well."""
    signature = str(inspect.signature(getattr(fsm_orchestrator, name)))
    assert signature.replace("'", "") == FUNCTIONS[name]


def test_what_a_service_holds_has_these_members() -> None:
    """The objects that a program keeps have these methods and attributes."""
    for kind, promised in (
        (Interrupts, {"deliver", "first", "close"}),
        (KeeperPool, {"close"}),
        (RunOverview, {"output_directory", "name", "run_id", "standing", "reason", "since"}),
    ):
        assert promised <= set(dir(kind))


def test_every_public_name_is_described() -> None:
    """Each name has a docstring, and is in that of the package and a table of the guide.

    The table has no other names. The alias of a type has no docstring.
    """
    names = set(fsm_orchestrator.__all__) - {"__version__"}
    undescribed = {one for one in names if not getattr(fsm_orchestrator, one).__doc__}
    assert undescribed == {"Listener"}
    said = set(re.findall(r"\w+", fsm_orchestrator.__doc__ or ""))
    assert names - said == set()
    first_cells = re.findall(r"^\| (`.*?) \|", GUIDE.read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", "".join(first_cells))) == names
