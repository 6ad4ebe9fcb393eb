#!/bin/bash
# Install the kit on a notebook instance from the wheels that travelled with it: no internet, no root.
# Started by the lifecycle configuration of notebook-instance.yaml, at every start; the second time there is little to
# do. First argument: the region. WORKSHOP_PYTHON=/path/to/python chooses another interpreter.
set -euo pipefail
kit=$(cd "$(dirname "$0")/.." && pwd)

# The instance's role is the server's: a profile without keys takes it.
mkdir -p "$HOME/.aws"
grep -qs '^\[profile fl-server\]' "$HOME/.aws/config" ||
  printf '[profile fl-server]\nregion = %s\n' "$1" >> "$HOME/.aws/config"

usable() {
  "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2> /dev/null
}

python=""
for candidate in ${WORKSHOP_PYTHON:-} python3.12 python3.11 "$HOME"/anaconda3/envs/*/bin/python \
  /home/ec2-user/anaconda3/envs/*/bin/python /opt/conda/bin/python python3; do
  if usable "$candidate"; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "This instance has no Python 3.11 or 3.12 that can make a virtual environment." >&2
  echo "Choose a newer PlatformIdentifier (notebook-al2023-v1 or later), or copy such a Python onto the instance and" >&2
  echo "run: WORKSHOP_PYTHON=/path/to/python bash $kit/cloudformation/install-on-notebook.sh" >&2
  exit 1
fi

if [ ! -e "$kit/.venv/ready" ]; then
  echo "installing with $("$python" --version) ($python)"
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
echo "ready: open federated-learning/notebooks/00_start_here.ipynb"
