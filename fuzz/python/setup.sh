#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Make the environment of the fuzz targets in Python, unless it is there: setup.sh DIRECTORY
set -eu

venv=$1
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
lock=$here/../../models/requirements.lock
stamp=$venv/made-from.lock

if cmp -s "$lock" "$stamp"; then
    exit 0
fi
python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
    --requirement "$lock"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --only-binary :all: atheris==3.0.0 || {
    echo "atheris has wheels for Python 3.11 to 3.13 on x86-64 Linux only; this is $(python3 --version)" >&2
    exit 1
}
cp "$lock" "$stamp"
