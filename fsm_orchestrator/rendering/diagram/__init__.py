"""A lifecycle, a run over it, or a difference between two, as a picture.

Face: `picture`, `dot`, `mermaid`, `image`, `run_marks`, `change_marks`.
May import: `inspection`, `lifecycle` and below.
"""
