"""Keeps old runs for a while: lists the archived ones, puts one back, prunes those past all bounds.

Face: `archived` lists, `pruning` removes whole runs, `restoring` puts one back, `trimming` does
what `keep_archived` asks for when an invocation has ended.
May import: `inspection` and below.
"""
