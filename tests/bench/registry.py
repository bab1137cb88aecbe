"""The figures, in the order in which they are measured."""

from __future__ import annotations

from typing import Final

from tests.bench.figure import Figure
from tests.bench.figures_command import command_figure, help_figure
from tests.bench.figures_many import resume_history_figure, status_many_figure
from tests.bench.figures_output import output_figure
from tests.bench.figures_peers import peers_figure
from tests.bench.figures_records import json_figure, records_figure, transition_figure
from tests.bench.figures_runs import runs_figure, threads_figure
from tests.bench.figures_stages import artifacts_figure, latency_figure, output_memory_figure

FIGURES: Final = (
    Figure("command", command_figure),
    Figure("help", help_figure),
    Figure("runs", runs_figure),
    Figure("transition", transition_figure),
    Figure("records", records_figure),
    Figure("artifacts", artifacts_figure),
    Figure("json", json_figure),
    Figure("latency", latency_figure),
    Figure("output-memory", output_memory_figure),
    Figure("output", output_figure),
    Figure("status-many", status_many_figure),
    Figure("resume-history", resume_history_figure),
    Figure("threads", threads_figure),
    Figure("peers", peers_figure),
)
