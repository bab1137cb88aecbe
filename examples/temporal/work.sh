#!/bin/sh
# Stands in for real work: notes its attempt and epoch; the first attempt to apply takes a minute.
echo "$1: attempt $ORCHESTRATOR_ATTEMPT in epoch $ORCHESTRATOR_EPOCH" >> "$ORCHESTRATOR_OUTPUT_DIR/work.log"
test "$1" = plan || test "$ORCHESTRATOR_ATTEMPT" -gt 1 || exec sleep 60
