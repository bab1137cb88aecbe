"""Approvals: what people are asked to approve, what they have signed, and whether it counts now.

Face: `inquiry` asks the source of a gate, `desk` asks people for one and judges their answers,
`standing` says whether the gates of a waiting run are decided, `answering` signs and keeps a
person's answer.
May import: `record` and below.
"""
