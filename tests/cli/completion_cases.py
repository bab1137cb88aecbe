"""Ask for candidates as the scripts do."""

from __future__ import annotations

HOSTILE = ("$(touch pwned)", "`touch pwned`", "two words", "it's", 'say "x"', "a;touch pwned", "*")
