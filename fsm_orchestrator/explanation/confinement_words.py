"""The confinement of an attempt, as people read it."""

from __future__ import annotations

from collections.abc import Iterator

from fsm_orchestrator.model.confinement import Confinement
from fsm_orchestrator.model.promises import Promise
from fsm_orchestrator.text.hidden import copyable


def confinement_lines(confinement: Confinement) -> Iterator[str]:
    """Yield what the attempt could reach, and what the kernel did not hold."""
    own = [path for path in confinement.write if not path.startswith("/dev/")]
    yield f"may write to {', '.join(map(copyable, own))}"
    if confinement.read is not None:
        yield f"may read {', '.join(map(copyable, confinement.read))}"
    for verb, ports in (("connect to", confinement.connect), ("listen on", confinement.bind)):
        if ports is not None:
            yield f"may {verb} {'TCP ' + ', '.join(map(str, ports)) if ports else 'nothing'}"
    if Promise.SIGNALS in confinement.held:
        yield "may signal its own processes only"
    if confinement.landlock_abi is None:
        yield "was not started"
        return
    missing = [one.words for one in Promise if one not in confinement.held and one in _ALWAYS]
    if missing:
        yield f"this kernel did not hold {', '.join(missing)}"


_ALWAYS = frozenset(
    {Promise.WRITE, Promise.TRUNCATE, Promise.DEVICE_IOCTL, Promise.INSPECTION, Promise.NAMESPACES}
)
"""The promises made to every confined stage, where the kernel can hold them."""
