"""Keep old runs for a while: list the archived ones, put one back, prune what nobody keeps.

Face: `archived` lists, `pruning` removes whole runs, `restoring` puts one back, `trimming` is what
an invocation does for `keep_archived` when it has ended.
May import: `inspection` and below.
"""
