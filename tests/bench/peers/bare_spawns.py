"""Two stages that are only spawned: without a record or containment."""

from __future__ import annotations

from tests.bench.bare import spawn
from tests.bench.peers.rate import asked, tell

wanted = asked()


def once(_number: int) -> None:
    """Start both programs, one after the other."""
    for _ in ("manager", "executor"):
        spawn(wanted.true)


tell(wanted, once)
