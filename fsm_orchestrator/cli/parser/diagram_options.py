"""The options and the help of `diagram`. Light: `--help` of any command loads it."""

from __future__ import annotations

from typing import Any, Final

import click

from fsm_orchestrator.cli.parser.parameters import Directory, FilePath, LifecycleSource, Once

DIAGRAM_HELP: Final = """Draw a lifecycle, a run over it, or what differs between two.

LIFECYCLE is a name or a path, as for --lifecycle; with --run, that of the run. SVG and PNG need
the extra `diagrams`: pip install 'fsm-orchestrator[diagrams]'.

\b
Examples:
  fsm-orchestrator diagram reviewed_run -o reviewed_run.svg
  fsm-orchestrator diagram --run ./out -o run.png
  fsm-orchestrator diagram --diff old.toml ./new.toml --format markdown

\b
Exit codes:
  0 drawn   1 the change loosens   2 usage error
"""
_FORMATS: Final = ("mermaid", "dot", "svg", "png", "text", "markdown")


def diagram_parameters() -> list[click.Parameter]:
    """Return the argument and the options, in the order of the help."""
    return [
        click.Argument(
            ["lifecycle"], metavar="[LIFECYCLE]", required=False, type=LifecycleSource("LIFECYCLE")
        ),
        _once(
            "--format",
            type=click.Choice(_FORMATS),
            help="Default: by the name of FILE, else mermaid; of --diff, text. text and markdown"
            " are for --diff.",
        ),
        _once("-o", "--output", type=FilePath("FILE"), help="Write it to FILE instead of stdout."),
        _once("--run", type=Directory("OUT"), help="Show where the run in OUT went."),
        _once(
            "--diff",
            "pair",
            nargs=2,
            metavar="OLD NEW",
            type=LifecycleSource("OLD NEW"),
            help="Show what NEW changes about OLD, names or paths.",
        ),
    ]


def _once(*names: str, **settings: Any) -> Once:
    return Once(names, section="Drawing", **settings)
