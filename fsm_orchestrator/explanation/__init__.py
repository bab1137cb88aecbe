"""The explanation of a run: why it stands where it does, who can change it, what to type next.

Face: `explain`, `explanation`, `gate_table`, `changed_files`; `comparing` compares two runs,
`comparison` is the answer.
May import: `inspection`, `preparation` and below.
"""
