"""The gates: the conditions for a run to continue or close, and their judge.

Face: `judging`, `in_force`.
May import: `model` and below.
"""
