"""The sources of evidence, one module each: the question of a gate, and its view of the answer.

Face: `registry`, `base`. Adding a source touches the registry alone.
May import: `gates.subject`, and what `gates` may.
"""
