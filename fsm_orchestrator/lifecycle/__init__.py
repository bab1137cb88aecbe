"""The declared machine: reads, refuses, proves and compares lifecycles.

Face: `model`, `reading`, `source`, `verification`, `diff`, `diff_text`, `findings`, `labels`,
`linear`, `drafting`, `missing_edges`, `writing`.
May import: `disk`, `text`, `model` and below.
"""
