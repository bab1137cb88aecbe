"""Two stages with LangGraph: a separate thread for each run, its checkpoints in SQLite."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any, TypedDict

os.environ["LANGSMITH_TRACING"] = os.environ["LANGCHAIN_TRACING_V2"] = "false"

from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph

from tests.bench.peers.rate import asked, spawned, tell

wanted = asked()
of_thread = threading.local()


class Codes(TypedDict, total=False):
    """The exit codes of the stages."""

    manager: int
    executor: int


def graph() -> Any:
    """Return the compiled graph of this thread, with a connection of its own."""
    if not hasattr(of_thread, "graph"):
        path = Path(wanted.directory, "langgraph.db")
        connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
        made = StateGraph(Codes)
        made.add_node("manager", lambda _: {"manager": spawned(wanted.true)})
        made.add_node("executor", lambda _: {"executor": spawned(wanted.true)})
        made.add_edge(START, "manager")
        made.add_edge("manager", "executor")
        made.add_edge("executor", END)
        of_thread.graph = made.compile(checkpointer=SqliteSaver(connection))
    return of_thread.graph


def once(number: int) -> None:
    """Make a run, each checkpoint on disk before the next step."""
    graph().invoke({}, {"configurable": {"thread_id": f"run{number}"}}, durability="sync")


tell(wanted, once)
