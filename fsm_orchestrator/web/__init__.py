"""Shows runs in a browser: a local page that only reads, for those who know its address.

Face: `server`.
May import: `rendering`, `explanation`, `inspection` and below.
"""
