#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Says what is wrong with the Rust toolchain before cargo says it less clearly.
set -eu

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo is not on the PATH; Orion needs Rust $wanted or newer (install it with rustup)" >&2
    exit 1
fi
found=$(rustc --version | cut -d' ' -f2)
oldest=$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)
if [ "$oldest" != "$wanted" ]; then
    echo "Rust $found is too old; Orion needs $wanted or newer (rustup update)" >&2
    exit 1
fi
