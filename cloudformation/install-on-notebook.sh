#!/bin/bash
# Install the kit on a notebook instance from the Python and the wheels that travelled with it: no internet, no root.
# Started by the lifecycle configuration of notebook-instance.yaml, at every start; the second time there is little to
# do. Arguments: the region, and the minutes after which the idle instance stops (0: never).
set -euo pipefail
kit=$(cd "$(dirname "$0")/.." && pwd)
region=$1 idle_minutes=${2:-0}

# The instance's role is the server's: a profile without keys takes it.
mkdir -p "$HOME/.aws"
grep -qs '^\[profile fl-server\]' "$HOME/.aws/config" ||
  printf '[profile fl-server]\nregion = %s\nsts_regional_endpoints = regional\n' "$region" >> "$HOME/.aws/config"

# How it went, where the owner's doctor finds it: an object beside the models.
tell() {
  pythons=$(for one in python3 python3.12 /home/ec2-user/anaconda3/bin/python; do "$one" --version 2> /dev/null || true; done)
  printf '{"bundle": "%s", "ready": %s, "pythons": "%s"}\n' \
    "$(cat "$kit/.workshop/bundle" 2> /dev/null)" "$1" "$(echo "$pythons" | tr '\n' ' ')" > "$kit/.workshop/kit.json"
  bucket=$(cat "$kit/.workshop/server-bucket" 2> /dev/null) || return 0
  aws s3 cp --no-progress --region "$region" "$kit/.workshop/kit.json" "s3://$bucket/model/kit.json" ||
    echo "the doctor cannot be told: s3://$bucket/model/kit.json was not written"
}
trap 'echo "the installation ended in line $LINENO: run it again with bash $0 $region $idle_minutes"; tell false' ERR

python="$kit/.python/bin/python3"
if ! "$python" -c "" 2> /dev/null; then
  rm -rf "$kit/.python"
  mkdir "$kit/.python"
  tar --extract --gzip --file "$kit/python.tar.gz" --directory "$kit/.python" --strip-components 1
  rm -rf "$kit/.venv"  # one that stood on another Python
fi

if [ ! -e "$kit/.venv/ready" ]; then
  echo "installing with $("$python" --version)"
  "$python" -m venv --clear "$kit/.venv"
  PIP_CONFIG_FILE=/dev/null PIP_DISABLE_PIP_VERSION_CHECK=1 "$kit/.venv/bin/python" -m pip install --quiet --no-deps --no-index \
    --find-links "$kit/wheelhouse" --require-hashes --requirement "$kit/requirements.lock"
  # The kit itself: a path file needs no build.
  "$kit/.venv/bin/python" -c "import pathlib, sysconfig
pathlib.Path(sysconfig.get_path('purelib'), 'workshop-kit.pth').write_text('$kit\n')"
  touch "$kit/.venv/ready"
fi
"$kit/.venv/bin/python" -m ipykernel install --user --name python3 --display-name "Federated learning workshop"
"$kit/.venv/bin/python" -c "import workshop, client_code, data_prep, flwr, boto3"
tell true
echo "ready: open federated-learning/notebooks/00_start_here.ipynb"

if [ "$idle_minutes" -gt 0 ]; then
  echo "the instance stops after $idle_minutes idle minutes"
  exec "$kit/.venv/bin/python" "$kit/cloudformation/stop_when_idle.py" fl-notebook --minutes "$idle_minutes" --region "$region"
fi
