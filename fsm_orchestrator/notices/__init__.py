"""Tell people of a run's end: commands and webhooks, after everything is durable.

May import: `explanation` and below.
"""
