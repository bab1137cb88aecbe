#!/bin/sh
# Print, in Markdown, what the reviewer of the run in ./out has to type: how_to_approve.sh [ID].
# ID is the id of the workflow run on GitHub; without it, another service's job is started by hand.
set -eu
digest=$(fsm-orchestrator status ./out --json |
  python -c 'import json, sys; print(json.load(sys.stdin)["record_digest"])')
echo 'To release this, look at it, and sign:'
echo
echo '```sh'
test $# = 0 || echo "gh run download $1 --name governed-run --dir out"
echo 'fsm-orchestrator approve --request out/approvals/review.1.request.json --out review.approval'
if test $# = 0; then
  echo "echo DIGEST=$digest APPROVAL=\$(base64 -w0 review.approval)"
else
  echo "gh workflow run apply.yml -f plan=$1 -f digest=$digest \\"
  echo '  -f approval="$(base64 -w0 review.approval)"'
fi
echo '```'
