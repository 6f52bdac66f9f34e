#!/usr/bin/env bash
# Builds the parts of the lab into bin/lab: etcd, registry, kube (as kube-apiserver, kube-controller-manager and
# kube-scheduler), mcc, node and the lab command; with --stock only mcc-stock, the Machine Config Controller as it ships.
#
# A part is built when its inputs differ from those of the last time: the nested module's go.mod and go.sum, the Go
# release, the build flags and, for mains of our own, the sources. The hash of them is in bin/lab/.PART.key.
set -euo pipefail
cd "$(dirname "$0")/.."

parts_dir=test/lab/parts
out=$PWD/bin/lab
go=${GO:-go}
tags=${LAB_TAGS:-containers_image_openpgp,exclude_graphdriver_btrfs,exclude_graphdriver_devicemapper}
mco=github.com/openshift/machine-config-operator

# name, package, and the folders of the nested module that it is built from, if any
all_parts=(
  "etcd go.etcd.io/etcd/server/v3"
  "registry ./registry registry"
  "kube ./kube kube"
  "mcc ./mcc mcc internal"
  "node ./node node internal"
)
if [[ ${1:-} == --stock ]]; then
  all_parts=("mcc-stock $mco/cmd/machine-config-controller")
fi

mkdir -p "$out"
exec 9>"$out/.lock"
flock 9 # with two makes at once, the second waits and finds everything built
log=$(mktemp)
ticker=
trap '[[ -z $ticker ]] || kill "$ticker" 2>/dev/null; rm -f "$log"' EXIT

module_hash=$({
  "$go" env GOVERSION GOOS GOARCH CGO_ENABLED GOFLAGS
  echo "$tags"
  cat "$parts_dir/go.mod" "$parts_dir/go.sum"
} | sha256sum)

hash_of() { # folders of the nested module
  {
    echo "$module_hash"
    if (($# > 0)); then
      (cd "$parts_dir" && find "$@" -type f ! -name '*_test.go' ! -path '*/testdata/*' -print0 | sort -z | xargs -0 -r sha256sum)
    fi
  } | sha256sum
}

up_to_date() { # name, folders
  local name=$1
  shift
  [[ -x $out/$name && -f $out/.$name.key && $(<"$out/.$name.key") == "$(hash_of "$@")" ]]
}

# run prints one line, "  name  12 s", with a dot for every ten seconds in between; on failure the whole output.
run() { # name command...
  local name=$1 started=$SECONDS
  shift
  printf '  %-24s' "$name"
  # The ticker's sleep outlives it by a few seconds; it must hold neither our output nor the lock.
  while sleep 10 >/dev/null 2>&1 9>&-; do printf '.'; done &
  ticker=$!
  local ok=0
  "$@" >"$log" 2>&1 || ok=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  ticker=
  printf ' %d s\n' $((SECONDS - started))
  if ((ok != 0)); then
    cat "$log" >&2
    echo "lab: building $name failed" >&2
    return "$ok"
  fi
}

# The lab reads CRDs and machine config templates from two modules at run time; with this file it
# does not run the go command for them each time.
write_module_dirs() {
  "$go" -C "$parts_dir" mod download github.com/openshift/api "$mco"
  "$go" -C "$parts_dir" list -m -f '{{.Path}} {{.Dir}}' github.com/openshift/api "$mco" |
    awk 'BEGIN { printf "{" } { printf "%s\n  \"%s\": \"%s\"", (NR > 1 ? "," : ""), $1, $2 } END { print "\n}" }' >"$out/moddirs.json"
}

module_dirs_exist() {
  [[ -f $out/moddirs.json ]] || return 1
  local dir
  while read -r dir; do
    [[ -d $dir ]] || return 1
  done < <(sed -n 's/.*: "\(.*\)".*/\1/p' "$out/moddirs.json")
}

started=$SECONDS
targets=()
from_scratch=1
for part in "${all_parts[@]}"; do
  read -ra fields <<<"$part"
  up_to_date "${fields[0]}" "${fields[@]:2}" || targets+=("$part")
  [[ ! -e $out/.${fields[0]}.key ]] || from_scratch=0
done

if ((${#targets[@]} > 0)); then
  echo "lab: ${#targets[@]} of ${#all_parts[@]} parts to build$( ((from_scratch)) && echo '; some 20 minutes from cold on two quiet cores, seconds afterwards')"
fi
for part in "${targets[@]}"; do
  read -ra fields <<<"$part"
  name=${fields[0]}
  key=$(hash_of "${fields[@]:2}") # before the build: an edit during the build must lead to another build
  run "$name" "$go" -C "$parts_dir" build -tags "$tags" -ldflags '-s -w' -o "$out/$name" "${fields[1]}"
  echo "$key" >"$out/.$name.key"
done

if [[ ${1:-} != --stock ]]; then
  for name in kube-apiserver kube-controller-manager kube-scheduler; do
    ln -sfn kube "$out/$name"
  done
  if ((${#targets[@]} > 0)) || ! module_dirs_exist; then
    write_module_dirs
  fi
  # The command is part of the main module and changes with it; the go command knows best whether to build.
  if ((${#targets[@]} > 0)); then
    run "lab (command)" "$go" build -o "$out/lab" ./test/lab/cmd/lab
  else
    "$go" build -o "$out/lab" ./test/lab/cmd/lab
  fi
fi
if ((${#targets[@]} > 0)); then
  echo "lab: ready in bin/lab after $((SECONDS - started)) s"
fi
