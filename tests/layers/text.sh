#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# text.sh - what every source file keeps to, whatever the version of clang-format at hand: a
# licence line at the top, no tabs, no blanks at the end of a line.
set -u
cd "$DOMOVOI_SOURCE" || exit 2
bad=0
files=$(find include src apps adapters tests fuzz bench bindings scripts run .ci/run -type f \
    \( -name '*.[ch]' -o -name '*.[ch]pp' -o -name '*.inc' -o -name '*.py' -o -name '*.sh' -o -name '*.cjs' \
    -o -name meson.build -o -path run -o -path .ci/run \))
check() { # TITLE, lines found
    [ -z "$2" ] && return 0
    printf '%s:\n%s\n' "$1" "$2"
    bad=1
}
count=0
for file in $files; do
    count=$((count + 1))
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' ||
        check "no licence line" "$file"
done
tab=$(printf '\t')
# shellcheck disable=SC2086
{
    check "tabs" "$(grep -n "$tab" $files)"
    check "blanks at the end" "$(grep -nE ' +$' $files)"
}
[ $count -gt 50 ] || check "too few files found" "$count"
echo "$count files"
exit $bad
