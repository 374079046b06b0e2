#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Ask the public data about weaknesses for every crate and Python package in the lock files. Needs the network; what cannot be
# asked is said, and is an error as well.
set -u
cd "$(dirname "$0")/.."
tools=$PWD/target/tools bad=0
if command -v cargo-deny >/dev/null; then
    cargo deny check advisories || bad=1
else
    echo "cargo-deny is not installed (cargo install --locked cargo-deny): crates were not checked" >&2
    bad=1
fi
if ! [ -x "$tools/audit/bin/pip-audit" ]; then
    { python3 -m venv "$tools/audit" && "$tools/audit/bin/pip" install --quiet --disable-pip-version-check pip-audit; } || exit 1
fi
for lock in models/requirements.lock models/requirements-export.lock models/requirements-dev.lock; do
    echo "$lock"
    # --strict: a package of which nothing is known was not checked.
    "$tools/audit/bin/pip-audit" --strict --require-hashes --disable-pip --requirement "$lock" || bad=1
done
exit $bad
