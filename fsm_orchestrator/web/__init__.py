"""Show runs in a browser: a local page that only reads.

May import: `rendering`, `inspection` and below.
"""
