#!/usr/bin/env bash
# Prints the packages that have API tests: those with a test file behind the build tag `lab`. The e2e scenarios, the
# crash runs and the demo are left out; they have targets of their own. Prints nothing and fails when there are none.
set -euo pipefail
cd "$(dirname "$0")/.."
find . -name '*_test.go' -not -path './test/lab/parts/*' -not -path './test/e2e/*' -not -path './test/crash/*' -not -path './test/demo/*' \
  -exec grep -q '^//go:build .*\blab\b' {} \; -printf '%h\n' | sort -u | grep .
