"""The result of the verification of a bundle, in sentences."""

from __future__ import annotations

from typing import Final

from fsm_orchestrator.bundle.verified import Check, CheckState, Proof, Verdict, Verification
from fsm_orchestrator.text.hidden import copyable

_BY: Final = {
    Proof.SIGNATURE: "by a signature",
    Proof.EXPECTED_HEAD: "by the head that was expected",
}


def verdict_words(found: Verification) -> str:
    """Return the text that follows the verdict."""
    match found.verdict:
        case Verdict.VERIFIED:
            return f", {' and '.join(_BY[one] for one in found.by)}"
        case Verdict.CONSISTENT:
            return ": nothing contradicts itself, and nothing shows who made it"
        case Verdict.BROKEN:
            return f" at {found.first_broken}"


def check_words(check: Check) -> str:
    """Return the claim that holds for a link, or what is wrong with it and where."""
    match check.state:
        case CheckState.PASSED:
            notes = f": {'; '.join(check.notes)}" if check.notes else ""
            return f"{check.link.claim}{notes}"
        case CheckState.FAILED:
            return f"{_place_words(check)}{check.detail}"
        case CheckState.NOT_APPLICABLE | CheckState.NOT_REACHED:
            return check.detail


def _place_words(check: Check) -> str:
    """Return the place where something was found; empty if it is not one place."""
    if check.member is None:
        return ""
    name = copyable(check.member)
    return f"{name}: " if check.line is None else f"line {check.line} of {name}: "
