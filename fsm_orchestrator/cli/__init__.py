"""The command line: from argv to an exit code.

Face: `main`. May import: every room; `parser` never pydantic, structlog or transitions.
"""
