"""An invocation that has not begun: all is decided before anything is written.

Face: `prepare`, `preparation`, `plan`, `effective_settings`, `decision`.
May import: `record` and below.
"""
