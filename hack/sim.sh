#!/usr/bin/env bash
# Runs the simulator with many seeds: SIM_SEEDS random scenarios (10000) and as many other seeds of the stories, for SIM_BUDGET (15m) at
# most. Ends with its RESULT line; a failure is shrunk and stored in test/sim/testdata/scenarios.
set -euo pipefail
cd "$(dirname "$0")/.."
SIM_RESULT=$(mktemp)
export SIM_RESULT
trap 'cat "$SIM_RESULT"; rm -f "$SIM_RESULT"' EXIT
"${GO:-go}" test ./test/sim -count=1 -timeout 2h -sim.seeds="${SIM_SEEDS:-10000}" -sim.budget="${SIM_BUDGET:-15m}"
