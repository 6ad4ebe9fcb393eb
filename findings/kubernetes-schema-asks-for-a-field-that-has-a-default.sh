#!/usr/bin/env bash
# kubernetes-validate 1.37.0 (PyPI; it ships the JSON schemas of Kubernetes 1.32 to 1.37), Python 3.11
#
# What happens: a Job's `podFailurePolicy` may name conditions of a pod, `onPodConditions: [{type: DisruptionTarget}]`.
# Kubernetes' documentation writes it so, and the field's own description says that `status` defaults to "True". The
# schemas of 1.32 to 1.34 list `status` among the required fields all the same, those of 1.35 to 1.37 no longer: one
# manifest is refused or taken by the version that somebody validates against, though its meaning has not changed.
#
# Seen:              1.32 to 1.34: 'status' is a required property; 1.35 to 1.37: taken; with status: taken by all
# The good guess:    what has a default is not required; a manifest that the newest schema takes, older ones take too
#
# Exits 0 while that is so, 1 when it changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check kubernetes-validate==1.37.0
cat > "$folder/validate.py" << 'PYTHON'
import kubernetes_validate

rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
pod = {"restartPolicy": "Never", "containers": [{"name": "work", "image": "registry.example/work:1"}]}
job = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "work"},
    "spec": {"podFailurePolicy": {"rules": [rule]}, "template": {"spec": pod}},
}
OLD, NEW = ("1.32", "1.33", "1.34"), ("1.35", "1.36", "1.37")
for version in OLD:
    try:
        kubernetes_validate.validate(job, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        print(version, error.message)
        assert "'status' is a required property" in error.message
    else:
        raise SystemExit(f"{version} takes it")
for version in NEW:
    kubernetes_validate.validate(job, version, strict=True)
    print(version, "takes it")
rule["onPodConditions"][0]["status"] = "True"
for version in OLD + NEW:
    kubernetes_validate.validate(job, version, strict=True)
print("with status: taken by all")
PYTHON
"$folder/venv/bin/python" "$folder/validate.py"
