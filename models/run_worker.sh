#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Start the person detector in its virtual environment; all arguments go to person_detector.py.
# Environment: ORION_VENV, the virtual environment (default: .venv beside this file).
# Exit status 78 when there is none or it is broken, else the worker's own (see --help).
set -eu

self=$0
# readlink -f resolves links in any part of the path; the loop does without it where it is missing.
if resolved=$(readlink -f -- "$self" 2>/dev/null) && [ -n "$resolved" ]; then
    self=$resolved
else
    while [ -L "$self" ]; do
        target=$(readlink -- "$self")
        case $target in
            /*) self=$target ;;
            *) self=$(dirname -- "$self")/$target ;;
        esac
    done
fi
here=$(CDPATH='' cd -- "$(dirname -- "$self")" && pwd -P)

venv=${ORION_VENV:-$here/.venv}
python=$venv/bin/python
remedy="run \`make setup\`, or \`sh $here/setup_env.sh\`"
installed=${here%/share/orion/models}/sbin/orion-worker-setup
if [ "$here" != "${here%/share/orion/models}" ] && [ -x "$installed" ]; then
    remedy="run \`sudo $installed\`"
fi
# person_detector.py says it where packages are missing.
export ORION_REMEDY="$remedy"
if [ ! -x "$python" ]; then
    if [ -d "$venv" ]; then
        echo "[ERROR] the Python environment $venv is broken: $python is missing or not executable; $remedy" >&2
    else
        echo "[ERROR] the Python environment $venv does not exist; $remedy" >&2
    fi
    exit 78
fi

# Log lines must arrive when they are written, and as UTF-8 whatever the locale of the host is.
export PYTHONUNBUFFERED=1 PYTHONUTF8=1
# Packages of the user's home directory must not shadow the locked ones.
export PYTHONNOUSERSITE=1
unset PYTHONHOME
# numpy's linear algebra is not used; its threads would only take memory.
export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"
# Ctrl-C in the host's terminal reaches the worker as well, from its first instant; the host handles it.
trap '' INT

exec "$python" "$here/person_detector.py" "$@"
