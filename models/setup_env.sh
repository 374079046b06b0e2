#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Make the worker's virtual environment from the lock file; quick when nothing has changed.
#   sh setup_env.sh          what the worker needs
#   sh setup_env.sh --dev    also what its tests and lint need
# Environment: ORION_VENV, where it goes (default: .venv beside this file); PYTHON, the interpreter
# (default: python3, 3.10 or newer).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
venv=${ORION_VENV:-$here/.venv}
python=${PYTHON:-python3}
lock=$here/requirements.lock

fail() {
    echo "[ERROR] $*" >&2
    exit 1
}

case $# in
    0) ;;
    1)
        case $1 in
            --dev) lock=$here/requirements-dev.lock ;;
            -h | --help)
                sed -n '3,7s/^# //p' "$0"
                exit 0
                ;;
            *) fail "unknown argument $1; the only one is --dev" ;;
        esac
        ;;
    *) fail "too many arguments; the only one is --dev" ;;
esac

command -v "$python" >/dev/null 2>&1 || fail "$python not found; install Python 3.10 or newer (Debian: python3)"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not run"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is Python $version; 3.10 or newer is needed (set PYTHON to another one)"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    fail "$python cannot make virtual environments; on Debian: apt-get install python3-venv (or python$version-venv)"

# The stamp names all that went into the environment; it is written last, so an interrupted run has none.
stamp=$venv/.orion-stamp
mine=$venv/.orion-env
state_with() {
    "$python" - "$1" "$here" <<'END'
import hashlib, pathlib, sys
lock, here = sys.argv[1:]
print(hashlib.sha256(pathlib.Path(lock).read_bytes()).hexdigest(), sys.version.split()[0], sys.prefix, here)
END
}
state=$(state_with "$lock") || fail "cannot read $lock"
if [ -f "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    found=$(cat "$stamp")
    # The development environment also serves the worker: its lock is a superset of the worker's.
    if [ "$found" = "$state" ] || [ "$found" = "$(state_with "$here/requirements-dev.lock")" ]; then
        exit 0
    fi
fi

# Only what this script made is ever emptied.
if [ -e "$venv" ] && [ ! -f "$mine" ] && [ -n "$(ls -A "$venv" 2>/dev/null || echo file)" ]; then
    fail "$venv was not made by this script; remove it, or set ORION_VENV to another place"
fi
echo "making $venv with Python $version from $(basename "$lock")"
mkdir -p "$venv" && : >"$mine" || fail "cannot write to $venv"
find "$venv" -mindepth 1 -maxdepth 1 ! -name .orion-env -exec rm -rf {} +
"$python" -m venv "$venv" || fail "could not make $venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes --only-binary :all: --requirement "$lock" ||
    fail "could not install $lock into $venv; run this script again to repair it"
# A path file makes the package importable where it lies, without a build and its build dependencies.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$here" >"$site/orion_worker.pth"
"$venv/bin/python" -c 'import cv2, msgspec, numpy, onnxruntime, orion_worker' ||
    fail "the packages in $venv do not load; run this script again, or remove $venv first"
echo "$state" >"$stamp.new"
mv "$stamp.new" "$stamp"
