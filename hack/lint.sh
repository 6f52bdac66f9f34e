#!/usr/bin/env bash
# Checks the linters' configuration, then lints the two modules that have code. Arguments go to the linter.
set -euo pipefail
cd "$(dirname "$0")/.."
linter=$PWD/bin/golangci-lint
config=$PWD/.golangci.yml
tags=${LAB_TAGS:-containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper}

"$linter" config verify --config "$config"

failed=0
"$linter" run --config "$config" --allow-parallel-runners "$@" ./... || failed=1
cd test/lab/parts
"$linter" run --config "$config" --allow-parallel-runners --build-tags "$tags" "$@" ./... || failed=1
exit "$failed"
