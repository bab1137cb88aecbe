"""The shapes that all other rooms speak in: executions, invocations, endings, limits, retries.

Face: every module; shapes only, no input or output.
May import: vocabulary.
"""
