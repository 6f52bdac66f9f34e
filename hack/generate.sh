#!/usr/bin/env bash
# Writes every generated file: deep copies, the CRD, the operator's ClusterRole, the API reference and the phases diagram.
# BIN says where the tools are; verify.sh runs this in a copy of the tree with the tools of the original.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${BIN:-bin}

"$bin/controller-gen" object paths=./api/...
"$bin/controller-gen" crd paths=./api/... output:crd:artifacts:config=config/crd/bases
"$bin/controller-gen" rbac:roleName=safe-mirror-manager \
  paths=./controllers/... paths=./internal/... output:rbac:artifacts:config=config/rbac
mkdir -p docs/reference
"$bin/crd-ref-docs" --source-path=api --config=hack/crd-ref-docs/config.yaml --templates-dir=hack/crd-ref-docs/templates --renderer=markdown \
  --output-path=docs/reference/api.md --log-level=ERROR
"${GO:-go}" generate ./internal/rollout
