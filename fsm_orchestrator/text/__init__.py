"""TOML, JSON and English as text. Knows nothing of runs.

Face: `toml`, `json_output`, `phrases`, `hidden`, `terminal`, `validation`.
May import: nothing of this package.
"""
