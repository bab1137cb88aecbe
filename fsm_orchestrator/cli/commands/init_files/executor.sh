#!/bin/sh
# The executor carries out the plan. Exit non-zero to fail the run; a resume then comes back here
# and does not plan again.
set -eu
grep -q '"write"' "$ORCHESTRATOR_OUTPUT_DIR/action_plan.json"
echo "hello, attempt $ORCHESTRATOR_ATTEMPT" >"$ORCHESTRATOR_OUTPUT_DIR/result.txt"
