"""Prints the value for --policy-status: allow, deny or unknown.

Holds a requested change against a policy file: are the rules allowed, is the package's licence
one we may change code under, would no more files change than agreed. `unknown` when policy or
package cannot be read: never as good as allow. The value goes to stdout, the reasons to stderr;
the exit code is 0 whenever a value was printed.

    python check_policy.py PACKAGE --select RULES --policy FILE
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from tools import ToolError, findings


class UndecidableError(Exception):
    """The policy or the package lacks what is needed to decide."""


@dataclass(frozen=True)
class Policy:
    """The whole policy: no key is optional and no other key is known."""

    allowed_rules: list[str]
    allowed_licences: list[str]
    max_files_changed: int


def read_policy(path: Path) -> Policy:
    """Read the policy file; UndecidableError when anything in it is not understood."""
    try:
        keys = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UndecidableError(f"cannot read {path}: {error}") from error
    try:
        policy = Policy(**keys)
    except TypeError as error:
        raise UndecidableError(f"{path}: {error}") from error
    lists = (policy.allowed_rules, policy.allowed_licences)
    if not all(isinstance(names, list) for names in lists) or any(
        not isinstance(name, str) for names in lists for name in names
    ):
        raise UndecidableError(f"{path}: rules and licences are lists of names")
    if type(policy.max_files_changed) is not int:
        raise UndecidableError(f"{path}: max_files_changed is a whole number")
    return policy


def covers(allowed: str, rule: str) -> bool:
    """Whether `rule` is `allowed` or narrower: UP covers UP009, and F covers F401 but not FURB."""
    family = re.match(r"[A-Z]*", rule)
    return rule.startswith(allowed) and family is not None and allowed[: family.end()] == family[0]


def licence_of(package: Path) -> str:
    """Return the licence that the package's metadata states."""
    metadata = package / "PKG-INFO"
    try:
        headers = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UndecidableError(f"cannot read {metadata}: {error}") from error
    licence = headers["License-Expression"] or headers["License"] or "UNKNOWN"
    if licence == "UNKNOWN":
        raise UndecidableError(f"{metadata} states no licence")
    return licence


def objections(package: Path, rules: str, policy: Policy) -> list[str]:
    """Every reason to deny, as a sentence; none means allow."""
    reasons = [
        f"rule {rule} is not covered by {', '.join(policy.allowed_rules)}"
        for rule in rules.split(",")
        if not any(covers(allowed, rule) for allowed in policy.allowed_rules)
    ]
    licence = licence_of(package)
    if licence not in policy.allowed_licences:
        reasons.append(f"licence {licence} is not one of {', '.join(policy.allowed_licences)}")
    files = {finding.file for finding in findings(package, rules) if finding.fixable}
    if len(files) > policy.max_files_changed:
        reasons.append(
            f"{len(files)} files would change ({', '.join(sorted(files))}), "
            f"{policy.max_files_changed} may"
        )
    return reasons


def main() -> int:
    """Hold the request against the policy and print the gate's value."""
    parser = argparse.ArgumentParser(description="Prints allow, deny or unknown.")
    parser.add_argument("package", type=Path, help="folder of the unpacked package")
    parser.add_argument("--select", required=True, metavar="RULES", help="ruff rules, by comma")
    parser.add_argument("--policy", required=True, type=Path, metavar="FILE")
    arguments = parser.parse_args()
    try:
        reasons = objections(arguments.package, arguments.select, read_policy(arguments.policy))
    except (UndecidableError, ToolError, OSError) as error:
        print(f"check_policy: {error}", file=sys.stderr)
        print("unknown")
        return 0
    for reason in reasons or ["nothing to object to"]:
        print(f"check_policy: {reason}", file=sys.stderr)
    print("deny" if reasons else "allow")
    return 0


if __name__ == "__main__":
    sys.exit(main())
