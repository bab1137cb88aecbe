"""Looks for the values of declared secrets in what a bundle gives away, as far as they are known.

Files are in a bundle unchanged: nothing in them is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from fsm_orchestrator.bundle.sources import Look
from fsm_orchestrator.errors import CommandError
from fsm_orchestrator.secrets.masking import Masker
from fsm_orchestrator.secrets.of_run import KnownSecrets
from fsm_orchestrator.text.hidden import copyable
from fsm_orchestrator.text.phrases import listed


def secret_watch(known: KnownSecrets) -> Look:
    """Return a watch for secrets in files, in every encoding that is masked elsewhere."""
    masker = Masker(value for values in known.secrets.values() for value in values)

    def at(path: Path) -> Callable[[bytes], None]:
        """Return a watch for the pieces of a file, which raises CommandError at a secret."""
        rest = b""

        def look(piece: bytes) -> None:
            nonlocal rest
            if not masker.knows_any:
                return
            seen = rest + piece
            text = seen.decode(errors="replace")
            if masker.hides(text):
                raise _refusal(
                    path, [key for key, one in known.secrets.items() if _is_in(one, text)]
                )
            rest = seen[-masker.longest_bytes :]

        return look

    return at


def _is_in(values: Iterable[str], text: str) -> bool:
    return Masker(values).hides(text)


def _refusal(path: Path, keys: Sequence[str]) -> CommandError:
    names = listed(keys)
    return CommandError(
        f"{copyable(path)} holds the value of {names}, a secret of the run, and a bundle is given"
        " away",
        remedy="leave out --with-artifacts if it is an artifact, else change the secret; where the"
        f" value is only a common word, unset {names} and ask again",
    )
