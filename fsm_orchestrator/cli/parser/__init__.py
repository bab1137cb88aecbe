"""The commands and their options, without the modules that the commands need: `--help` is fast.

Face: `app`. May import: `disk`, `text`, `lifecycle.source` and the ground.
"""
