"""Signs with a person's key: one in a file, in the agent, or in hardware."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fsm_orchestrator.approvals.keys import fingerprint
from fsm_orchestrator.disk import files
from fsm_orchestrator.errors import CommandError, UsageError
from fsm_orchestrator.gates.sources.signatures import without_tool
from fsm_orchestrator.processes.tool import ToolError, asked_of, run_tool, scratch_directory
from fsm_orchestrator.text.hidden import copyable

_PUBLIC_BYTES_MAX: Final = 64 * 1024
_AGENT_SECONDS: Final = 10.0
_NAME_A_KEY: Final = "name your key: --key ~/.ssh/id_ed25519, or its .pub where an agent has it"


class UsableKey(NamedTuple):
    """A key for signing.

    Attributes:
        path: its file; None if only the agent has it.
        public: its line, as in a .pub file.
    """

    path: str | None
    public: str
    fingerprint: str


def usable_keys() -> Iterator[UsableKey]:
    """Yield the keys of this user: those of the agent, then those in ~/.ssh."""
    try:
        listed = run_tool(("ssh-add", "-L"), seconds=_AGENT_SECONDS)
    except ToolError:
        listed = None
    for line in [] if listed is None or listed.code else listed.stdout.decode().splitlines():
        yield from _usable(None, line)
    home = Path(os.path.expanduser("~"), ".ssh")
    for public in sorted(home.glob("id_*.pub")):
        private = public.with_suffix("")
        if os.path.isfile(private):
            try:
                line = files.read_bounded(public, _PUBLIC_BYTES_MAX, is_link_good=True).decode()
            except (OSError, UnicodeError):
                continue
            yield from _usable(str(private), line)


def _usable(path: str | None, line: str) -> Iterator[UsableKey]:
    words = line.split()
    try:
        key = base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error, ValueError):
        return
    yield UsableKey(path, line, fingerprint(key))


def key_to_use(named: str | None, wanted: Collection[str] | None) -> UsableKey:
    """Return the named key, or else the first wanted one, chosen by its fingerprint.

    `wanted` is None if it is not known whose keys count.

    Raises:
        UsageError: there is none, or there are several and nothing says which.
    """
    if named is not None:
        path = os.path.expanduser(named)
        if not os.path.isfile(path):
            raise UsageError(f"there is no key {copyable(path)}", remedy=_NAME_A_KEY)
        return UsableKey(path, "", "")
    found = [one for one in usable_keys() if wanted is None or one.fingerprint in wanted]
    if not found:
        what = "none of your keys is one of those who may approve"
        raise UsageError(what if wanted is not None else "you have no key", remedy=_NAME_A_KEY)
    if wanted is None and len({one.fingerprint for one in found}) > 1:
        raise UsageError("you have more than one key", remedy=_NAME_A_KEY)
    return found[0]


def signature_of(raw: bytes, key: UsableKey, namespace: str) -> str:
    """Sign bytes in a namespace: the signature counts for nothing else.

    Raises:
        CommandError: they could not be signed.
    """
    with scratch_directory() as place:
        path = key.path
        if path is None:
            path = str(place / "key.pub")
            Path(path).write_text(f"{key.public}\n")
        command = ("ssh-keygen", "-Y", "sign", "-f", path, "-n", namespace)
        try:
            end = asked_of(command, raw)
        except ToolError as error:
            raise CommandError(str(without_tool(error, "ssh-keygen"))) from None
    if end.code != 0:
        why = end.stderr or f"ssh-keygen exited with {end.code}"
        raise CommandError(f"nothing was signed: {why}", remedy=_NAME_A_KEY)
    return end.stdout.decode(errors="replace")
