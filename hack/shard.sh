#!/usr/bin/env bash
# Prints which shard of the e2e scenarios this commit runs: a number from 0 to N-1, the commit's hash modulo N. Every
# commit runs the same shard each time, and successive commits run them all. Without a commit it is 0.
#
#   E2E_SHARD=$(hack/shard.sh 8)/8
set -euo pipefail
shards=${1:?usage: hack/shard.sh NUMBER_OF_SHARDS}
commit=$(git -C "$(dirname "$0")" rev-parse --verify --quiet HEAD || echo 0)
echo $((16#${commit:0:12} % shards))
