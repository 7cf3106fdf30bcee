#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# cross.sh - builds base, kernels, nn, face and image for 64-bit and 32-bit ARM and runs their
# tests under qemu's user-mode emulation, so that the NEON kernels are checked on any machine.
# Folders: build-aarch64/, build-armhf/. A processor whose compiler or emulator is missing is
# left out and named. The emulator says nothing about speed. Exit status: 1 if a test failed.
# With arguments: only these processors.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

failed=

# cross CPU COMPILER EMULATOR
cross() {
    cpu=$1 folder=build-$1
    for tool in "$2" "$3"; do
        if ! command -v "$tool" >/dev/null 2>&1; then
            say "$cpu: left out, $tool is not installed"
            return 0
        fi
    done
    step "$cpu: compiling"
    if [ ! -f "$folder/build.ninja" ] &&
        ! try "build/log/$cpu-setup.log" meson setup "$folder" --cross-file "cross/$cpu.ini" \
            --buildtype=release -Dwerror=true -Dtests=true -Dcli=disabled -Dimage=disabled \
            -Ddraw=disabled -Dimport=disabled -Dgallery=disabled -Dvideo=disabled; then
        failed="$failed $cpu"
        return 0
    fi
    if ! try "build/log/$cpu-compile.log" ninja -C "$folder" -j "$(jobs)" src/libdomovoi.a; then
        failed="$failed $cpu"
        return 0
    fi
    rm -f "$folder/meson-logs/testlog.json"
    step "$cpu: testing" # builds just what these suites need
    meson test -C "$folder" --quiet --timeout-multiplier 5 \
        --suite base --suite kernels --suite image --suite nn --suite face </dev/null ||
        failed="$failed $cpu"
}

[ $# -gt 0 ] || set -- aarch64 armhf
for name in "$@"; do
    case $name in
    aarch64) cross aarch64 aarch64-linux-gnu-gcc qemu-aarch64 ;;
    armhf) cross armhf arm-linux-gnueabihf-gcc qemu-arm ;;
    *) fail "there is no cross build for $name" "Known: aarch64, armhf" ;;
    esac
done
[ -z "$failed" ] || fail "failed for:$failed" "See build/log/ and build-*/meson-logs/"
