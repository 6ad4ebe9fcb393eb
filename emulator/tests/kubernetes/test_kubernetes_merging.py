"""The patches: examples of the RFCs and of the Kubernetes documentation on updating objects with patches."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes_asking import deployment

from embedded_aws.kubernetes import merging
from embedded_aws.kubernetes.kinds import named
from embedded_aws.kubernetes.schemas import schemas


# Source: RFC 7396, appendix A, "Example Test Cases": original, patch, result.
@pytest.mark.parametrize(
    ("value", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_rfc_says(value: Any, patch: Any, result: Any) -> None:
    assert merging.merge(value, patch) == result


# Source: RFC 6902, appendix A.
@pytest.mark.parametrize(
    ("value", "operation", "result"),
    [
        ({"foo": "bar"}, {"op": "add", "path": "/baz", "value": "qux"}, {"baz": "qux", "foo": "bar"}),
        ({"foo": ["bar", "baz"]}, {"op": "add", "path": "/foo/1", "value": "qux"}, {"foo": ["bar", "qux", "baz"]}),
        ({"baz": "qux", "foo": "bar"}, {"op": "remove", "path": "/baz"}, {"foo": "bar"}),
        ({"foo": ["bar", "qux", "baz"]}, {"op": "remove", "path": "/foo/1"}, {"foo": ["bar", "baz"]}),
        ({"baz": "qux"}, {"op": "replace", "path": "/baz", "value": "boo"}, {"baz": "boo"}),
        (
            {"foo": ["all", "grass", "cows", "eat"]},
            {"op": "move", "from": "/foo/1", "path": "/foo/3"},
            {"foo": ["all", "cows", "eat", "grass"]},
        ),
        ({"foo": ["bar"]}, {"op": "add", "path": "/foo/-", "value": ["abc"]}, {"foo": ["bar", ["abc"]]}),
        ({"/": 9, "~1": 10}, {"op": "test", "path": "/~01", "value": 10}, {"/": 9, "~1": 10}),
    ],
)
def test_a_json_patch_does_what_its_rfc_says(value: Any, operation: Any, result: Any) -> None:
    assert merging.json_patch(value, [operation]) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/baz", "value": "bar"},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "remove", "path": "/none"},
        {"op": "replace", "path": "/none", "value": 1},
        {"op": "invent", "path": "/baz"},
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(operation: Any) -> None:
    with pytest.raises(merging.PatchError):
        merging.json_patch({"baz": "qux"}, [operation])


def strategic(value: Any, patch: Any) -> Any:
    known = schemas("1.34")
    return merging.strategic(value, patch, known.of(named("Deployment")), known)


def containers(*given: Any) -> Any:
    return {"spec": {"template": {"spec": {"containers": list(given)}}}}


# Source: Kubernetes documentation, "Update API Objects in Place Using kubectl patch": containers merge by name,
# tolerations are replaced, $retainKeys drops the rest of the strategy.
def test_containers_are_merged_by_their_names() -> None:
    patched = strategic(deployment(), containers({"name": "redis", "image": "redis"}, {"name": "a", "tty": True}))
    assert patched["spec"]["template"]["spec"]["containers"] == [
        {"name": "a", "image": "nginx:1", "tty": True},
        {"name": "redis", "image": "redis"},
    ]


def test_tolerations_are_replaced() -> None:
    value = strategic(deployment(), {"spec": {"template": {"spec": {"tolerations": [{"key": "a"}, {"key": "b"}]}}}})
    patched = strategic(value, {"spec": {"template": {"spec": {"tolerations": [{"key": "c"}]}}}})
    assert patched["spec"]["template"]["spec"]["tolerations"] == [{"key": "c"}]


def test_retain_keys_drops_what_it_does_not_name() -> None:
    value = deployment(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}})
    patched = strategic(value, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}})
    assert patched["spec"]["strategy"] == {"type": "Recreate"}


def test_an_item_is_deleted_by_its_name() -> None:
    value = strategic(deployment(), containers({"name": "b", "image": "b"}))
    patched = strategic(value, containers({"name": "a", "$patch": "delete"}))
    assert [one["name"] for one in patched["spec"]["template"]["spec"]["containers"]] == ["b"]


def test_a_list_and_a_map_are_replaced_on_demand() -> None:
    patched = strategic(deployment(), containers({"$patch": "replace"}, {"name": "c", "image": "c"}))
    assert patched["spec"]["template"]["spec"]["containers"] == [{"name": "c", "image": "c"}]
    labels = {"spec": {"template": {"metadata": {"labels": {"$patch": "replace", "x": "y"}}}}}
    assert strategic(deployment(), labels)["spec"]["template"]["metadata"]["labels"] == {"x": "y"}


def test_items_come_in_the_order_that_is_set() -> None:
    patch = containers({"name": "b", "image": "b"})
    patch["spec"]["template"]["spec"]["$setElementOrder/containers"] = [{"name": "b"}, {"name": "a"}]
    patched = strategic(deployment(), patch)
    assert [one["name"] for one in patched["spec"]["template"]["spec"]["containers"]] == ["b", "a"]


def test_values_are_deleted_from_lists_of_texts() -> None:
    value = {"metadata": {"name": "a", "finalizers": ["x/a", "x/b"]}}
    assert strategic(value, {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x/a"]}})["metadata"][
        "finalizers"
    ] == ["x/b"]
    assert strategic(value, {"metadata": {"finalizers": ["x/c", "x/a"]}})["metadata"]["finalizers"] == [
        "x/a",
        "x/b",
        "x/c",
    ]


def test_an_item_without_its_key_is_refused() -> None:
    with pytest.raises(merging.PatchError, match="does not contain declared merge key: name"):
        strategic(deployment(), containers({"image": "b"}))
