"""What is refused at the door, in the words of the API server."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes_asking import Asked, deployment, pod

from embedded_aws.kubernetes.quantities import amount

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
SPEC = "spec.template.spec"


def container(**changes: Any) -> dict[str, Any]:
    return {"name": "a", "image": "nginx:1"} | changes


def of(kind: str, group_version: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": group_version, "kind": kind, "metadata": {"name": "x"}, **more}


def test_a_misspelt_field_is_refused_by_its_path_when_strict(ask: Asked) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"][0]["prots"] = []
    status, said = ask("POST", DEPLOYMENTS, body, fieldValidation="Strict")
    assert (status, said["reason"]) == (400, "BadRequest")
    assert said["message"] == (
        'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: '
        'unknown field "spec.template.spec.containers[0].prots"'
    )


def test_a_misspelt_field_is_dropped_with_a_warning_or_without(ask: Asked) -> None:
    warned = ask.response("POST", PODS, pod("w", hostNam="x"), fieldValidation="Warn")
    assert (warned.status, warned.headers["Warning"]) == (201, '299 - "unknown field \\"spec.hostNam\\""')
    ignored = ask.response("POST", PODS, pod("i", hostNam="x"), fieldValidation="Ignore")
    assert (ignored.status, "Warning" in ignored.headers) == (201, False)
    assert "hostNam" not in ask("GET", f"{PODS}/w")[1]["spec"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            deployment(replicas="3"),
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            deployment(template={"spec": {"containers": [container(env=[{"name": "A", "value": 1}])]}}),
            "json: cannot unmarshal number into Go struct field "
            "EnvVar.spec.template.spec.containers.env.value of type string",
        ),
        (
            deployment(template={"spec": {"containers": [container(resources={"limits": {"cpu": "much"}})]}}),
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)
def test_a_wrong_type_is_refused(ask: Asked, body: Any, said: str) -> None:
    status, answer = ask("POST", DEPLOYMENTS, body)
    assert status == 400
    assert answer["message"].endswith(said)


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"containers": []}, "spec.containers", "Required value"),
        ({"containers": [{"image": "x"}]}, "spec.containers[0].name", "Required value"),
        ({"containers": [{"name": "a"}]}, "spec.containers[0].image", "Required value"),
        ({"containers": [container(), container()]}, "spec.containers[1].name", 'Duplicate value: "a"'),
        (
            {"containers": [container(volumeMounts=[{"name": "d", "mountPath": "/d"}])]},
            "spec.containers[0].volumeMounts[0].name",
            'Not found: "d"',
        ),
        (
            {"containers": [container(ports=[{"containerPort": 70000}])]},
            "spec.containers[0].ports[0].containerPort",
            "Invalid value: 70000: must be between 1 and 65535, inclusive",
        ),
        (
            {"containers": [container(resources={"requests": {"cpu": "2"}, "limits": {"cpu": "1500m"}})]},
            "spec.containers[0].resources.requests",
            'Invalid value: "2": must be less than or equal to cpu limit of 1500m',
        ),
        (
            {"restartPolicy": "Sometimes"},
            "spec.restartPolicy",
            'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
        ),
        (
            {"affinity": {"nodeAffinity": {}}},
            "spec.affinity",
            "Forbidden: the embedded cluster does not act on it",
        ),
        (
            {"containers": [container(lifecycle={"preStop": {"sleep": {"seconds": 1}}})]},
            "spec.containers[0].lifecycle",
            "Forbidden: the embedded cluster does not act on it",
        ),
    ],
)
def test_what_a_pod_may_not_be(ask: Asked, changes: Any, field: str, message: str) -> None:
    status, said = ask("POST", PODS, pod("x", **changes))
    assert (status, said["reason"]) == (422, "Invalid")
    assert said["message"] == f'Pod "x" is invalid: {field}: {message}'
    assert said["details"]["causes"][0] | {"reason": ""} == {"reason": "", "message": message, "field": field}


def test_a_name_follows_the_rule_that_is_told(ask: Asked) -> None:
    status, said = ask("POST", PODS, pod("My_Pod"))
    assert status == 422
    assert said["message"].startswith(
        'Pod "My_Pod" is invalid: metadata.name: Invalid value: "My_Pod": a lowercase RFC 1123'
    )


def test_label_values_are_checked(ask: Asked) -> None:
    body = pod() | {"metadata": {"name": "x", "labels": {"a": "b c"}}}
    status, said = ask("POST", PODS, body)
    assert (status, said["details"]["causes"][0]["field"]) == (422, "metadata.labels")


def test_a_selector_must_select_the_template(ask: Asked) -> None:
    _, said = ask("POST", DEPLOYMENTS, deployment(selector={"matchLabels": {"app": "other"}}))
    assert said["message"] == (
        'Deployment.apps "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"web"}: '
        "`selector` does not match template `labels`"
    )


def test_a_selector_stays(ask: Asked) -> None:
    ask("POST", DEPLOYMENTS, deployment())
    body = {"spec": {"selector": {"matchLabels": {"tier": "b"}}, "template": {"metadata": {"labels": {"tier": "b"}}}}}
    status, said = ask("PATCH", f"{DEPLOYMENTS}/web", body, kind="application/merge-patch+json")
    assert status == 422
    assert said["message"].endswith("field is immutable")
    assert said["details"]["causes"][0]["field"] == "spec.selector"


def test_of_a_pod_only_the_image_and_a_little_may_change(ask: Asked) -> None:
    ask("POST", PODS, pod())
    kind = "application/strategic-merge-patch+json"
    status, _ = ask("PATCH", f"{PODS}/p", {"spec": {"containers": [container(image="nginx:2")]}}, kind=kind)
    assert status == 200
    status, said = ask("PATCH", f"{PODS}/p", {"spec": {"containers": [container(command=["x"])]}}, kind=kind)
    assert status == 422
    assert "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`" in said["message"]


@pytest.mark.parametrize("policy", [None, "Always"])
def test_a_job_names_a_restart_policy_that_ends(ask: Asked, policy: str | None) -> None:
    spec: dict[str, Any] = {"containers": [container()]} | ({"restartPolicy": policy} if policy else {})
    status, said = ask(
        "POST", "/apis/batch/v1/namespaces/default/jobs", of("Job", "batch/v1", spec={"template": {"spec": spec}})
    )
    assert status == 422
    assert said["message"] == (
        'Job.batch "x" is invalid: spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'
    )


def test_a_deployment_restarts_always(ask: Asked) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["restartPolicy"] = "Never"
    _, said = ask("POST", DEPLOYMENTS, body)
    assert 'restartPolicy: Unsupported value: "Never": supported values: "Always"' in said["message"]


def test_a_job_gets_its_own_labels_and_keeps_its_template(ask: Asked) -> None:
    path = "/apis/batch/v1/namespaces/default/jobs"
    template = {"spec": {"containers": [container()], "restartPolicy": "Never"}}
    _, job = ask("POST", path, of("Job", "batch/v1", spec={"template": template}))
    uid = job["metadata"]["uid"]
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    assert job["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "x"
    assert (job["spec"]["backoffLimit"], job["spec"]["completions"], job["spec"]["parallelism"]) == (6, 1, 1)
    change = {"spec": {"template": {"spec": {"activeDeadlineSeconds": 5}}}}
    status, said = ask("PATCH", f"{path}/x", change, kind="application/merge-patch+json")
    assert (status, said["details"]["causes"][0]["field"]) == (422, "spec.template")


def test_immutable_data_stays(ask: Asked) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    ask("POST", path, of("ConfigMap", "v1", data={"a": "1"}, immutable=True))
    status, said = ask("PATCH", f"{path}/x", {"data": {"a": "2"}}, kind="application/merge-patch+json")
    assert status == 422
    assert said["message"] == ('ConfigMap "x" is invalid: data: Forbidden: field is immutable when `immutable` is set')


def test_a_secret_holds_base64_and_takes_text(ask: Asked) -> None:
    path = "/api/v1/namespaces/default/secrets"
    _, made = ask("POST", path, of("Secret", "v1", stringData={"a": "b"}))
    assert (made["data"], made["type"], "stringData" in made) == ({"a": "Yg=="}, "Opaque", False)
    status, said = ask("POST", path, of("Secret", "v1", data={"a": "%%"}))
    assert status == 400
    assert "illegal base64 data at input byte 0" in said["message"]


def test_a_budget_says_one_thing(ask: Asked) -> None:
    spec = {"minAvailable": 1, "maxUnavailable": 1, "selector": {}}
    body = of("PodDisruptionBudget", "policy/v1", spec=spec)
    _, said = ask("POST", "/apis/policy/v1/namespaces/default/poddisruptionbudgets", body)
    assert said["message"].endswith("minAvailable and maxUnavailable cannot be both set")


def test_the_cluster_gives_a_service_its_address_and_keeps_it(ask: Asked) -> None:
    path = "/api/v1/namespaces/default/services"
    _, made = ask("POST", path, of("Service", "v1", spec={"ports": [{"port": 80}]}))
    assert made["spec"]["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert made["spec"]["clusterIP"].startswith("10.100.")
    status, _ = ask("PUT", f"{path}/x", of("Service", "v1", spec={"ports": [{"port": 81}]}))
    assert status == 200
    patch = {"spec": {"clusterIP": "10.100.9.9"}}
    status, said = ask("PATCH", f"{path}/x", patch, kind="application/merge-patch+json")
    assert status == 422
    assert "may not change once set" in said["message"]


def test_a_deployment_is_filled_in(ask: Asked) -> None:
    # Source: Kubernetes, API reference, Deployment: the defaults in the fields' descriptions.
    spec = ask("POST", DEPLOYMENTS, deployment())[1]["spec"]
    assert (spec["replicas"], spec["revisionHistoryLimit"], spec["progressDeadlineSeconds"]) == (1, 10, 600)
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}
    inner = spec["template"]["spec"]
    assert (inner["restartPolicy"], inner["terminationGracePeriodSeconds"], inner["dnsPolicy"]) == (
        "Always",
        30,
        "ClusterFirst",
    )
    assert inner["containers"][0]["imagePullPolicy"] == "IfNotPresent"


def restricted(ask: Asked, **labels: str) -> None:
    names = {f"pod-security.kubernetes.io/{mode}": level for mode, level in labels.items()}
    body = {"metadata": {"name": "tight", "labels": names}}
    assert ask("POST", "/api/v1/namespaces", body)[0] == 201


def test_pod_security_is_enforced_on_pods(ask: Asked) -> None:
    # The message as in the Kubernetes tutorial "Apply Pod Security Standards at the Namespace Level".
    restricted(ask, enforce="restricted")
    status, said = ask("POST", "/api/v1/namespaces/tight/pods", pod())
    assert status == 403
    assert said["message"] == (
        'pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false '
        '(container "a" must set securityContext.allowPrivilegeEscalation=false), unrestricted capabilities '
        '(container "a" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container '
        '"a" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container "a" must set '
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost")'
    )
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    whole = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    fine = pod(securityContext=whole, containers=[container(securityContext=context)])
    assert ask("POST", "/api/v1/namespaces/tight/pods", fine)[0] == 201


def test_pod_security_only_warns_of_workloads(ask: Asked) -> None:
    restricted(ask, enforce="restricted")
    response = ask.response("POST", "/apis/apps/v1/namespaces/tight/deployments", deployment())
    assert response.status == 201
    assert 'would violate PodSecurity \\"restricted:latest\\": allowPrivilegeEscalation' in response.headers["Warning"]


def test_baseline_refuses_privileges_and_the_host(ask: Asked) -> None:
    restricted(ask, enforce="baseline")
    body = pod(hostNetwork=True, containers=[container(securityContext={"privileged": True})])
    _, said = ask("POST", "/api/v1/namespaces/tight/pods", body)
    assert said["message"].endswith(
        'violates PodSecurity "baseline:latest": host namespaces (hostNetwork=true), '
        'privileged (container "a" must not set securityContext.privileged=true)'
    )
    assert ask("POST", "/api/v1/namespaces/tight/pods", pod())[0] == 201


def test_a_pod_names_a_service_account_that_there_is(ask: Asked) -> None:
    status, said = ask("POST", PODS, pod(serviceAccountName="nobody"))
    assert status == 403
    assert said["message"].endswith(
        'error looking up service account default/nobody: serviceaccount "nobody" not found'
    )


# Source: Kubernetes, API reference, Quantity.
@pytest.mark.parametrize(
    ("text", "value"), [("1.5Gi", 1.5 * 2**30), ("100m", 0.1), ("1E", 1e18), ("12e6", 12e6), ("3", 3)]
)
def test_quantities(text: str, value: float) -> None:
    found = amount(text)
    assert found is not None
    assert float(found) == pytest.approx(value, rel=1e-15)
