#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# test.sh - the whole suite. Builds with warnings as errors: gcc in build-test/, clang with
# address and undefined-behaviour sanitizers in build-asan/; scripts/cross.sh, if it is there,
# builds and tests for other processors in build-<cpu>/. A step that fails does not keep the
# next ones from running. The last line is the sum of all.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

results=
begin=$(date +%s)
stamp=$(mktemp)
trap 'rm -f "$stamp"' EXIT

# suite LABEL FOLDER "TEST OPTIONS" MESON OPTION...: builds and runs one.
suite() {
    label=$1 folder=$2 options=$3
    shift 3
    step "$label: compiling"
    if [ ! -f "$folder/build.ninja" ] && ! try "build/log/$label-setup.log" \
        meson setup "$folder" -Dwerror=true -Dtests=true "$@"; then
        results="$results
$label=!meson could not configure $folder/"
        return 0
    fi
    if ! try "build/log/$label-compile.log" ninja -C "$folder" -j "$(jobs)"; then
        results="$results
$label=!does not compile (build/log/$label-compile.log)"
        return 0
    fi
    rm -f "$folder/meson-logs/testlog.json"
    for shared in fetch models; do
        [ -e "$folder/$shared" ] || ln -s "../build/$shared" "$folder/$shared"
    done
    step "$label: testing"
    # shellcheck disable=SC2086
    meson test -C "$folder" --no-rebuild --quiet $options </dev/null || true
    results="$results
$label=$folder"
}

scripts/build.sh
need test
case $(uname -m) in
x86_64) ort="ort ort-x64" ;;
aarch64) ort="ort ort-arm64" ;;
*) ort= ;;
esac
# shellcheck disable=SC2086
[ -z "$ort" ] || scripts/fetch.sh $ort ||
    say "without ONNX Runtime the comparison with it is skipped"

suite gcc build-test "" --buildtype=release
export ASAN_OPTIONS=allocator_may_return_null=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
(CC=clang CXX=clang++ suite clang-asan build-asan "--timeout-multiplier 5 --no-suite ort" \
    -Doptimization=1 -Ddebug=true -Db_sanitize=address,undefined -Db_lundef=false
    printf '%s' "$results" >"$stamp.r")
results=$(cat "$stamp.r")
rm -f "$stamp.r"
unset ASAN_OPTIONS UBSAN_OPTIONS

if [ -f scripts/cross.sh ]; then
    need cross
    step "other processors"
    sh scripts/cross.sh </dev/null || results="$results
cross=!scripts/cross.sh failed"
    for log in build-*/meson-logs/testlog.json; do
        folder=${log%%/*}
        case $folder in build-test | build-asan) continue ;; esac
        [ "$log" -nt "$stamp" ] && results="$results
${folder#build-}=$folder"
    done
fi

step "result after $(($(date +%s) - begin)) seconds"
printf '%s\n' "$results" | {
    set --
    while read -r line; do
        [ -z "$line" ] || set -- "$@" "$line"
    done
    python3 scripts/summary.py "$@"
}
