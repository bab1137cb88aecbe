"""The result of verifying a bundle, as the page made from it shows it."""

from __future__ import annotations

from typing import Final, NamedTuple

from fsm_orchestrator.bundle.verified import Check, CheckState, Verdict, Verification
from fsm_orchestrator.explanation.verified_words import check_words, verdict_words
from fsm_orchestrator.rendering.html.looks import Look, Tone

_LOOKS: Final = {
    CheckState.PASSED: Look("holds", Tone.GOOD, "check"),
    CheckState.FAILED: Look("broken", Tone.BAD, "cross"),
    CheckState.NOT_APPLICABLE: Look("nothing to verify", Tone.PLAIN, "skip"),
    CheckState.NOT_REACHED: Look("not reached", Tone.PLAIN, "skip"),
}
_VERDICTS: Final = {
    Verdict.VERIFIED: Look("verified", Tone.GOOD, "check"),
    Verdict.CONSISTENT: Look("consistent, unsigned", Tone.WARN, "alert"),
    Verdict.BROKEN: Look("broken", Tone.BAD, "cross"),
}


class SealRow(NamedTuple):
    """A link, its look and its sentence."""

    link: str
    look: Look
    said: str


class Seal(NamedTuple):
    """The seal of a page."""

    found: Verification
    look: Look
    said: str
    rows: tuple[SealRow, ...]

    @property
    def is_broken(self) -> bool:
        """True if nothing in the bundle is proved."""
        return self.found.verdict is Verdict.BROKEN


def seal_of(found: Verification) -> Seal:
    """Return the seal for the result of verifying a bundle."""
    rows = (_row(one) for one in found.checks)
    return Seal(found, _VERDICTS[found.verdict], verdict_words(found), tuple(rows))


def _row(one: Check) -> SealRow:
    so = "" if one.means is None else f"; so {one.means}"
    return SealRow(one.link.value, _LOOKS[one.state], f"{check_words(one)}{so}")
