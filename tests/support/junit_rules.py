"""The rules of junit-10.xsd of Jenkins' xUnit plugin, as far as they apply to reports of runs."""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

_TIME: Final = re.compile(r"[0-9]+(\.[0-9]*)?")
_ALLOWED: Final = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {
            *("name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp"),
            *("hostname", "id", "package", "file", "log", "url"),
        },
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name", "time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "properties": (set[str](), {"property"}),
    "property": ({"name", "value"}, set[str]()),
    "failure": ({"type", "message"}, set[str]()),
    "error": ({"type", "message"}, set[str]()),
    "skipped": ({"type", "message"}, set[str]()),
    "system-out": (set[str](), set[str]()),
    "system-err": (set[str](), set[str]()),
}
"""The attributes that an element may have, and the elements in it."""
_REQUIRED: Final = {
    "testsuite": {"name", "tests", "failures", "errors"},
    "testcase": {"name"},
    "property": {"name", "value"},
}
_NUMBERS: Final = ("tests", "failures", "errors", "skipped")


def wrong_in(document: str) -> list[str]:
    """Return what is wrong with a document; nothing for a valid one whose sums are right.

    Raises:
        ET.ParseError: it is not well formed.
    """
    root = ET.fromstring(document)  # noqa: S314 - our own
    wrong = [] if root.tag == "testsuites" else [f"the root is {root.tag}"]
    for element in root.iter():
        wrong += _wrong_of(element)
    for suite in (root, *root.iter("testsuite")):
        cases = [*suite.iter("testcase")]
        counted = {
            "tests": len(cases),
            **{
                f"{name}{plural}": sum(case.find(name) is not None for case in cases)
                for name, plural in (("failure", "s"), ("error", "s"), ("skipped", ""))
            },
        }
        wrong += [
            f"{suite.tag} says {suite.get(key)} {key}, and has {count}"
            for key, count in counted.items()
            if suite.get(key, str(count)) != str(count)
        ]
    return wrong


def _wrong_of(element: ET.Element) -> list[str]:
    if element.tag not in _ALLOWED:
        return [f"unknown element {element.tag}"]
    keys, inner = _ALLOWED[element.tag]
    given = set(element.keys())
    wrong = [f"{element.tag} has {key}" for key in sorted(given - keys)]
    wrong += [
        f"{element.tag} lacks {key}" for key in sorted(_REQUIRED.get(element.tag, set()) - given)
    ]
    wrong += [f"{one.tag} in {element.tag}" for one in element if one.tag not in inner]
    if inner and (element.text or "").strip():
        wrong.append(f"text in {element.tag}")
    time = element.get("time")
    if time is not None and not _TIME.fullmatch(time):
        wrong.append(f"{element.tag} has time {time!r}")
    wrong += [
        f"{element.tag} has {key} {element.get(key)!r}"
        for key in _NUMBERS
        if not (element.get(key) or "0").isdigit()
    ]
    return wrong
