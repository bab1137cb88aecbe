"""The one door to the disk, and the lock, archive and first look at an output directory.

Face: `files`, `lock`, `archive`, `peek`, `reserve`, `stop_request`.
May import: `text`, and the ground (errors, constants, vocabulary).
"""
