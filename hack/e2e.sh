#!/usr/bin/env bash
# Runs the e2e scenarios, all of them or those of E2E_SHARD=I/N, and ends with their RESULT line. The go command shows nothing
# that a passing test prints, so the line comes by a file.
set -euo pipefail
cd "$(dirname "$0")/.."
E2E_RESULT=$(mktemp)
export E2E_RESULT
trap 'cat "$E2E_RESULT"; rm -f "$E2E_RESULT"' EXIT
"${GO:-go}" test -tags lab ./test/e2e -count=1 -timeout 60m
