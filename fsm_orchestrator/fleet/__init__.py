"""Fleets, the runs that one file declares: their definition, turns, workers and results.

Face: `definition`, `fleet`, `report`, `observing`.
May import: `api`, `inspection` and below.
"""
