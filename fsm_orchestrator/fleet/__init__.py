"""Many runs of one file: what each is, in which order, who works at them, what came of them.

Face: `definition`, `fleet`, `report`, `observing`.
May import: `api`, `inspection` and below.
"""
