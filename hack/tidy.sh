#!/usr/bin/env bash
# Tidies every module, or with -diff says what would change and changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=0
for module in . hack/tools test/lab/parts test/bench/peers; do
  if ! "${GO:-go}" -C "$module" mod tidy "$@"; then
    echo "tidy: module in $module" >&2
    failed=1
  fi
done
exit "$failed"
