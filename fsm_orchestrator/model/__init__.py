"""The shapes that all other rooms use: executions, invocations, endings, problems, limits.

Face: every module but `words` and `dumping`; shapes only, no input or output. Models are declared
in the words of `declared`, which are pydantic's: plainly good values are taken and written without
loading pydantic, everything else by it.
May import: `text`, constants, vocabulary.
"""
