"""The sources of evidence, one module each: what a gate asks, and what it makes of the answer.

Face: `registry`, `base`. Adding a source touches the registry alone.
May import: `gates.subject`, and what `gates` may.
"""
