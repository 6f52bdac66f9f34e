#!/usr/bin/env bash
# Crashes the operator at each of its writes, on the lab.
#
#   hack/crash.sh               a sample of the runs, chosen by the commit: about a minute
#   hack/crash.sh --all         every run that has no outcome in .lab/crash.jsonl yet (remove the file to begin anew; two hours on two
#                               cores), then the table of docs/crashes.md; ends with the RESULT line
#   hack/crash.sh --record      the run without a fault, whose writes and rights are then what is on record
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
kept=.lab/crash.jsonl
mkdir -p .lab bin
"$go" test -c -tags lab -o bin/crash.test ./test/crash
run() { (cd test/crash && ../../bin/crash.test -test.timeout 6h "$@"); }
case ${1:-} in
  --all)
    status=0
    run -test.run '^TestCrash$' -crash.all -crash.keep "$PWD/$kept" || status=$?
    "$go" run ./test/crash/table -kept "$kept" -doc docs/crashes.md
    exit $status
    ;;
  --record) run -test.run '^TestRecording$' -update ;;
  '') run -crash.shard "$(hack/shard.sh 97)/97" ;;
  *) echo "usage: hack/crash.sh [--all|--record]" >&2; exit 2 ;;
esac
