#!/bin/sh
# Quickstart: deterministic dry run. Gates pass, both stages do nothing, the run closes.
#
#     dry_run.sh [OUT]        default: ./out
set -eu
out=${1:-./out}

exec fsm-orchestrator "$out" \
  --policy-status allow \
  --ci-status success \
  --review-status approved \
  --manager-bin /bin/sh \
  --manager-arg -c \
  --manager-arg "exit 0" \
  --executor-bin /bin/sh \
  --executor-arg -c \
  --executor-arg "exit 0"
