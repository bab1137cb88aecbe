#!/bin/sh
# Write what would be done, and put what would do it beside it: both are approved together.
set -eu
echo "release $(cat version.txt)" > "$ORCHESTRATOR_OUTPUT_DIR/plan.txt"
cp ci/apply.sh "$ORCHESTRATOR_OUTPUT_DIR/apply.sh"
