#!/usr/bin/env bash
# Measures `safe-mirror mirror` against skopeo, crane, regctl and regsync, over a shaped link and over loopback, and ends with a
# RESULT line. The report is also written to bin/bench/mirror.md. About 20 minutes; arguments go to the benchmark:
#
#   hack/bench-mirror.sh                              all of it
#   hack/bench-mirror.sh --doc                        and put the report into docs/performance.md
#   hack/bench-mirror.sh -corpora A -links shaped     a part of it; bin/bench/mirror -h lists the flags
#
# The peers and the registry are pinned in test/bench/peers/go.mod and built into bin/bench; skopeo is the one of the system.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
out=$PWD/bin/bench

args=()
for arg in "$@"; do
  if [[ $arg == --doc ]]; then
    args+=(-doc docs/performance.md)
  else
    args+=("$arg")
  fi
done

if [[ ! -x bin/safe-mirror ]]; then
  echo "bench-mirror: there is no bin/safe-mirror; build it with: make build" >&2
  exit 1
fi

mkdir -p "$out"
[[ -x $out/registry ]] || echo "bench-mirror: building the peers and the registry; about a minute from cold on two cores"
"$go" -C test/bench/peers build -o "$out/" tool
"$go" build -o "$out/mirror" ./test/bench/mirror

# skopeo's module cannot be had from the module proxy, so it is the system's.
if ! command -v skopeo >/dev/null; then
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "bench-mirror: installing skopeo"
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends skopeo; } >"$out/apt.log" 2>&1 ||
      echo "bench-mirror: skopeo could not be installed, see bin/bench/apt.log; going on without" >&2
  else
    echo "bench-mirror: skopeo is missing and is left out; install it with: sudo apt-get install skopeo (or dnf, or brew)" >&2
  fi
fi

exec "$out/mirror" -ours bin/safe-mirror -bin "$out" -markdown "$out/mirror.md" "${args[@]}"
