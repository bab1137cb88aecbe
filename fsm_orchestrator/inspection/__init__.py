"""A run seen from outside: where it stands, what it prints, how to end it.

Face: `inspected_run`, `followed_lifecycle`, `overview`, `logs`, `stopping`.
May import: `record` and below, not `engine`.
"""
