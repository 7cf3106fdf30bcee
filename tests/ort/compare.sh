#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# compare.sh COMPARE fetched|shared - the nets of build/fetch/onnx or of DOMOVOI_SHARED through
# our engine and through ONNX Runtime. Exit status 77 if ONNX Runtime or the nets are not here.
set -eu
compare=$1
ort_js=$DOMOVOI_SOURCE/tests/ort/ort.cjs
export DOMOVOI_ORT="$DOMOVOI_CACHE/ort"

skip() {
    echo "$1"
    exit 77
}

case $2 in
fetched) folder=$DOMOVOI_CACHE/onnx ;;
shared) folder=$DOMOVOI_SHARED/models ;;
esac
nets=$(find "$folder" -name '*.onnx' 2>/dev/null | sort)
[ -n "$nets" ] || skip "no nets in $folder"
photos=$DOMOVOI_CACHE/photos
[ -f "$photos/sample1.jpg" ] || skip "no photos in $photos"
command -v node >/dev/null 2>&1 || skip "node is not installed"
[ -d "$DOMOVOI_ORT/node_modules/onnxruntime-node" ] || skip "ONNX Runtime is not in $DOMOVOI_ORT"
node "$ort_js" check || skip "ONNX Runtime cannot be loaded on this machine"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2086
"$compare" inputs "$work" "$photos/sample1.jpg" "$photos/sample4.jpg" $nets
node "$ort_js" run "$work"
"$compare" check "$work"
