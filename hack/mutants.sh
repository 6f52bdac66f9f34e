#!/usr/bin/env bash
# Breaks each safety rule of internal/rollout once, and shows which test notices. Takes about ten seconds a rule, and half a minute for
# one that only the simulator can judge. Arguments go to the command: -each, -run REGEXP.
set -euo pipefail
cd "$(dirname "$0")/.."
"${GO:-go}" run ./test/sim/mutants "$@"
