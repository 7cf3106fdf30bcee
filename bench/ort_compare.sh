#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# ort_compare.sh [-r ROUNDS] [-c CPU] [NET.onnx...] - the time of one run of a net, of this engine
# and of ONNX Runtime, one thread each, both bound to the same processor, taking turns. A round
# gives the median of 40 runs of each; the table has the median of the rounds. Without names: the
# nets of build/fetch/onnx and of ../shared/data. Run `./run test` first: it fetches ONNX Runtime.
# Nothing else should be running: look at the spread.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

rounds=5 cpu=$(($(nproc) - 1)) runs=40
while getopts r:c: option; do
    case $option in
    r) rounds=$OPTARG ;;
    c) cpu=$OPTARG ;;
    *) fail "usage: bench/ort_compare.sh [-r ROUNDS] [-c CPU] [NET.onnx...]" ;;
    esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || set -- build/fetch/onnx/*.onnx ../shared/data/models/*/*.onnx
export DOMOVOI_ORT=build/fetch/ort
[ -x build/domovoi ] || fail "build/domovoi is not there" "./run build"
ort=tests/ort/ort.cjs
node $ort check || fail "ONNX Runtime is not in build/fetch/ort" "./run test fetches it."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
field() { sed -n "s/.*\"$1\":\([0-9.]*\).*/\1/p"; }
# median, lowest, highest
sorted() {
    sort -g "$work/$1" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)], v[1], v[NR] }'
}

say "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), processor number $cpu," \
    "$rounds rounds of $runs runs"
printf '%-50s %-12s %8s %8s %6s  %s\n' net input ours ORT ratio "spread of the rounds, ms"
for net; do
    [ -f "$net" ] || continue
    try "$work/log" build/domovoi model import "$net" -o "$work/net.dmv" || continue
    dims=$(build/domovoi model info --json "$work/net.dmv" |
        sed -n 's/.*"inputs":\[{"name":"[^"]*","dims":\[\([-0-9,]*\)\].*/\1/p' | tr , x)
    size=
    case $dims in *x-1x-1) dims=1x3x480x640 size="--size 640x480" ;; esac
    rm -f "$work/ours" "$work/ort"
    for _ in $(seq "$rounds"); do
        # shellcheck disable=SC2086
        taskset -c "$cpu" build/domovoi bench --model "$work/net.dmv" --threads 1 --runs $runs \
            $size --json | field median_ms >>"$work/ours"
        taskset -c "$cpu" node $ort time "$net" "$dims" $runs | field median_ms >>"$work/ort"
    done
    read -r ours low high <<END
$(sorted ours)
END
    read -r theirs their_low their_high <<END
$(sorted ort)
END
    awk -v net="$(basename "$net")" -v dims="$dims" -v a="$ours" -v b="$theirs" \
        -v al="$low" -v ah="$high" -v bl="$their_low" -v bh="$their_high" \
        'BEGIN { printf "%-50s %-12s %8.3f %8.3f %6.2f  %.3f-%.3f, %.3f-%.3f\n",
            net, dims, a, b, b / a, al, ah, bl, bh }'
done
