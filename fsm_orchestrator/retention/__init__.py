"""Keep old runs for a while: list the archived ones, put one back, prune what nobody keeps.

May import: `inspection` and below.
"""
