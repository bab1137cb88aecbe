"""One module for each command, loaded when that command is called.

Face: one function `NAME_command` each.
May import: every room.
"""
