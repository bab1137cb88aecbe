"""Notifies people of a run's end: commands and webhooks, after everything is durable.

Face: `telling` sends the notices and returns what was not delivered, `told` reads the notices of a
run, `body` has the shape of a notice. Loaded only by runs that have `[[notify]]`, and by commands
that look at one.
May import: `explanation` and below.
"""
