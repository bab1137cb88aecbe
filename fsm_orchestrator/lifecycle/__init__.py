"""The declared machine: read, refused, proved, compared.

Face: `model`, `reading`, `source`, `verification`, `diff`, `diff_text`, `findings`, `labels`.
May import: `disk`, `text`, `model` and below.
"""
