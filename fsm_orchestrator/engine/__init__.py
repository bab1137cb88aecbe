"""An invocation at work: the machine, its driver, entering a state, and the ends of a run.

Face: `invocation`, `surroundings`.
May import: `preparation` and below.
"""
