"""One file that proves a run: made from its record, verified without the machine it ran on.

Face: `making` makes one; `opened` reads one once, `verifying` verifies it by what `known` says is
wanted, `verified` is what that comes to. `archive_reader` reads one without believing it, `members`
says which member is what, `statement` and `summary` are what it says of its run, `building` derives
both from the record, `signatures` names and reads what signs it.
May import: `approvals`, `record`, `gates`, `lifecycle` and below; nothing that runs stages.
"""
