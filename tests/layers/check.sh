#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check.sh LIBRARY library|sources - the rules of docs/architecture.md that a compiler does not
# check: a folder of src/ includes only headers of the layers it may use, intrinsics stay in
# src/kernels, and the device library needs libc alone, exports dmv_ names alone and stays small.
set -u
cd "$DOMOVOI_SOURCE" || exit 2
bad=0
complain() {
    printf '%s\n' "$*"
    bad=1
}

# may LAYER ALLOWED...: headers of other folders in the files of src/LAYER
may() {
    layer=$1
    shift
    used=$(grep -rhoE '^#include "(base|kernels|nn|face|motion|image|video|import|quant|export|gallery|plot|eval|train)/' "src/$layer" |
        sed 's/.*"//; s/\/$//' | sort -u)
    for other in $used; do
        case " $layer $* " in
        *" $other "*) ;;
        *) complain "src/$layer includes a header of $other:" \
            "$(grep -rlE "^#include \"$other/" "src/$layer" | head -n 3)" ;;
        esac
    done
    [ -n "$(ls src/"$layer"/*.c 2>/dev/null)" ] || complain "src/$layer has no source files"
}
may base
may kernels base
may nn base kernels
may face base kernels nn
may motion base kernels nn face
may image base
may video base image
may plot base
may import base kernels nn
may quant base kernels nn import
may export base kernels nn
may gallery base
may eval base kernels nn face image
may train base kernels nn image import

# An adapter is a user of the library: of this tree it sees its own files and domovoi.h.
for file in $(find adapters -name '*.[ch]' -o -name '*.[ch]pp'); do
    for used in $(sed -n 's/^ *# *include "\(.*\)".*/\1/p' "$file"); do
        [ "$used" = domovoi.h ] || [ -f "$(dirname "$file")/$used" ] ||
            complain "$file includes $used; adapters use include/domovoi.h only"
    done
done
[ -n "$(find adapters -name '*.cpp')" ] || complain "adapters has no source files"

outside=$(grep -rlE '#include <(immintrin|x86intrin|arm_neon|arm_acle)\.h>' src apps adapters | grep -v '^src/kernels/')
[ -z "$outside" ] || complain "intrinsics outside src/kernels: $outside"
foreign=$(grep -rlE '#include <(jpeglib|spng|webp|cairo|sqlite3|jansson|protobuf-c|sodium|libav|libsw)' \
    src/base src/kernels src/nn src/face src/motion include)
[ -z "$foreign" ] || complain "the device library or motion includes other libraries: $foreign"

ffmpeg=$(grep -rlE '#include <lib(av|sw)' src apps | grep -v '^src/video/libav\.h$')
[ -z "$ffmpeg" ] || complain "FFmpeg's headers outside src/video/libav.h: $ffmpeg"

if [ "$2" = library ]; then
    needed=$(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
        grep -vE '^(libc|libm|libpthread|libgcc_s|ld-linux.*)\.so')
    [ -z "$needed" ] || complain "libdomovoi needs more than libc: $needed"
    exported=$(nm -D --defined-only "$1" | awk '$2 != "A" { print $3 }' | grep -v '^dmv_')
    [ -z "$exported" ] || complain "libdomovoi exports more than dmv_ names: $exported"
    [ "$(nm -D --defined-only "$1" | grep -c ' dmv_')" -ge 30 ] ||
        complain "libdomovoi exports too little: is DMV_API missing?"
    stripped=$(mktemp)
    strip -o "$stripped" "$1" && size=$(wc -c <"$stripped")
    rm -f "$stripped"
    printf 'libdomovoi, stripped: %s bytes\n' "${size:-?}"
    [ "${size:-999999999}" -lt 400000 ] || complain "libdomovoi is over 400,000 bytes"
fi
exit $bad
