#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# From a data folder to Orion's person detector: environment, training, ONNX files, figures.
#   sh train.sh DATA RUN OUT [PHOTOS] [arguments of train.py]
# DATA has labels.json and images_*.tar. RUN gets the environment, the decoded pictures and the checkpoints
# (10 GB); give it again and an interrupted run goes on. OUT gets orion_person_320.onnx and ..._640.onnx.
# PHOTOS (- for none) has images/ and persons.json to judge with; they have no part in the training.
# Environment: PYTHON, the interpreter (default: python3, 3.10 or newer).
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
if [ $# -lt 3 ]; then
    sed -n '3,9s/^# //p' "$0" >&2
    exit 2
fi
data=$1 run=$2 out=$3
shift 3
photos=-
case ${1:--} in
    --*) ;;
    *) photos=$1 && shift ;;
esac

venv=$run/venv
mkdir -p "$run"
if [ ! -f "$venv/.ready" ] || ! cmp -s "$here/requirements.txt" "$venv/.ready"; then
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
        --only-binary :all: --requirement "$here/requirements.txt"
    # The worker's decoder judges; a path file makes it importable where it lies.
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    dirname "$here" >"$site/orion_worker.pth"
    cp "$here/requirements.txt" "$venv/.ready"
fi

"$venv/bin/python" "$here/train.py" --data "$data" --run "$run" "$@"
set -- "$run/checkpoint.pt" --data "$data" --out "$out"
[ "$photos" = - ] || set -- "$@" --judge "$photos/persons.json"
"$venv/bin/python" "$here/export.py" "$@"
set -- "$out/orion_person_320.onnx" "$out/orion_person_640.onnx" --times 20
[ "$photos" = - ] || set -- "$@" --photos "$photos"
"$venv/bin/python" "$here/evaluate.py" "$@"
