"""The gates: what must hold before a run may go on or close, and the judge of it.

Face: `judging`, `in_force`.
May import: `model` and below.
"""
