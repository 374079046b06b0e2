#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Write what is in the box as CycloneDX: crates of each program, and the worker's Python packages.
# The two programs that do it are installed into target/tools, once.
set -eu
cd "$(dirname "$0")/.."
tools=$PWD/target/tools out=$PWD/target/sbom
PATH=$tools/bin:$PATH
mkdir -p "$out"
command -v cargo-cyclonedx >/dev/null || cargo install --quiet --locked --root "$tools" cargo-cyclonedx
if ! [ -x "$tools/python/bin/cyclonedx-py" ]; then
    python3 -m venv "$tools/python"
    "$tools/python/bin/pip" install --quiet --disable-pip-version-check 'cyclonedx-bom>=7,<8'
fi
# It writes beside each Cargo.toml.
cargo cyclonedx --quiet --format json --override-filename orion-sbom
for package in gst-orion gst-orion/core orion-launch orion-camera; do
    mv "$package/orion-sbom.json" "$out/$(basename "$package").cdx.json"
done
"$tools/python/bin/cyclonedx-py" requirements --output-reproducible --output-file "$out/worker.cdx.json" models/requirements.lock
find . -name orion-sbom.json -not -path './target/*' -delete
ls -l "$out"
