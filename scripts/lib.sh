# SPDX-License-Identifier: Apache-2.0
# lib.sh - what the scripts share: messages, packages, where downloads are kept. Sourced with
# the current folder at the root of the source tree.

export LC_ALL=C.UTF-8

say() { printf '%s\n' "$*"; }
step() { printf '== %s\n' "$*"; }

# fail MESSAGE [WHAT TO DO]
fail() {
    printf 'run: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '     %s\n' "$2" >&2
    exit 1
}

# try LOG COMMAND...: quiet unless it fails; then the end of its output is shown.
try() {
    try_log=$1
    shift
    mkdir -p "$(dirname "$try_log")"
    if "$@" >"$try_log" 2>&1 </dev/null; then
        return 0
    fi
    printf '%s\n' "---- the last lines of $try_log" >&2
    tail -n 40 "$try_log" >&2
    return 1
}

# ---- packages ----

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

# need PURPOSE...: installs what packages.txt lists for these and is not there yet. (A subshell,
# so that its variables stay its own.)
need() (
    missing= optional=
    while read -r purpose package command; do
        case " $* " in *" $purpose "*) ;; *) continue ;; esac
        name=${package%\?}
        if [ -n "$command" ] && command -v "$command" >/dev/null 2>&1; then
            continue
        fi
        if command -v dpkg-query >/dev/null 2>&1 && is_installed "$name"; then
            continue
        fi
        case $package in
        *\?) optional="$optional $name" ;;
        *) missing="$missing $name" ;;
        esac
    done <scripts/packages.txt
    [ -n "$missing$optional" ] || return 0

    if ! command -v apt-get >/dev/null 2>&1; then
        say "This is not Debian. If the next steps fail, install what these packages hold:"
        say " $missing$optional"
        return 0
    fi
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null 2>&1; then
        [ -n "$missing" ] || return 0
        fail "packages are missing, and neither root nor sudo is at hand" \
            "As root: apt-get install$missing"
    fi
    # What could not be had last time is not asked for again and again.
    stamp=build/log/packages-not-here
    if [ -z "$missing" ] && [ -f $stamp ] && [ "$(cat $stamp)" = "$optional" ]; then
        return 0
    fi
    step "installing packages:$missing$optional"
    try build/log/apt-update.log as_root apt-get -o DPkg::Lock::Timeout=300 update ||
        say "apt-get update failed; going on with the lists that are here"
    absent=
    for name in $optional; do
        if apt-cache show "$name" >/dev/null 2>&1; then
            missing="$missing $name"
        else
            absent="$absent $name"
        fi
    done
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086
        try build/log/apt-install.log as_root env DEBIAN_FRONTEND=noninteractive apt-get \
            -o DPkg::Lock::Timeout=300 install -y --no-install-recommends $missing ||
            fail "the packages could not be installed" \
                "Check the network and apt's sources, then try: apt-get install$missing"
    fi
    printf '%s' "$absent" >$stamp
)

# ---- folders ----

# A folder that stays after `clean`, for downloads; inside build/ if there is no home.
cache_dir() {
    for parent in "${XDG_CACHE_HOME:-}" "${HOME:+$HOME/.cache}"; do
        case $parent in /*) ;; *) continue ;; esac
        if mkdir -p "$parent/domovoi" 2>/dev/null &&
            (: >"$parent/domovoi/.try.$$") 2>/dev/null; then
            rm -f "$parent/domovoi/.try.$$"
            printf '%s\n' "$parent/domovoi"
            return
        fi
    done
    mkdir -p build/cache
    printf '%s\n' "$PWD/build/cache"
}

jobs() {
    if [ -n "${DOMOVOI_JOBS:-}" ]; then
        printf '%s\n' "$DOMOVOI_JOBS"
    else
        nproc 2>/dev/null || echo 1
    fi
}
