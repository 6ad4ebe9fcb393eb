#!/usr/bin/env bash
# statelint 3.1.0 and moto[stepfunctions] 5.2.5 (PyPI), Python 3.11
#
# What happens: states that speak JSONPath may assign variables as those that speak JSONata do (AWS, Step Functions developer
# guide, "Passing data between states with variables"). moto's interpreter runs such a machine; statelint calls it wrong,
# and takes the same state when it speaks JSONata. Expressions in JSONata that cannot be parsed it takes, too.
#
# Seen:              JSONPath: Field "Assign" not allowed in State Machine.States.Keep; the execution SUCCEEDED
# The good guess:    a linter of today's language knows its variables in both query languages
#
# Exits 0 while that is so, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check statelint==3.1.0 "moto[stepfunctions]==5.2.5"
"$folder/venv/bin/python" - << 'PYTHON'
import json
import sys
import time

import boto3
from moto import mock_aws
from statelint.linter import Linter

keep = {"Type": "Pass", "Assign": {"kept.$": "$.a"}, "End": True}
machine = {"StartAt": "Keep", "States": {"Keep": keep}}
other = {"Type": "Pass", "Assign": {"kept": "{% $states.input.a %}"}, "End": True}
problems = Linter.validate(machine)
in_jsonata = Linter.validate({"QueryLanguage": "JSONata", "StartAt": "Keep", "States": {"Keep": other}})
broken = {"Type": "Pass", "Output": "{% ( %}", "End": True}
unparsed = Linter.validate({"QueryLanguage": "JSONata", "StartAt": "A", "States": {"A": broken}})
with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
    states = boto3.client("stepfunctions", "us-east-1", aws_access_key_id="k", aws_secret_access_key="s")
    role = "arn:aws:iam::111122223333:role/r"
    arn = states.create_state_machine(name="m", definition=json.dumps(machine), roleArn=role)["stateMachineArn"]
    run = states.start_execution(stateMachineArn=arn, name="one", input='{"a": 1}')["executionArn"]
    while (ended := states.describe_execution(executionArn=run))["status"] == "RUNNING":
        time.sleep(0.02)
print("JSONPath:", *problems)
print("JSONata:", in_jsonata, unparsed)
print("moto:", ended["status"])
as_seen = problems == ['Field "Assign" not allowed in State Machine.States.Keep'] and in_jsonata == unparsed == []
sys.exit(not (as_seen and ended["status"] == "SUCCEEDED"))
PYTHON
