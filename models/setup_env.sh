#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Make the worker's virtual environment from the lock file; quick when nothing has changed. Installed it is orion-worker-setup.
#   sh setup_env.sh               what the worker needs, downloaded by pip, whose own settings (PIP_...) are respected
#   sh setup_env.sh --wheels DIR  the same from wheels in a folder, without a network
#   sh setup_env.sh --system      no download: the system's own packages of numpy, OpenCV, msgspec and ONNX Runtime
#   sh setup_env.sh --dev         also what its tests and lint need
#   sh setup_env.sh --check       only say whether it is there and made from this lock file (status 0) or not (1)
# Environment: ORION_VENV, where it goes (default: .venv beside this file); PYTHON, the interpreter
# (default: python3, 3.10 or newer).
set -eu

self=$(readlink -f -- "$0" 2>/dev/null) || self=$0
here=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P)
venv=${ORION_VENV:-$here/.venv}
# A package has a link there, to where an environment may be made; the place itself need not exist.
if [ -L "$venv" ]; then
    venv=$(readlink -f -- "$venv")
fi
python=${PYTHON:-python3}
lock=$here/requirements.lock

fail() {
    echo "[ERROR] $*" >&2
    exit 1
}

system_packages="python3-msgspec python3-numpy python3-onnxruntime python3-opencv"
known="known are --wheels DIR, --system, --dev and --check"
kind=lock check= wheels=
while [ $# -gt 0 ]; do
    case $1 in
        --dev) lock=$here/requirements-dev.lock ;;
        --system) kind=system ;;
        --check) check=1 ;;
        --wheels)
            wheels=${2:-}
            [ -d "$wheels" ] || fail "--wheels needs a folder${wheels:+, $wheels is none}"
            wheels=$(CDPATH='' cd -- "$wheels" && pwd -P)
            shift
            ;;
        -h | --help)
            sed -n '3,10s/^# //p' "$self"
            exit 0
            ;;
        *) fail "unknown argument $1; $known" ;;
    esac
    shift
done
case $kind:$wheels:$lock in
    lock:* | system::*/requirements.lock) ;;
    *) fail "--system goes with neither --wheels nor --dev" ;;
esac

command -v "$python" >/dev/null 2>&1 || fail "$python not found; install Python 3.10 or newer (Debian: python3)"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not run"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "$python is Python $version; 3.10 or newer is needed (set PYTHON to another one)"
if [ $kind = lock ]; then
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$python cannot make virtual environments; on Debian: apt-get install python3-venv (or python$version-venv)"
fi

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
by_lock=$state
if [ $kind = system ]; then
    state="$state system"
fi
if [ -f "$stamp" ] && "$venv/bin/python" -c '' 2>/dev/null; then
    found=$(cat "$stamp")
    if [ "$found" = "$state" ] || { [ -n "$check" ] && [ "$found" = "$by_lock system" ]; }; then
        exit 0
    fi
    # The development environment also serves the worker: its lock is a superset of the worker's.
    if [ $kind = lock ] && [ "$found" = "$(state_with "$here/requirements-dev.lock")" ]; then
        exit 0
    fi
fi
if [ -n "$check" ]; then
    [ -f "$stamp" ] || fail "there is no environment in $venv"
    fail "the environment in $venv was made from another lock file or by another Python"
fi

# Only what this script made is ever emptied.
if [ -e "$venv" ] && [ ! -f "$mine" ] && [ -n "$(ls -A "$venv" 2>/dev/null || echo file)" ]; then
    fail "$venv was not made by this script; remove it, or set ORION_VENV to another place"
fi
if [ "$(id -u)" -eq 0 ]; then
    # Others run it.
    umask 022
fi
{ mkdir -p "$venv" && : >"$mine"; } 2>/dev/null || fail "cannot write to $venv; run this as a user who can"
find "$venv" -mindepth 1 -maxdepth 1 ! -name .orion-env -exec rm -rf {} +
if [ $kind = system ]; then
    echo "making $venv with Python $version and the system's packages"
    "$python" -m venv --system-site-packages --without-pip "$venv" || fail "could not make $venv"
else
    echo "making $venv with Python $version from $(basename "$lock")"
    "$python" -m venv "$venv" || fail "could not make $venv"
    set -- --require-hashes --only-binary :all: --requirement "$lock"
    if [ -n "$wheels" ]; then
        set -- --no-index --find-links "$wheels" "$@"
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" ||
        fail "could not install $lock into $venv; run this script again to repair it"
fi
# A path file makes the package importable where it lies, without a build and its build dependencies.
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo "$here" >"$site/orion_worker.pth"
if ! "$venv/bin/python" -c 'import cv2, msgspec, numpy, onnxruntime, orion_worker'; then
    [ $kind = lock ] || fail "the system lacks packages; on Debian 13: apt-get install $system_packages"
    fail "the packages in $venv do not load; run this script again, or remove $venv first"
fi
echo "$state" >"$stamp.new"
mv "$stamp.new" "$stamp"
