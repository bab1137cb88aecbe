"""A run seen from outside: where it stands, what it prints, how to end it.

Face: `inspected_run`, `many_runs`, `looking`, `overview`, `run_directories`, `logs`, `stopping`,
`followed_lifecycle`, `blame`.
May import: `record` and below, not `engine`.
"""
