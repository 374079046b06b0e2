#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Build the Debian packages into target/deb and have them checked. Nothing is written beside the tree.
set -eu
cd "$(dirname "$0")/.."
out=$PWD/target/deb
mkdir -p "$out"
rm -f "$out"/*.deb "$out"/*.ddeb
export DEB_RULES_REQUIRES_ROOT=no DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS:-noautodbgsym}"
dh clean >/dev/null
DEB_OUT=$out debian/rules binary >"$out/build.log" 2>&1 || {
    tail -n 30 "$out/build.log" >&2
    echo "the packages could not be built; all of it is in $out/build.log" >&2
    exit 1
}
dh clean >/dev/null
lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$out"/*.deb
ls -l "$out"/*.deb
