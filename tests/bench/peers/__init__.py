"""Tiny programs that have two stages run with what others would take, as durably as it can.

Each is run as a module: `-m PROGRAM DIRECTORY THREADS RUNS TRUE`. It makes two runs to load what is
loaded late, then as many as asked for, each of which spawns TRUE twice, one after the other, and
prints how many it made a second. What a peer would report home is switched off.
"""

BARE_WORKFLOW = "BareStages"
"""The workflow of `temporal_activities`, by its name: whoever asks for it needs not load that."""
