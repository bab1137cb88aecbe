"""An invocation that has not begun: everything is decided before anything is written.

Face: `prepare`, `preparation`, `plan`, `effective_settings`, `decision`,
`lost_values`.
May import: `record` and below.
"""
