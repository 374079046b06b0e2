#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# gstreamer_root.sh DIR: a Debian sid root with GStreamer 1.28 or newer, for onnxinference.py. As root; about 1 GB.
set -eu
dir=${1:?a folder that does not exist yet}
[ "$(id -u)" = 0 ] || { echo "debootstrap needs root" >&2; exit 1; }
command -v debootstrap > /dev/null || apt-get install --yes --no-install-recommends debootstrap
debootstrap --variant=minbase sid "$dir"
chroot "$dir" apt-get install --yes --no-install-recommends gstreamer1.0-tools gstreamer1.0-plugins-base \
    gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav
chroot "$dir" gst-inspect-1.0 onnxinference > /dev/null || { echo "this GStreamer has no onnxinference" >&2; exit 1; }
