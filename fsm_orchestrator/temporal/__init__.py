"""Runs across machines, under Temporal: it says when and where, the record says what happened.

Other rooms use: connecting, fleet, listing, request_file, signalling, submission, submitting,
worker. Extra: `temporal`.
May import: fleet and the rooms below. Of it, `shapes`, `deciding`, `problems` and `workflow` import
nothing but the SDK and what needs the standard library alone: Temporal runs them in its sandbox,
and again from their history.
"""
