"""Exit with 0 if the run in a directory waits for a person, and for nothing else."""

import sys

from fsm_orchestrator import Standing, list_runs

(run,) = list_runs(sys.argv[1])
sys.exit(run.standing is not Standing.WAITING)
