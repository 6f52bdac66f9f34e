#!/usr/bin/env bash
# Runs the demo and holds it to its word: the plain mirror set must deadlock, the rollout must complete, and no pull may
# fail on a node that has the new configuration.
set -euo pipefail
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
bin/demo 2>&1 | tee "$log"
result=$(grep '^RESULT ' "$log" | tail -n 1 || true)
for want in raw=deadlock safe=complete pulls_failed=0; do
  if [[ " $result " != *" $want "* ]]; then
    echo "demo: want $want in: ${result:-no RESULT line at all}" >&2
    exit 1
  fi
done
