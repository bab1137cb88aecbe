"""One attempt of one stage: its environment, its output, its artifacts, and whether they are good.

Face: `attempt`, `artifacts`, `artifact_snapshot`, `output_files`, `output_lines`, `output_tail`.
May import: `config`, `processes`, `secrets` and below.
"""
