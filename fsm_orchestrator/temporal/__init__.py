"""Runs across machines, under Temporal: it says when and where, the record says what happened.

Other rooms use: connecting, fleet, listing, request_file, signaling, submission, submitting,
worker. Extra: `temporal`. May import: fleet and the rooms below. In it, `shapes`, `deciding`,
`problems` and `workflow` import only the SDK and modules that need only the standard library:
Temporal runs them in its sandbox, and replays them from their history.
"""
