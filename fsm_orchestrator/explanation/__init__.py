"""Why a run stands where it does, who can change that, and the exact next command.

Face: `explain`, `explanation`, `gate_table`.
May import: `inspection`, `preparation` and below.
"""
