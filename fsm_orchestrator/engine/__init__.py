"""An invocation at work: the machine, its driver, and what happens on entering a state.

Face: `invocation`.
May import: `preparation` and below.
"""
