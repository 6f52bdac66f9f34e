#!/usr/bin/env bash
# install, deploy and undeploy on the cluster that kubectl (or KUBECTL=oc) talks to.
#
#   hack/deploy.sh install           the CRD alone
#   hack/deploy.sh deploy [IMAGE]    everything, with that image
#   hack/deploy.sh undeploy          remove everything, unless a rollout still exists
set -euo pipefail
cd "$(dirname "$0")/.."
kubectl=${KUBECTL:-kubectl}
kustomize=bin/kustomize

# An overlay outside of config/, so that choosing an image does not change a file of the repository.
build_with_image() { # image
  local overlay=bin/deploy image=$1
  mkdir -p "$overlay"
  {
    printf 'resources: [../../config/default]\n'
    printf 'images:\n- name: safe-mirror-operator\n'
    if [[ $image == *@* ]]; then
      printf '  newName: %s\n  digest: %s\n' "${image%@*}" "${image##*@}"
    elif [[ ${image##*/} == *:* ]]; then
      printf '  newName: %s\n  newTag: "%s"\n' "${image%:*}" "${image##*:}"
    else
      printf '  newName: %s\n  newTag: latest\n' "$image"
    fi
  } >"$overlay/kustomization.yaml"
  "$kustomize" build "$overlay"
}

case ${1:-} in
install)
  "$kustomize" build config/crd | "$kubectl" apply -f -
  ;;
deploy)
  if [[ -z ${2:-} ]]; then
    echo "deploy: say which image, for example: make deploy IMG=registry.example.com/safe-mirror-operator:v0.1.0" >&2
    exit 2
  fi
  build_with_image "$2" | "$kubectl" apply -f -
  "$kubectl" -n safe-mirror-operator rollout status deployment/safe-mirror-operator --timeout=5m
  ;;
undeploy)
  # Without the operator a rollout would not finish, and pools could stay paused. So the list of rollouts must be known:
  # the only accepted absence is that of the CRD, which --ignore-not-found prints as nothing. Any other error ends here.
  crd=$("$kubectl" get customresourcedefinition safemirrorrollouts.safemirror.io --ignore-not-found -o name)
  if [[ -n $crd ]]; then
    remaining=$("$kubectl" get safemirrorrollouts.safemirror.io -o name)
    if [[ -n $remaining ]]; then
      echo "undeploy: these rollouts still exist; delete them first and wait until they are gone:" >&2
      echo "$remaining" >&2
      exit 1
    fi
  fi
  "$kustomize" build config/default | "$kubectl" delete --ignore-not-found -f -
  ;;
*)
  echo "usage: hack/deploy.sh install | deploy IMAGE | undeploy" >&2
  exit 2
  ;;
esac
