#!/bin/sh
# Stands in for real work: notes where and when it works, in the directory of the run.
echo "$1: attempt $ORCHESTRATOR_ATTEMPT in epoch $ORCHESTRATOR_EPOCH" >> "$ORCHESTRATOR_OUTPUT_DIR/work.log"
test "$1" = plan || exec sleep "${WORK_SECONDS:-5}"
