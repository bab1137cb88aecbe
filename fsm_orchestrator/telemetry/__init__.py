"""Shows a finished invocation to OpenTelemetry: traces, metrics and logs, made from its events.

Face: `handing` (after a run), `delivery` (by hand, and the result).
Only `otlp` loads the SDK, in a process that has nothing else to do. Nothing here decides anything.
May import: `explanation` and below.
"""
