"""One file that proves a run: made from its record, verified without the machine it ran on.

Face: `making` makes one; `opened` reads one once, `verifying` verifies it against the requirements
in `known`, `verified` is the result. `archive_reader` reads one without trusting it, `members` maps
the names of members to kinds, `statement` and `summary` are what a bundle says about its run,
`building` derives both from the record, `signatures` names and reads what signs it.
May import: `approvals`, `record`, `gates`, `lifecycle` and below; nothing that runs stages.
"""
