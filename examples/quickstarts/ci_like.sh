#!/bin/sh
# Quickstart: CI-like orchestration. Binary to binary, strict gates, persisted artifacts.
# The two binaries are stand-ins: put your own in their place.
#
#     ci_like.sh [OUT]        default: ./out
set -eu
out=${1:-./out}
stand_ins=$(CDPATH='' cd -- "$(dirname -- "$0")/stand_ins" && pwd)

exec fsm-orchestrator "$out" \
  --policy-status allow \
  --ci-status success \
  --review-status approved \
  --manager-bin "$stand_ins/auto_manager_ai" \
  --manager-arg . \
  --manager-arg "$out/manager" \
  --manager-expected-artifact "$out/manager/action_plan.json" \
  --manager-expected-artifact "$out/manager/run_report.json" \
  --executor-bin "$stand_ins/autonomous_dev_ai" \
  --executor-env AUTONOMOUS_NON_INTERACTIVE_PROFILE=orchestrator_v1 \
  --executor-env AUTONOMOUS_REQUIRE_PR_NUMBER=true \
  --executor-env AUTONOMOUS_FETCH_PR_CI_STATUS_FROM_GH=true \
  --executor-env AUTONOMOUS_FETCH_PR_CI_STATUS_REQUIRED=true \
  --executor-env AUTONOMOUS_REVIEW_REQUIRED=true \
  --executor-env AUTONOMOUS_REQUIRE_ISSUE_COMPLIANCE=true
