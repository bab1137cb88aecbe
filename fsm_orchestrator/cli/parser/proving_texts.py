"""The help texts of the commands that prove to others what a run did, or compare two."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PROVING_HELP: Final[Mapping[str, str]] = {
    "compare": """Show what differs between two runs, what is worst first: "it worked yesterday".

A and B are output directories, OUT/archive/RUN_ID of an archived run, or bundles. Without B, the
run in A is compared with the one that was archived there last. Paths in and below the directories
are compared as if both runs had the same; durations are shown where one is twice the other.

\b
Examples:
  fsm-orchestrator compare ./monday ./tuesday
  fsm-orchestrator compare ./out
  fsm-orchestrator compare yesterday.fsmbundle ./out

\b
Exit codes:
  0 the same, but for how long it took   1 they differ
  2 one of them is no run, or cannot be read
""",
    "bundle": """Write FILE, from which others can prove what the run in OUT did, offline.

FILE is a tar archive of the report, checkpoint, events, lifecycle, settings, evidence, approvals
and logs, with a statement that lists them by digest and says how the run ended. The same run gives
the same bytes. The values of variables are not in it; logs are left out where the run has secrets,
for stages may have printed them. A run that has not ended yet is refused only while it is at work.
If FILE is a directory, writes RUN_ID.fsmbundle in it.

\b
Examples:
  fsm-orchestrator bundle ./out run.fsmbundle --key ~/.ssh/id_ed25519
  fsm-orchestrator bundle ./out . --with-artifacts

\b
Exit codes:
  0 written   1 the record cannot be used, or is not the one that was left
  2 usage error, or FILE is there already   75 a run is at work in OUT
""",
    "verify-bundle": """Verify what a bundle proves of a run, link by link, offline.

Needs nothing of the machine that the run was on, and follows no path and runs nothing of FILE.
Says `verified` only with a signature that SIGNERS or PEM know, or where the chain of events ends
with DIGEST; else `consistent, unsigned`; or names the first link that is broken, where, and what
that means. Keys, approvals and their ends are judged as of the end of the run.

\b
Examples:
  fsm-orchestrator verify-bundle run.fsmbundle --allowed-signers signers
  fsm-orchestrator verify-bundle run.fsmbundle --require signature,approvals \\
    --allowed-signers signers --html run.html

\b
Exit codes:
  0 verified, or consistent and unsigned   1 a link is broken, or lacks what --require asks for
  2 FILE, or a file of keys, cannot be read
""",
}
