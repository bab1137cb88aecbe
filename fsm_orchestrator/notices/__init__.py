"""Tell people of a run's end: commands and webhooks, after everything is durable.

Face: `telling` tells and returns what was not delivered, `told` reads what was told of a run,
`body` has the shape of a notice. Loaded only by runs that have `[[notify]]`, and by who looks at
one.
May import: `explanation` and below.
"""
