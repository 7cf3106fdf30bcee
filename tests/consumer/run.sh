#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh MODE MESON PREFIX - installs the build into an empty folder and uses it from outside as
# another project would, with nothing but what pkg-config says.
#   header   domovoi.h alone is clean C11 and C++11
#   shared   main.c against libdomovoi.so, run with a net
#   static   main.c against libdomovoi.a, run with a net
# Skipped (77) where pkg-config, or the net to run, is missing.
set -eu
mode=$1 meson=$2 prefix=$3
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
cc=${CC:-cc}

DESTDIR=$tmp/root "$meson" install --no-rebuild -C "$DOMOVOI_BUILD" >"$tmp/install.log" 2>&1 || {
    cat "$tmp/install.log"
    exit 1
}
pc=$(find "$tmp/root" -name domovoi.pc)
[ -f "$pc" ] || {
    echo "domovoi.pc is not installed"
    exit 1
}

if [ "$mode" = header ]; then
    header=$tmp/root$prefix/include
    printf '#include <domovoi.h>\nint main(void) { return DMV_OK; }\n' >"$tmp/use.c"
    cp "$tmp/use.c" "$tmp/use.cpp"
    "$cc" -std=c11 -pedantic -Wall -Wextra -Werror -I"$header" -c "$tmp/use.c" -o "$tmp/use.o"
    echo "C11: clean"
    cxx=${CXX:-c++}
    if command -v "$cxx" >/dev/null; then
        "$cxx" -std=c++11 -pedantic -Wall -Wextra -Werror -I"$header" -c "$tmp/use.cpp" \
            -o "$tmp/use.o"
        echo "C++11: clean"
    else
        echo "C++11: not checked, there is no C++ compiler"
    fi
    exit 0
fi

command -v pkg-config >/dev/null || {
    echo "skipped: there is no pkg-config"
    exit 77
}
PKG_CONFIG_PATH=$(dirname "$pc")
PKG_CONFIG_SYSROOT_DIR=$tmp/root
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
library=$(pkg-config --variable=libdir domovoi)
case $library in "$tmp"/*) ;; *) library=$tmp/root$library ;; esac

cp "$DOMOVOI_SOURCE/tests/consumer/main.c" "$tmp/main.c"
cd "$tmp"
if [ "$mode" = static ]; then
    # With the shared library gone -ldomovoi can only mean the archive.
    rm -f "$library"/libdomovoi.so*
    flags=$(pkg-config --static --cflags --libs domovoi)
else
    rm -f "$library/libdomovoi.a"
    flags=$(pkg-config --cflags --libs domovoi)
fi
echo "$cc main.c $flags"
# shellcheck disable=SC2086
"$cc" -std=c11 -Wall -Wextra -Werror -o main main.c $flags
if [ "$mode" = static ]; then
    want=0
else
    want=1
fi
found=$(LD_LIBRARY_PATH=$library ldd ./main | grep -c 'libdomovoi\.so\.0' || true)
[ "$found" = $want ] || {
    echo "main needs libdomovoi.so.0 $found times, not $want"
    exit 1
}
LD_LIBRARY_PATH=$library ./main
net=$DOMOVOI_BUILD/models/embed.dmv
[ -f "$net" ] || {
    echo "skipped: $net is not there"
    exit 77
}
LD_LIBRARY_PATH=$library ./main "$net"
