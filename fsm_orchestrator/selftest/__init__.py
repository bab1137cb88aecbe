"""Checks that the promises hold on this machine.

Face: `checks`.
May import: the Python interface, `processes`, `disk` and below.
"""
