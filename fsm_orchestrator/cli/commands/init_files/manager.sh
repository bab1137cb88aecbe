#!/bin/sh
# The manager plans. Replace this with your own program: any language, any binary.
# ORCHESTRATOR_OUTPUT_DIR, _RUN_ID, _STAGE, _ATTEMPT and _IDEMPOTENCY_KEY are in the environment.
set -eu
echo "planning: $1"
printf '{"goal": "%s", "actions": ["write"]}\n' "$1" >"$ORCHESTRATOR_OUTPUT_DIR/action_plan.json"
