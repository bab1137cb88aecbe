"""The shapes that all other rooms speak in: executions, invocations, endings, problems, limits.

Face: every module; shapes only, no input or output.
May import: `text`, constants, vocabulary.
"""
