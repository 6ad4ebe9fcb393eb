#!/usr/bin/env bash
# sagemaker-training 5.1.4, boto3 1.44.5 (Python 3.11, Linux; needs a C compiler to install)
#
# What happens: SageMaker sets AWS_REGION in a training container. botocore does not read that name (it reads
# AWS_DEFAULT_REGION), and the toolkit sets SAGEMAKER_REGION from the hyperparameter sagemaker_region, else from boto3's
# default: without the hyperparameter, which only the SDK's estimators send by themselves, a script that was started by
# CreateTrainingJob knows no region: SAGEMAKER_REGION is there and empty, and boto3 has none.
#
# Seen:              SAGEMAKER_REGION='' boto3=None   and with the hyperparameter   SAGEMAKER_REGION='eu-west-1' boto3=None
# The good guess:    SAGEMAKER_REGION='eu-west-1' boto3='eu-west-1' (AWS_REGION is set, after all)
#
# Exits 0 while that is so, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  sagemaker-training==5.1.4 boto3==1.44.5 setuptools==80.9.0
look() {  # what the script sees, with more hyperparameters
  base=$(mktemp -d -p "$folder")
  mkdir -p "$base"/input/config "$base"/input/data "$base"/model "$base"/output/data "$base"/code
  cat > "$base/code/train.py" << 'PY'
import boto3, os
with open(os.path.join(os.environ["SM_MODEL_DIR"], "told"), "w") as file:
    file.write(f"SAGEMAKER_REGION={os.environ.get('SAGEMAKER_REGION')!r} boto3={boto3.Session().region_name!r}")
PY
  echo "{\"sagemaker_program\": \"train.py\", \"sagemaker_submit_directory\": \"$base/code\"$1}" > "$base/input/config/hyperparameters.json"
  echo '{"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}' > "$base/input/config/resourceconfig.json"
  echo '{}' > "$base/input/config/inputdataconfig.json"
  env -u AWS_DEFAULT_REGION -u AWS_PROFILE AWS_CONFIG_FILE=/dev/null AWS_REGION=eu-west-1 SAGEMAKER_BASE_DIR="$base" \
    SM_STUDIO_LOCAL_MODE=true "$folder/venv/bin/python" -m sagemaker_training.cli.train > "$folder/log" 2>&1 ||
    { cat "$folder/log"; exit 1; }
  cat "$base/model/told"
}
without=$(look '') with=$(look ', "sagemaker_region": "eu-west-1"')
echo "without the hyperparameter: $without"
echo "with it:                    $with"
[ "$without" = "SAGEMAKER_REGION='' boto3=None" ] && [ "$with" = "SAGEMAKER_REGION='eu-west-1' boto3=None" ]
