"""TOML, JSON and English as text. Knows nothing about runs.

Face: `toml`, `json_output`, `phrases`, `hidden`, `terminal`, `validation`, `digest`,
`late_pattern`.
May import: nothing of this package.
"""
