"""Approvals: what people are asked to approve, what they have signed, and whether it counts now.

Face: `inquiry` asks the source of a gate, `desk` asks people for one and judges what they said,
`standing` says whether the gates of a waiting run are decided, `answering` signs and keeps what a
person says.
May import: `record` and below.
"""
