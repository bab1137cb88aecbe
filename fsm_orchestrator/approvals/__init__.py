"""Approvals: what people are asked to approve, what they have signed, and whether it counts now.

Face: `desk` asks and judges for a gate, `standing` says whether the gates of a waiting run are
decided, `answering` signs and keeps what a person says.
May import: `record` and below.
"""
