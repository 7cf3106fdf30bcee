#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# qdq.sh QDQ PAIRS - nets exported by us, float and 8-bit, and small QDQ nets that we import (PAIRS
# writes them) in ONNX Runtime: with all of its rewriting and with none. Exit status 77 if ONNX Runtime or the nets are not here.
set -eu
qdq=$1
pairs=$2
ort_js=$DOMOVOI_SOURCE/tests/ort/ort.cjs
export DOMOVOI_ORT="$DOMOVOI_CACHE/ort"

skip() {
    echo "$1"
    exit 77
}

nets=$(find "$DOMOVOI_CACHE/onnx/" "$DOMOVOI_SHARED/models/" -name '*.onnx' 2>/dev/null | sort)
[ -n "$nets" ] || skip "no nets in $DOMOVOI_CACHE/onnx and $DOMOVOI_SHARED/models"
command -v node >/dev/null 2>&1 || skip "node is not installed"
[ -d "$DOMOVOI_ORT/node_modules/onnxruntime-node" ] || skip "ONNX Runtime is not in $DOMOVOI_ORT"
node "$ort_js" check || skip "ONNX Runtime cannot be loaded on this machine"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2086
"$qdq" make "$work" $nets
mkdir "$work/pairs"
"$pairs" "$work/pairs" >"$work/pairs/log" 2>&1 || {
    cat "$work/pairs/log"
    exit 1
}
for level in all disabled; do
    echo "ONNX Runtime, optimisation: $level"
    node "$ort_js" run "$work" $level
    "$qdq" check "$work"
    node "$ort_js" run "$work/pairs" $level
    "$qdq" check "$work/pairs"
done
