"""An invocation that has not begun: all is decided before anything is written.

Face: `prepare`, `preparation`, `plan`, `effective_settings`, `decision`,
`lost_values`.
May import: `record` and below.
"""
