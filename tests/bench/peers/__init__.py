"""Tiny programs that run two stages with an alternative, as durably as it can.

Each is run as a module: `-m PROGRAM DIRECTORY THREADS RUNS TRUE`. It makes two runs to load what is
loaded late, then the requested number, each of which spawns TRUE twice, one after the other, and
prints how many it made a second. A peer's telemetry is switched off.
"""

BARE_WORKFLOW = "BareStages"
"""The name of the workflow of `temporal_activities`: clients need not load that module."""
