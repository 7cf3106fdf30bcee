#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh - packages, program, nets and sample photos: all that `./run build` promises.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

need build
if [ ! -f build/build.ninja ]; then
    step "configuring build/"
    try build/log/setup.log meson setup build --buildtype=release -Dtests=false \
        -Dimage=enabled -Ddraw=enabled -Dimport=enabled -Dgallery=enabled -Dvideo=enabled ||
        fail "meson could not configure the build" "./run clean, then try again."
fi
step "compiling"
try build/log/compile.log ninja -C build -j "$(jobs)" ||
    fail "the program does not compile" "The whole output is in build/log/compile.log."
[ -x build/domovoi ] || fail "build/domovoi was not made" "./run clean, then try again."

step "nets and photos"
scripts/fetch.sh photos nets
mkdir -p build/models
# net NAME ONNX: build/models/NAME.dmv, made anew when the program is newer.
net() {
    dmv=build/models/$1.dmv onnx=build/fetch/onnx/$2
    [ "$dmv" -nt build/domovoi ] && [ "$dmv" -nt "$onnx" ] && return 0
    try "build/log/import-$1.log" build/domovoi model import "$onnx" -o "$dmv" ||
        fail "$onnx could not be turned into $dmv"
}
net detect fr_detect.onnx
net landmarks fr_landmark.onnx
net embed fr_feature.onnx
