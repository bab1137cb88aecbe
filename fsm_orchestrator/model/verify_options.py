"""The settings of a stage's verification, one row each."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.model.option_kinds import MILLISECONDS, Kind, StageOption

VERIFY_OPTIONS: Final = (
    StageOption(
        "verify",
        Kind.COMMAND,
        help="Command that verifies what the stage has done, once its artifacts are good: it must"
        " exit with 0. Split into words as a shell does, and run without one. Repeatable, in"
        " order.",
        description="The commands that verify what the stage has done, in order, each a list of"
        " words that is run without a shell; all must exit with 0. Instead of those that were"
        " kept.",
        is_repeatable=True,
    ),
    StageOption(
        "verify_timeout_ms",
        MILLISECONDS,
        measured="verify_timeout",
        help="How long each verification of the stage may run (default: as the stage).",
        description="How long each verification may run, in milliseconds; as long as the stage"
        " unless given.",
    ),
    StageOption(
        "clean_env",
        Kind.FLAG,
        help="Verify in a minimal environment, without the stage's variables and secrets (the"
        " default, unless a config file says otherwise).",
        description="Whether verifications get a minimal environment (PATH, HOME, LANG, TERM, TZ,"
        " USER and TMPDIR) instead of that of the stage; true unless given.",
    ),
    StageOption(
        "verify_unconfined",
        Kind.FLAG,
        help="Do not confine the verifications of a confined stage as the stage is.",
        description="Whether verifications are not confined where the stage is; false unless"
        " given.",
    ),
)
"""The settings for verifying the work of a stage."""
VERIFY_KEYS: Final = tuple(one.key for one in VERIFY_OPTIONS)
