"""ECR: images are pushed layer by layer, checked, kept on disk, and pulled by whom role and repository let.

Sources: AWS, ECR API reference, with its error codes; ECR user guide, "Image tag mutability", "Private repository
policies"; OCI image specification.
"""

import hashlib
import json
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest
from moto.iam.models import iam_backends
from test_eks_desk import allow, policy, told, trust

from embedded_aws.services.ecr import images, layers, pulls, repositories, state
from embedded_aws.services.ecr.pulls import PullError
from embedded_aws.services.ecr.requests import Asked
from embedded_aws.services.ecr.state import EcrError

OCI = "application/vnd.oci.image.manifest.v1+json"
MIB = 1024 * 1024


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest(config, *blobs):
    def part(data, kind):
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}

    rows = [part(blob, "layer.v1.tar+gzip") for blob in blobs]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": part(config, "config.v1+json"), "layers": rows})


class Pusher:
    """Pushes to one repository."""

    def __init__(self, ecr, name):
        self.ecr, self.named = ecr, {"repositoryName": name}

    def layer(self, data, *, size=5 * MIB):
        upload = self.ecr.initiate_layer_upload(**self.named)["uploadId"]
        for first in range(0, len(data), size):
            part = data[first : first + size]
            place = {"partFirstByte": first, "partLastByte": first + len(part) - 1}
            self.ecr.upload_layer_part(**self.named, uploadId=upload, **place, layerPartBlob=part)
        return self.ecr.complete_layer_upload(**self.named, uploadId=upload, layerDigests=[digest(data)])

    def image(self, tag, config, *blobs):
        for data in (config, *blobs):
            (found,) = self.ecr.batch_check_layer_availability(**self.named, layerDigests=[digest(data)])["layers"]
            if found["layerAvailability"] == "UNAVAILABLE":
                self.layer(data)
        return self.ecr.put_image(**self.named, imageManifest=manifest(config, *blobs), imageTag=tag)["image"]


@pytest.fixture(scope="module")
def ecr(aws):
    return aws.session("client-1").client("ecr")


@pytest.fixture
def pusher(ecr):
    ecr.create_repository(repositoryName="fl/agent", imageTagMutability="IMMUTABLE")
    yield Pusher(ecr, "fl/agent")
    ecr.delete_repository(repositoryName="fl/agent", force=True)


CONFIG, LAYER = b'{"architecture": "amd64"}', b"layer " * MIB  # 6 MiB: two parts


def test_what_is_pushed_can_be_pulled(ecr, pusher):
    image = pusher.image("v1", CONFIG, LAYER)
    named, text = pusher.named, manifest(CONFIG, LAYER)
    assert image["imageId"] == {"imageTag": "v1", "imageDigest": digest(text.encode())}
    (got,) = ecr.batch_get_image(**named, imageIds=[{"imageTag": "v1"}])["images"]
    assert (got["imageManifest"], got["imageManifestMediaType"]) == (text, OCI)
    url = ecr.get_download_url_for_layer(**named, layerDigest=digest(LAYER))["downloadUrl"]
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - this AWS's own address
        assert answer.read() == LAYER
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{url}x", timeout=10)  # noqa: S310
    (detail,) = ecr.describe_images(**named)["imageDetails"]
    assert (detail["imageTags"], detail["imageSizeInBytes"]) == (["v1"], len(CONFIG) + len(LAYER))
    assert ecr.list_images(**named)["imageIds"] == [image["imageId"]]


def test_bytes_lie_on_disk_and_go_with_the_repository(aws, ecr):
    ecr.create_repository(repositoryName="on-disk")
    Pusher(ecr, "on-disk").layer(LAYER)
    (file,) = [path for path in Path(aws.home).rglob("sha256-*") if path.read_bytes() == LAYER]
    ecr.delete_repository(repositoryName="on-disk")
    assert not file.exists()


def test_a_tag_that_is_immutable_stays(ecr, pusher):
    pusher.image("v1", CONFIG, b"one")
    assert told(pusher.image, tag="v1", config=CONFIG)["Code"] == "ImageTagAlreadyExistsException"
    again = {**pusher.named, "imageManifest": manifest(CONFIG, b"one"), "imageTag": "v1"}
    assert told(ecr.put_image, **again)["Code"] == "ImageAlreadyExistsException"
    ecr.put_image_tag_mutability(**pusher.named, imageTagMutability="MUTABLE")
    newer = pusher.image("v1", CONFIG)["imageId"]
    (untagged,) = ecr.list_images(**pusher.named, filter={"tagStatus": "UNTAGGED"})["imageIds"]
    assert untagged["imageDigest"] == digest(manifest(CONFIG, b"one").encode())
    assert ecr.list_images(**pusher.named, filter={"tagStatus": "TAGGED"})["imageIds"] == [newer]


