#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# install.sh install|uninstall: what `make install` and `make uninstall` do. Nothing is built or downloaded here.
# Environment: PREFIX (default /usr/local); PLUGIN_DIR, where the plugin goes (default: PREFIX/lib/ARCHITECTURE/gstreamer-1.0);
# DESTDIR, put before all of it; BUILT, where the release build is (default: target/release).
set -eu
export LC_ALL=C

cd "$(dirname "$0")/.."
prefix=${PREFIX:-/usr/local} dest=${DESTDIR:-} built=${BUILT:-target/release}
plugins=${PLUGIN_DIR:-$prefix/lib/$(gcc -print-multiarch 2>/dev/null)/gstreamer-1.0}
share=$prefix/share
# What was installed, one path a line, so that the same can be taken away again.
list=$share/orion/installed-files

fail() {
    echo "$*" >&2
    exit 1
}

for place in "$prefix" "$plugins"; do
    case $place in
        /*) ;;
        *) fail "PREFIX and PLUGIN_DIR must begin with /, got $place" ;;
    esac
done

note() { # PATH: it is there now; a folder ends with /
    printf '%s\n' "$1" >>"$scratch/list"
}

folder() { # PATH: makes it and what is above it
    if [ ! -d "$dest$1" ]; then
        folder "$(dirname "$1")"
        install -d -m 755 "$dest$1"
        note "$1/"
    fi
}

put() { # MODE FOLDER FILE...
    mode=$1 into=$2
    shift 2
    folder "$into"
    for file in "$@"; do
        [ -e "$file" ] || fail "$file is missing; run \`make build\` first"
        install -m "$mode" "$file" "$dest$into/"
        note "$into/$(basename "$file")"
    done
}

install_all() {
    install -d "$dest/"
    for program in orion-launch orion-config orion-camera libgstorion.so; do
        [ -f "$built/$program" ] || fail "$built/$program is missing; run \`make build\` first"
    done
    put 644 "$plugins" "$built/libgstorion.so"
    put 755 "$prefix/bin" "$built/orion-launch" "$built/orion-config" "$built/orion-camera"

    for program in orion-launch orion-config orion-camera; do
        sh tools/install_papers.sh "$built/$program" "$scratch/share"
    done
    put 644 "$share/man/man1" "$scratch"/share/man/man1/*.1
    put 644 "$share/bash-completion/completions" "$scratch"/share/bash-completion/completions/*
    put 644 "$share/zsh/site-functions" "$scratch"/share/zsh/site-functions/*
    put 644 "$share/fish/vendor_completions.d" "$scratch"/share/fish/vendor_completions.d/*

    models=$share/orion/models
    put 755 "$models" models/*.sh
    put 644 "$models" models/*.py models/*.lock models/pyproject.toml models/orion_person_*.onnx models/MODEL_CARD.md
    chmod 755 "$dest$models/person_detector.py"
    find models/orion_worker -name '*.py' | sort >"$scratch/python"
    while read -r file; do
        put 644 "$share/orion/$(dirname "$file")" "$file"
    done <"$scratch/python"
    put 644 "$models/examples" models/examples/*.py
    # The same program under a name that can be typed.
    folder "$prefix/sbin"
    ln -sfn ../share/orion/models/setup_env.sh "$dest$prefix/sbin/orion-worker-setup"
    note "$prefix/sbin/orion-worker-setup"
    put 644 "$share/man/man8" ops/orion-worker-setup.8

    put 644 "$share/orion/schema" gst-orion/core/schema/*.json
    put 644 "$share/orion/pipelines" pipelines/*
    put 644 "$share/orion/ops" ops/*.yaml ops/*.json ops/*.acl
    put 644 "$share/doc/orion" docs/*.md docs/*.png
    put 644 "$share/doc/orion/reference" docs/reference/*.md

    for unit in ops/*.service; do
        sed "s|/usr/local|$prefix|g" "$unit" >"$scratch/$(basename "$unit")"
        put 644 "$prefix/lib/systemd/system" "$scratch/$(basename "$unit")"
    done
    put 644 "$prefix/lib/sysusers.d" ops/sysusers.d/orion.conf

    note "$list"
    if [ -f "$dest$list" ]; then
        # What an earlier version brought and this one does not; folders stay in the list.
        sort "$scratch/list" | comm -13 - "$dest$list" >"$scratch/before"
        grep -v '/$' "$scratch/before" | remove
        grep '/$' "$scratch/before" >>"$scratch/list" || true
    fi
    sort -u "$scratch/list" >"$dest$list"
    chmod 644 "$dest$list"
}

remove() { # reads paths
    while read -r path; do
        rm -f "$dest$path"
    done
}

uninstall_all() {
    install -d "$dest/"
    [ -f "$dest$list" ] || fail "$dest$list is missing: nothing is installed under $dest$prefix"
    cp "$dest$list" "$scratch/list"
    grep -v '/$' "$scratch/list" | remove
    # A folder of our own, with what was made in it: the worker's Python environment, downloaded models, bytecode.
    rm -rf "$dest$share/orion"
    # Of the others those that were made for this and have nothing else in them.
    grep '/$' "$scratch/list" | sort -r | while read -r path; do
        rmdir "$dest$path" 2>/dev/null || true
    done
}

advise() {
    [ -z "$dest" ] || return 0
    echo "for the worker's Python environment (it downloads): sudo $prefix/sbin/orion-worker-setup"
    searched=$(pkg-config --variable=pluginsdir gstreamer-1.0 2>/dev/null || true)
    [ "$plugins" = "$searched" ] ||
        echo "for gst-launch-1.0, which looks in ${searched:-its own folder}: export GST_PLUGIN_PATH=$plugins"
    echo "for systemd: sudo systemd-sysusers $prefix/lib/sysusers.d/orion.conf, see $share/doc/orion/install.md"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
case ${1:-} in
    install) install_all && advise ;;
    uninstall) uninstall_all ;;
    *) fail "usage: install.sh install|uninstall" ;;
esac
