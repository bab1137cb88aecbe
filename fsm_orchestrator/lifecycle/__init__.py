"""The declared machine: reads, refuses, proves and compares lifecycles.

Face: `model`, `reading`, `source`, `verification`, `diff`, `diff_text`, `findings`, `labels`.
May import: `disk`, `text`, `model` and below.
"""
