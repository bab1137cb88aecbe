#!/bin/sh
# Write the plan, and put the script that carries it out next to it: both are approved together.
set -eu
echo "release $(cat version.txt)" > "$ORCHESTRATOR_OUTPUT_DIR/plan.txt"
cp ci/apply.sh "$ORCHESTRATOR_OUTPUT_DIR/apply.sh"
