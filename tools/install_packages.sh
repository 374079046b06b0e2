#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Installs the Debian packages that Orion needs to build, run and test; does nothing where they are there.
#   sh install_packages.sh [PACKAGE...]    also these
set -eu

build="gcc libc6-dev pkg-config libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev libgstrtspserver-1.0-dev"
run="gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad
gstreamer1.0-plugins-ugly gstreamer1.0-libav mosquitto python3 python3-venv ca-certificates curl"
test="mosquitto-clients openssl procps tmux libfaketime $*"

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "this is no Debian; install the equivalents of: $build $run $test" >&2
    exit 1
fi
missing=
for package in $build $run $test; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

root=
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "these packages are missing, and there is no sudo to install them; as root: apt-get install$missing" >&2
        exit 1
    fi
    root="sudo"
fi
echo "installing$missing"
# An old package list is the usual reason of a failure, so it is renewed first.
# shellcheck disable=SC2086 # both are lists of words
$root env DEBIAN_FRONTEND=noninteractive sh -c '
    apt-get -qq update && apt-get -qq install -y --no-install-recommends "$@" >/dev/null
' sh $missing || {
    echo "apt-get could not install:$missing (see above); is the network there, and is no other apt-get running?" >&2
    exit 1
}
