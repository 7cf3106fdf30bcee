#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fetch.sh SET... - puts the files of these sets (see files.sha256) into build/fetch. They come
# from the cache or, once, from npm packages of fixed versions. No script of a package is run,
# and a file with another SHA-256 than the listed one is not used.
set -eu
cd "$(dirname "$0")/.."
. scripts/lib.sh

cache=$(cache_dir)
dest=build/fetch
list=scripts/files.sha256

sum_of() { sha256sum "$1" 2>/dev/null | cut -c1-64; }

# rows SET...: their lines of the list
rows() {
    while read -r set rest; do
        case " $* " in *" $set "*) printf '%s %s\n' "$set" "$rest" ;; esac
    done <$list
}

# download PACKAGE: the wanted files of a package into the cache
download() {
    work=$(mktemp -d "$cache/.fetch.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' INT TERM
    mkdir "$work/unpacked"
    step "downloading $1"
    (
        cd "$work"
        npm_config_cache=$work/npm npm_config_update_notifier=false \
            npm pack --ignore-scripts --loglevel=error "$1" >npm.log 2>&1 </dev/null
    ) || {
        tail -n 15 "$work/npm.log" >&2
        fail "$1 could not be downloaded" "Check the network and npm's settings, then try again."
    }
    tar -xzf "$work"/*.tgz -C "$work/unpacked" --strip-components=1 --no-same-owner ||
        fail "the archive of $1 is damaged" "Try again."
    rows $sets | while read -r _ package sum file source; do
        [ "$package" = "$1" ] || continue
        [ "$(sum_of "$work/unpacked/$source")" = "$sum" ] ||
            fail "$source of $1 is not the file it should be (SHA-256)" \
                "It is not used. Look at the npm settings of this machine (registry, proxy)."
        mkdir -p "$(dirname "$cache/$file")"
        mv -f "$work/unpacked/$source" "$cache/$file"
    done
    rm -rf "$work"
    trap - EXIT INT TERM
}

sets="$*"
[ -n "$sets" ] || fail "fetch.sh: name the sets to fetch"
mkdir -p $dest
for package in $(rows $sets | cut -d' ' -f2 | uniq | awk '!seen[$0]++'); do
    asked=false
    rows $sets >$dest/.rows
    while read -r _ from sum file _; do
        [ "$from" = "$package" ] || continue
        [ "$(sum_of "$dest/$file")" != "$sum" ] || continue
        if [ "$(sum_of "$cache/$file")" != "$sum" ] && ! $asked; then
            need fetch
            download "$package"
            asked=true
        fi
        mkdir -p "$(dirname "$dest/$file")"
        cp -f "$cache/$file" "$dest/$file.part"
        chmod 644 "$dest/$file.part"
        [ "$(sum_of "$dest/$file.part")" = "$sum" ] ||
            fail "$file was damaged on the way from $cache" \
                "Is the disk full? Delete $cache and try again."
        mv -f "$dest/$file.part" "$dest/$file"
    done <$dest/.rows
    rm -f $dest/.rows
done
