"""The figures, in the order in which they are measured."""

from __future__ import annotations

from typing import Final

from tests.bench.figure import Figure
from tests.bench.figures_command import command_figure, help_figure
from tests.bench.figures_confined import confined_figure
from tests.bench.figures_fleet import fleet_figure
from tests.bench.figures_many import resume_history_figure, status_many_figure
from tests.bench.figures_output import output_figure
from tests.bench.figures_parts import parts_figure
from tests.bench.figures_peers import peers_figure
from tests.bench.figures_records import json_figure, records_figure, transition_figure
from tests.bench.figures_runs import runs_figure, threads_figure
from tests.bench.figures_stages import artifacts_figure, latency_figure, output_memory_figure
from tests.bench.figures_temporal import epoch_figure, recovery_figure, temporal_figure

FIGURES: Final = (
    # Those that make files come first, while the disk is in its initial state; those that make
    # whole environments come last.
    Figure("peers", peers_figure, share=0.25),
    Figure("runs", runs_figure, share=0.1),
    Figure("parts", parts_figure, share=0.05),
    Figure("threads", threads_figure),
    Figure("fleet", fleet_figure, share=0.08),
    Figure("temporal", temporal_figure, share=0.15),
    Figure("recovery", recovery_figure, share=0.08),
    Figure("epoch", epoch_figure, share=0.02),
    Figure("transition", transition_figure),
    Figure("records", records_figure, share=0.02),
    Figure("latency", latency_figure),
    Figure("confined", confined_figure, share=0.02),
    Figure("help", help_figure),
    Figure("output", output_figure),
    Figure("output-memory", output_memory_figure),
    Figure("artifacts", artifacts_figure, share=0.03),
    Figure("json", json_figure),
    Figure("status-many", status_many_figure),
    Figure("resume-history", resume_history_figure),
    Figure("command", command_figure, share=0.15),
)