def test_a_manifest_whose_layers_are_not_there_is_no_image(ecr, pusher):
    put = {**pusher.named, "imageTag": "v1"}
    assert told(ecr.put_image, **put, imageManifest=manifest(b"c", b"l"))["Code"] == "LayersNotFoundException"
    pusher.layer(b"c")
    assert digest(b"l") in told(ecr.put_image, **put, imageManifest=manifest(b"c", b"l"))["Message"]
    wrong = {"imageManifest": manifest(b"c"), "imageDigest": digest(b"other")}
    assert told(ecr.put_image, **put, **wrong)["Code"] == "ImageDigestDoesNotMatchException"
    assert told(ecr.put_image, **put, imageManifest="{}")["Code"] == "InvalidParameterException"


def test_a_layer_must_be_what_it_is_said_to_be(ecr, pusher):
    upload = {**pusher.named, "uploadId": ecr.initiate_layer_upload(**pusher.named)["uploadId"]}
    assert told(ecr.complete_layer_upload, **upload, layerDigests=[digest(b"")])["Code"] == "EmptyUploadException"
    gap = {"partFirstByte": 1, "partLastByte": 2, "layerPartBlob": b"ab"}
    assert told(ecr.upload_layer_part, **upload, **gap)["Code"] == "InvalidLayerPartException"
    ecr.upload_layer_part(**upload, partFirstByte=0, partLastByte=1, layerPartBlob=b"ab")
    assert told(ecr.complete_layer_upload, **upload, layerDigests=[digest(b"cd")])["Code"] == "InvalidLayerException"
    ecr.upload_layer_part(**upload, partFirstByte=2, partLastByte=2, layerPartBlob=b"c")
    # Parts but for the last have 5 MiB: ECR API reference, LayerPartTooSmallException
    small = told(ecr.complete_layer_upload, **upload, layerDigests=[digest(b"abc")])
    assert small["Code"] == "LayerPartTooSmallException"
    pusher.layer(b"once")
    with pytest.raises(ecr.exceptions.LayerAlreadyExistsException):
        pusher.layer(b"once")


def test_a_repository_with_images_is_deleted_by_force_only(ecr, pusher):
    image = pusher.image("v1", CONFIG)["imageId"]
    assert told(ecr.delete_repository, **pusher.named)["Code"] == "RepositoryNotEmptyException"
    gone = ecr.batch_delete_image(**pusher.named, imageIds=[{"imageTag": "v1"}, {"imageTag": "v2"}])
    assert gone["imageIds"] == [image]
    assert [row["failureCode"] for row in gone["failures"]] == ["ImageNotFound"]
    assert told(ecr.describe_images, **pusher.named, imageIds=[{"imageTag": "v1"}])["Code"] == "ImageNotFoundException"


def test_policies_tags_and_tokens(ecr, pusher):
    named = pusher.named
    assert told(ecr.get_repository_policy, **named)["Code"] == "RepositoryPolicyNotFoundException"
    text = policy({"Effect": "Allow", "Principal": {"AWS": "777788889999"}, "Action": "ecr:BatchGetImage"})
    ecr.set_repository_policy(**named, policyText=text)
    assert ecr.get_repository_policy(**named)["policyText"] == text
    other = told(ecr.set_repository_policy, **named, policyText=text.replace("ecr:", "s3:"))
    assert other["Message"] == "Policy has invalid action: s3:BatchGetImage"
    rule = {
        "rulePriority": 1,
        "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan"},
        "action": {"type": "expire"},
    }
    ecr.put_lifecycle_policy(**named, lifecyclePolicyText=json.dumps({"rules": [rule]}))
    assert json.loads(ecr.get_lifecycle_policy(**named)["lifecyclePolicyText"])["rules"] == [rule]
    (repository,) = ecr.describe_repositories(repositoryNames=["fl/agent"])["repositories"]
    assert repository["repositoryUri"] == "444455556666.dkr.ecr.us-east-1.amazonaws.com/fl/agent"
    arn = repository["repositoryArn"]
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "team", "Value": "fl"}, {"Key": "stage", "Value": "x"}])
    ecr.untag_resource(resourceArn=arn, tagKeys=["stage"])
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "team", "Value": "fl"}]
    (token,) = ecr.get_authorization_token()["authorizationData"]
    assert token["proxyEndpoint"] == "https://444455556666.dkr.ecr.us-east-1.amazonaws.com"


def test_another_account_reads_what_the_policy_lends(aws, ecr, pusher):
    pusher.image("v1", CONFIG)
    theirs = aws.session("client-2").client("ecr")
    request = {**pusher.named, "registryId": "444455556666", "imageIds": [{"imageTag": "v1"}]}
    refused = told(theirs.batch_get_image, **request)
    assert refused["Code"] == "AccessDeniedException"
    assert "no resource-based policy allows the ecr:BatchGetImage action" in refused["Message"]
    lend = {"Effect": "Allow", "Principal": {"AWS": "777788889999"}, "Action": "ecr:BatchGetImage"}
    ecr.set_repository_policy(**pusher.named, policyText=policy(lend))
    assert len(theirs.batch_get_image(**request)["images"]) == 1
    assert told(theirs.delete_repository, **pusher.named)["Code"] == "RepositoryNotFoundException"  # their own


