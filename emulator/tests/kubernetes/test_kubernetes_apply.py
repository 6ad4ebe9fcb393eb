"""Server-side apply: who has which field. Source of what is expected: Kubernetes documentation, "Server-Side Apply"."""

from __future__ import annotations

from typing import Any

from kubernetes_asking import Asked, deployment

ONE = "/apis/apps/v1/namespaces/default/deployments/web"
MAPS = "/api/v1/namespaces/default/configmaps/m"
APPLY = "application/apply-patch+yaml"


def apply(ask: Asked, body: Any, by: str, path: str = ONE, **query: Any) -> tuple[int, Any]:
    return ask("PATCH", path, body, kind=APPLY, fieldManager=by, **query)


def config(**data: str) -> Any:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": data}


def fields(value: Any, manager: str) -> Any:
    return next(entry["fieldsV1"] for entry in value["metadata"]["managedFields"] if entry["manager"] == manager)


def test_an_apply_creates_and_owns_what_it_names(ask: Asked) -> None:
    status, value = apply(ask, config(a="1"), "kubectl", MAPS)
    assert status == 201
    (entry,) = value["metadata"]["managedFields"]
    assert {k: v for k, v in entry.items() if k != "time"} == {
        "manager": "kubectl",
        "operation": "Apply",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}}},
    }


def test_defaults_belong_to_nobody_who_applies(ask: Asked) -> None:
    _, value = apply(ask, deployment(), "kubectl")
    assert value["spec"]["replicas"] == 1
    spec = fields(value, "kubectl")["f:spec"]
    assert spec["f:template"]["f:spec"]["f:containers"] == {
        'k:{"name":"a"}': {".": {}, "f:image": {}, "f:name": {}},
    }
    assert "f:replicas" not in spec


def test_what_another_has_set_otherwise_is_a_conflict(ask: Asked) -> None:
    apply(ask, deployment(replicas=2), "kubectl")
    body = {"spec": {"replicas": 3}}
    ask("PATCH", ONE, body, kind="application/merge-patch+json", fieldManager="controller")
    status, said = apply(ask, deployment(replicas=2), "kubectl")
    assert (status, said["reason"]) == (409, "Conflict")
    assert said["message"] == 'Apply failed with 1 conflict: conflict with "controller" using apps/v1: .spec.replicas'
    assert said["details"]["causes"] == [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "controller" using apps/v1',
            "field": ".spec.replicas",
        }
    ]


def test_two_conflicts_are_listed(ask: Asked) -> None:
    apply(ask, config(a="1", b="1"), "one", MAPS)
    _, said = apply(ask, config(a="2", b="2"), "two", MAPS)
    assert said["message"] == 'Apply failed with 2 conflicts: conflicts with "one":\n- .data.a\n- .data.b'


def test_force_takes_the_field_over(ask: Asked) -> None:
    apply(ask, config(a="1", b="1"), "one", MAPS)
    status, value = apply(ask, config(a="2"), "two", MAPS, force="true")
    assert status == 200
    assert value["data"] == {"a": "2", "b": "1"}
    assert fields(value, "one") == {"f:data": {"f:b": {}}}
    assert fields(value, "two") == {"f:data": {"f:a": {}}}


def test_the_same_value_is_shared_and_stays_until_the_last_gives_it_up(ask: Asked) -> None:
    apply(ask, config(a="1", b="1"), "one", MAPS)
    status, _ = apply(ask, config(a="1"), "two", MAPS)
    assert status == 200
    _, value = apply(ask, config(b="1"), "one", MAPS)
    assert value["data"] == {"a": "1", "b": "1"}
    _, value = apply(ask, config(), "two", MAPS)
    assert value["data"] == {"b": "1"}


def test_an_item_of_a_list_goes_when_its_applier_names_it_no_more(ask: Asked) -> None:
    body = deployment()
    body["spec"]["template"]["spec"]["containers"].append({"name": "side", "image": "s:1"})
    apply(ask, body, "kubectl")
    _, value = apply(ask, deployment(), "kubectl")
    assert [one["name"] for one in value["spec"]["template"]["spec"]["containers"]] == ["a"]


def test_appliers_share_a_list_by_keys(ask: Asked) -> None:
    apply(ask, deployment(), "kubectl")
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}
    body["spec"] = {"template": {"spec": {"containers": [{"name": "side", "image": "s:1"}]}}}  # type: ignore[assignment]
    status, value = apply(ask, body, "injector")
    assert status == 200
    assert {one["name"] for one in value["spec"]["template"]["spec"]["containers"]} == {"a", "side"}
    _, value = apply(ask, deployment(), "kubectl")
    assert {one["name"] for one in value["spec"]["template"]["spec"]["containers"]} == {"a", "side"}


def test_an_update_takes_fields_from_who_applied_them(ask: Asked) -> None:
    apply(ask, config(a="1", b="1"), "one", MAPS)
    _, value = ask("GET", MAPS)
    value["data"]["a"] = "9"
    _, value = ask("PUT", MAPS, value, fieldManager="editor")
    assert fields(value, "one") == {"f:data": {"f:b": {}}}
    assert fields(value, "editor") == {"f:data": {"f:a": {}}}


def test_an_apply_that_changes_nothing_leaves_the_version(ask: Asked) -> None:
    _, first = apply(ask, deployment(), "kubectl")
    _, second = apply(ask, deployment(), "kubectl")
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_an_apply_needs_a_manager_and_known_fields(ask: Asked) -> None:
    status, said = ask("PATCH", MAPS, config(a="1"), kind=APPLY)
    assert status == 422
    assert "fieldManager: Required value: is required for apply patch" in said["message"]
    status, said = apply(ask, deployment(replics=2), "kubectl")
    assert status == 500
    where = "default/web; apps/v1, Kind=Deployment"
    assert (
        said["message"] == f"failed to create typed patch object ({where}): .spec.replics: field not declared in schema"
    )


def test_a_dry_apply_changes_nothing(ask: Asked) -> None:
    apply(ask, config(a="1"), "kubectl", MAPS)
    _, shown = apply(ask, config(a="2"), "kubectl", MAPS, dryRun="All")
    assert shown["data"] == {"a": "2"}
    assert ask("GET", MAPS)[1]["data"] == {"a": "1"}


def test_a_scale_has_its_own_manager(ask: Asked) -> None:
    apply(ask, deployment(replicas=1), "kubectl")
    kind = "application/merge-patch+json"
    ask("PATCH", f"{ONE}/scale", {"spec": {"replicas": 4}}, kind=kind, fieldManager="scaler")
    _, said = apply(ask, deployment(replicas=1), "kubectl")
    assert 'conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas' in said["message"]
