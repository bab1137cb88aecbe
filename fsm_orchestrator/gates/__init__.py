"""What must hold before a run may go on or close, and whether it does.

Face: `rules`, `judging`, `in_force`.
May import: `model` and below.
"""