# --- pulls of a node, in this process ---------------------------------------------------------------------------------

ACCOUNT = "222233334444"
IMAGE = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/fl/agent"
PULL = ("ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Return the ARN of a role, of another account than the repository, if asked, and what changes its policy."""
    monkeypatch.setattr(state, "setting", [SimpleNamespace(jobs=tmp_path / "jobs", endpoint="http://127.0.0.1:1")])
    monkeypatch.setattr(state, "_repositories", {})
    made = []

    def make(account=ACCOUNT, actions=PULL):
        iam = iam_backends[account]["aws"]
        arn = iam.create_role("puller", trust("ec2.amazonaws.com"), "/", None, "", [], 3600, None).arn
        made.append(iam)
        iam.put_role_policy("puller", "may", policy(allow(*actions)))
        return arn

    yield make
    for iam in made:
        iam.delete_role_policy("puller", "may")
        iam.delete_role("puller")


@pytest.fixture
def pushed(node):
    def asked(**p):
        return Asked({"repositoryName": "fl/agent", **p}, ACCOUNT, "us-east-1")

    import base64

    repositories.create(asked())
    for data in (CONFIG, b"low", b"high"):
        upload = layers.initiate(asked())["uploadId"]
        place = {"partFirstByte": 0, "partLastByte": len(data) - 1}
        layers.upload_part(asked(uploadId=upload, **place, layerPartBlob=base64.b64encode(data).decode()))
        layers.complete(asked(uploadId=upload, layerDigests=[digest(data)]))
    images.put(asked(imageManifest=manifest(CONFIG, b"low", b"high"), imageTag="v1"))
    return asked


def test_a_node_pulls_by_tag_and_by_digest(node, pushed):
    role, name = node(), digest(manifest(CONFIG, b"low", b"high").encode())
    for image in (f"{IMAGE}:v1", f"{IMAGE}@{name}", f"{IMAGE}:v1@{name}"):
        got = pulls.pull(image, role)
        assert got.digest == name
        assert [path.read_bytes() for path in (got.config, *got.layers)] == [CONFIG, b"low", b"high"]


def test_of_an_index_the_node_s_own_image(node, pushed):
    name = digest(manifest(CONFIG, b"low", b"high").encode())
    rows = [{"digest": name, "platform": {"architecture": "amd64", "os": "linux"}}]
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": rows}
    images.put(pushed(imageManifest=json.dumps(index), imageTag="multi"))
    role = node()
    assert pulls.pull(f"{IMAGE}:multi", role).digest == name
    with pytest.raises(PullError, match="not found"):
        pulls.pull(f"{IMAGE}:multi", role, architecture="arm64")
    missing = {**index, "manifests": [{"digest": digest(b"gone")}]}
    with pytest.raises(EcrError, match="do not exist"):
        images.put(pushed(imageManifest=json.dumps(missing)))


WHY_NOT = [
    (PULL[1:], f"{IMAGE}:v1", "no basic auth credentials"),
    (PULL[:2], f"{IMAGE}:v1", "403 Forbidden"),
    (PULL, f"{IMAGE}:v2", "v2: not found"),
    (PULL, f"{IMAGE}-other:v1", "not found"),
    (PULL, "docker.io/library/python:3.11", "i/o timeout"),
]


@pytest.mark.parametrize(("actions", "image", "words"), WHY_NOT)
def test_a_pull_that_fails_says_why_in_the_kubelet_s_words(node, pushed, actions, image, words):
    with pytest.raises(PullError, match=words) as failed:
        pulls.pull(image, node(actions=actions))
    assert failed.value.reason == "ErrImagePull"
    assert str(failed.value).startswith(f'Failed to pull image "{image}": rpc error: code = ')


def test_names_and_networks(node, pushed):
    role = node()
    with pytest.raises(PullError) as failed:
        pulls.pull("No Image", role)
    assert failed.value.reason == "InvalidImageName"
    with pytest.raises(PullError, match=r"i/o timeout: ecr\.dkr is not reached: closed"):
        pulls.pull(f"{IMAGE}:v1", role, why_not=lambda service: "closed" if service == "ecr.dkr" else "")


def test_a_node_of_another_account_needs_the_repository_s_policy(node, pushed):
    other = node(account="444455556666")
    with pytest.raises(PullError, match="no resource-based policy allows the ecr:BatchGetImage"):
        pulls.pull(f"{IMAGE}:v1", other)
    lend = {"Effect": "Allow", "Principal": {"AWS": "444455556666"}, "Action": list(PULL[1:])}
    repositories.set_policy(pushed(policyText=policy(lend)))
    assert pulls.pull(f"{IMAGE}:v1", other)
