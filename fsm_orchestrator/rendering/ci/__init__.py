"""A run as CI systems show it: test cases, a summary, annotations.

Face: `junit`, `markdown`, `github`.
May import: `rendering.html` (the ends of logs), `explanation`, `inspection` and below.
"""
