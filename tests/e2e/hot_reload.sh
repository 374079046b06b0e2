#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
# Another model and a region for the daemon node_001, by its broker alone.
# Usage: hot_reload.sh PORT
set -eu

port=${1:?the port of the broker on this machine}

control() {
    mosquitto_pub -h 127.0.0.1 -p "$port" -q 1 -t care/control/node_001 -m "$1"
}

control '{"command": "set_model_size", "params": {"size": "m"}, "id": "script-model"}'
sleep 2
control '{"command": "set_attention_rois", "id": "script-rois",
    "params": {"rois": [{"x": 0.2, "y": 0.2, "width": 0.6, "height": 0.6}]}}'
