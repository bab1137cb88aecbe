#!/bin/sh
# Continue the run in ./out in another job: go_on.sh DIGEST APPROVAL_FILE KEY_FILE.
set -eu
request=out/approvals/review.1.request.json
requester=$(python -c 'import json, sys
print(json.load(open(sys.argv[1]))["predicate"]["requester"]["principal"])' "$request")
# Adopt it, with the gates as they are asked here; it still waits.
fsm-orchestrator run ./out --resume --adopt --accept-record "$1" --config ci/run.toml \
  --requester "$requester" --state-key-file "$3" || test $? = 3
fsm-orchestrator approve ./out --from "$2" --state-key-file "$3"
fsm-orchestrator run ./out --ci --resume --state-key-file "$3"
