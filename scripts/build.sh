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
        -Dimage=enabled -Ddraw=enabled -Dimport=enabled -Dgallery=enabled ||
        fail "meson could not configure the build" "./run clean, then try again."
fi
step "compiling"
try build/log/compile.log ninja -C build -j "$(jobs)" ||
    fail "the program does not compile" "The whole output is in build/log/compile.log."
[ -x build/domovoi ] || fail "build/domovoi was not made" "./run clean, then try again."

step "nets and photos"
scripts/fetch.sh photos nets
mkdir -p build/models
while read -r name onnx; do
    net=build/models/$name.dmv
    [ "$net" -nt build/domovoi ] && [ "$net" -nt "build/fetch/onnx/$onnx" ] && continue
    try "build/log/import-$name.log" build/domovoi model import "build/fetch/onnx/$onnx" -o "$net" ||
        fail "$onnx could not be turned into $net"
done <<NETS
detect fr_detect.onnx
landmarks fr_landmark.onnx
embed fr_feature.onnx
NETS
