"""A run as one page.

Face: `page`.
May import: `explanation`, `inspection` and below.
"""
