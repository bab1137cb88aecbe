"""One file that proves a run: made from its record, verified without the machine it ran on.

May import: `approvals`, `record`, `gates`, `lifecycle` and below; nothing that runs anything.
"""
