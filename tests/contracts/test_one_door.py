"""Files of a run are opened in one place, which follows no link and waits for nothing.

Syntax decides: every other call that opens, reads or writes a file is in a table here, with what it
opens.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import fsm_orchestrator

ROOT: Final = Path(fsm_orchestrator.__file__).parent
OPENS: Final = frozenset(
    {"open", "read_text", "read_bytes", "write_text", "write_bytes", "mkstemp"}
)
ALLOWED: Final = {
    "approvals/signing.py": "its own scratch files",
    "approvals/verifying.py": "its own scratch files",
    "bundle/signature_links.py": "its own scratch files",
    "cli/commands/completion.py": "scripts of this package",
    "cli/commands/init.py": "files of this package",
    "cli/console.py": "the terminal",
    "cli/isolation.py": "/dev/null, and /proc/self/environ",
    "disk/plain_modules.py": "modules",
    "disk/unchanged.py": "modules, in a child that has nothing else of this package",
    "disk/files.py": "the door itself",
    "disk/reserve.py": "a file without a name",
    "disk/trees.py": "what is below a directory of the operator's: regular files, links to none",
    "gates/sources/judge_child.py": "scratch files of policy.py",
    "gates/sources/policy.py": "its own scratch files",
    "gates/sources/signatures.py": "its own scratch files",
    "inspection/watching.py": "/proc",
    "lifecycle/source.py": "lifecycles of this package",
    "notices/webhook.py": "no file: an address, over the network",
    "retention/contents.py": "/proc",
    "retention/removing.py": "directories by name alone, below one that is locked",
    "processes/ancestry.py": "/proc",
    "processes/executable_file.py": "programs, looked at before: regular files",
    "processes/freezing.py": "/proc",
    "processes/tree_cgroup.py": "/proc, and the files of a cgroup",
    "processes/landlock.py": "paths of rules, opened by name alone (O_PATH)",
    "processes/lockers.py": "/proc/locks",
    "processes/memory_kills.py": "/proc and control groups",
    "processes/open_files.py": "/proc",
    "processes/snapshots.py": "/proc",
    "processes/stage_start.py": "modules of this package",
    "processes/survivors.py": "/proc",
    "processes/table.py": "/proc",
    "rendering/html/environment.py": "templates of this package",
    "selftest/checks.py": "its own scratch files",
    "selftest/freshness.py": "its own scratch files",
    "selftest/sweep.py": "its own scratch files",
    "web/pages.py": "templates and scripts of this package",
    "stages/artifacts.py": "artifacts, looked at before: regular files, links to them too",
}


def opening(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield what in a module opens a file, by the name of the function, or os.open itself."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) if name in OPENS:
                yield node
            case ast.Attribute(value=ast.Name(id="os"), attr="open"):
                yield node
            case _:
                pass


def test_only_the_door_opens_files() -> None:
    """No module outside the table opens a file on its own."""
    found = {
        str(path.relative_to(ROOT))
        for path in sorted(ROOT.rglob("*.py"))
        if any(opening(ast.parse(path.read_bytes())))
    }
    assert found - ALLOWED.keys() == set()


def test_table_is_short_of_nothing_and_long_by_nothing() -> None:
    """Each module of the table does open a file."""
    unused = {name for name in ALLOWED if not any(opening(ast.parse((ROOT / name).read_bytes())))}
    assert unused == set()
