#!/usr/bin/env bash
# Says whether anything that a command keeps in order is out of order, and which command fixes it. Changes nothing:
# files are generated in a copy of the tree. Every check runs, so that one look shows all there is to do.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=()

check() { # title, command that fixes it, command...
  local title=$1 fix=$2 began=$SECONDS
  shift 2
  if "$@" >"$work/log" 2>&1; then
    printf 'verify: ok    %-34s %4d s\n' "$title" $((SECONDS - began))
  else
    printf 'verify: WRONG %-34s %4d s   fix it with: %s\n' "$title" $((SECONDS - began)) "$fix"
    sed 's/^/    /' "$work/log"
    failed+=("$title")
  fi
}

ours() { # the files of this tree, ignored ones left out, as -z list; patterns as arguments
  git ls-files -z --cached --others --exclude-standard -- "$@" |
    while IFS= read -r -d '' file; do
      if [[ -f $file ]]; then printf '%s\0' "$file"; fi
    done
}

formatted() {
  local wrong
  wrong=$(ours '*.go' | xargs -0 -r gofmt -s -l)
  [[ -z $wrong ]] || { echo "$wrong" && return 1; }
}

# generated compares a copy of the tree with a second copy in which everything was generated anew.
generated() {
  mkdir -p "$work/before"
  ours . | tar --null -cf - -T - | tar -xf - -C "$work/before" || return 1
  cp -a "$work/before" "$work/after"
  BIN=$PWD/bin "$work/after/hack/generate.sh" || return 1
  (cd "$work" && diff -ruN before after)
}

scripts() {
  local list
  mapfile -d '' list < <(ours '*.sh' .ci/run)
  for file in "${list[@]}"; do bash -n "$file" || return 1; done
  if command -v shellcheck >/dev/null; then
    shellcheck "${list[@]}"
  fi
}

manifests() {
  for folder in config/default config/samples; do
    bin/kustomize build "$folder" >/dev/null || return 1
  done
}

# schema puts every status and record that the decision can make through the CRD's schema and CEL.
schema() {
  "${GO:-go}" test -count=1 -run 'Schema' ./internal/rollout ./internal/status ./internal/mirror/report
}

check "format" "make fmt" formatted
check "tidy modules" "make tidy" hack/tidy.sh -diff
check "generated files" "make generate" generated
check "manifests" "your editor: kustomize cannot build them" manifests
check "scripts" "your editor: see shellcheck's advice" scripts
check "lint" "make lint-fix, and your editor" hack/lint.sh
cp "$work/log" "$work/lint"
check "statuses and the CRD's schema" "internal/rollout: what is recorded is bounded there" schema
cp "$work/log" "$work/schema"

# The first two hold a change up, through the checks above; the last two are for people to look at.
words=$("${GO:-go}" run ./hack/prose)
printf 'RESULT purity_breaks=%d schema_breaks=%d %s\n' \
  "$(grep -cE '\((depguard|forbidigo)\)$' "$work/lint" || true)" \
  "$(grep -cE '^ *--- FAIL' "$work/schema" || true)" "${words#RESULT }"

if ((${#failed[@]} > 0)); then
  printf 'verify: %d of 7 checks failed:%s\n' "${#failed[@]}" "$(printf ' %s,' "${failed[@]}" | sed 's/,$//')" >&2
  exit 1
fi
