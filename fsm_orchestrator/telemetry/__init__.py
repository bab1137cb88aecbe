"""Show a finished invocation to OpenTelemetry: ids, spans, metrics, the sending process.

May import: `explanation` and below.
"""
