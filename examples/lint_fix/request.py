"""Writes a description of a change: its rules, the package's license, the files it would touch.

The policy judges that file. Facts that cannot be read are not guessed: then nothing is written, and
the gate stays closed.

    python request.py PACKAGE OUT --select RULES
"""

from __future__ import annotations

import argparse
import json
import sys
from email.parser import HeaderParser
from pathlib import Path

from tools import ToolError, findings


class UnknownError(Exception):
    """A package that lacks a required fact."""


def licence_of(package: Path) -> str:
    """Return the license that the package's metadata states."""
    metadata = package / "PKG-INFO"
    try:
        headers = HeaderParser().parsestr(metadata.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnknownError(f"cannot read {metadata}: {error}") from error
    licence = headers["License-Expression"] or headers["License"] or "UNKNOWN"
    if licence == "UNKNOWN":
        raise UnknownError(f"{metadata} states no licence")
    return str(licence)


def main() -> int:
    """Look at the package and write the request; exit 1 with a message when that cannot be done."""
    parser = argparse.ArgumentParser(description="Writes down what a change would be.")
    parser.add_argument("package", type=Path, help="folder of the unpacked package")
    parser.add_argument("out", type=Path, help="the file to write, JSON")
    parser.add_argument("--select", required=True, metavar="RULES", help="ruff rules, by comma")
    arguments = parser.parse_args()
    arguments.out.unlink(missing_ok=True)
    try:
        found = findings(arguments.package, arguments.select)
        request = {
            "rules": arguments.select.split(","),
            "licence": licence_of(arguments.package),
            "files": sorted({finding.file for finding in found if finding.fixable}),
        }
    except (UnknownError, ToolError, OSError) as error:
        print(f"request: {error}", file=sys.stderr)
        return 1
    text = json.dumps({"request": request}, indent=2, ensure_ascii=False)
    arguments.out.write_text(text + "\n", encoding="utf-8")
    print(f"request: {len(request['files'])} files would change, licence {request['licence']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
