#!/usr/bin/env bash
# sagemaker-training 5.1.4 (Python 3.11, Linux; needs root for a process namespace, and a C compiler to install)
#
# What happens: StopTrainingJob sends the container SIGTERM, and SIGKILL 120 s later. In the container the toolkit is
# process 1. It installs no handler, so the kernel drops the signal; it does not end, and hands nothing on to the
# script that it has started. A script with a SIGTERM handler that saves its model never hears of the stop.
#
# Seen:              script: no SIGTERM after 3 s; the toolkit goes on
# The good guess:    script: SIGTERM heard (that is what a handler in a training script is written for)
#
# Exits 0 while that is so, 1 when the signal arrives.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check sagemaker-training==5.1.4 setuptools==80.9.0
base="$folder/opt/ml"
mkdir -p "$base"/input/config "$base"/input/data "$base"/model "$base"/output/data "$base"/code
cat > "$base/code/train.py" << 'PY'
import os, signal, time
told = os.path.join(os.environ["SM_MODEL_DIR"], "told")
signal.signal(signal.SIGTERM, lambda *_: open(told, "w").write("SIGTERM"))
open(os.path.join(os.environ["SM_MODEL_DIR"], "started"), "w").close()
time.sleep(8)
PY
cat > "$base/input/config/hyperparameters.json" << JSON
{"sagemaker_program": "train.py", "sagemaker_submit_directory": "$base/code", "sagemaker_region": "us-east-1"}
JSON
echo '{"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}' > "$base/input/config/resourceconfig.json"
echo '{}' > "$base/input/config/inputdataconfig.json"
SAGEMAKER_BASE_DIR="$base" SM_STUDIO_LOCAL_MODE=true \
  unshare --pid --fork --kill-child "$folder/venv/bin/python" -m sagemaker_training.cli.train > "$folder/log" 2>&1 &
container=$!
for _ in $(seq 300); do [ -e "$base/model/started" ] && break; sleep 0.2; done
[ -e "$base/model/started" ] || { cat "$folder/log"; echo "the script did not start"; exit 1; }
toolkit=$(cat "/proc/$container/task/$container/children")
kill -TERM $toolkit
sleep 3
if [ -e "$base/model/told" ]; then echo "script: SIGTERM heard"; exit 1; fi
kill -0 $toolkit || { echo "the toolkit has ended"; exit 1; }
echo "script: no SIGTERM after 3 s; the toolkit goes on"
wait "$container"
