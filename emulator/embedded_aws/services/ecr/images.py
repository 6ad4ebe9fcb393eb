"""Operations on images: a manifest is taken when everything that it names is there.

Source: AWS, ECR API reference, PutImage, BatchGetImage, DescribeImages, BatchDeleteImage; OCI image specification.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from embedded_aws.services.ecr.requests import Answer, Asked, page
from embedded_aws.services.ecr.state import INDEXES, MANIFESTS, EcrError, Image, Repository

_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,299}", re.ASCII)


def put(asked: Asked) -> Answer:
    """PutImage."""
    repository, p = asked.repository(), asked.p
    text, tag = p["imageManifest"], p.get("imageTag")
    if tag is not None and not _TAG.fullmatch(tag):
        raise _invalid(f"the imageTag {tag!r} is none")
    manifest = _parsed(text)
    image = Image(text, _media_type(manifest, p.get("imageManifestMediaType")))
    if p.get("imageDigest") not in (None, image.digest):
        raise EcrError(
            "ImageDigestDoesNotMatchException",
            f"The provided image digest '{p['imageDigest']}' does not match the calculated digest '{image.digest}'",
        )
    _check_parts(repository, image)
    there = repository.images.get(image.digest)
    holder = repository.find(tag=tag) if tag else None
    if there and (tag is None or holder is there):
        raise EcrError(
            "ImageAlreadyExistsException",
            f"Image with digest '{image.digest}' and tag '{tag}' already exists in the repository with name "
            f"'{repository.name}' in registry with id '{repository.account}'",
        )
    if holder and repository.told["imageTagMutability"] == "IMMUTABLE":
        raise EcrError(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists in the '{repository.name}' repository and cannot be overwritten "
            "because the tag is immutable.",
        )
    if holder and tag:
        holder.tags.remove(tag)
    image = repository.images.setdefault(image.digest, image)
    if tag:
        image.tags.append(tag)
    return {"image": _told(repository, image, tag)}


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        manifest = json.loads(text)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("schemaVersion") != 2:
        raise _invalid("the imageManifest is not a manifest of schema version 2")
    return manifest


def _media_type(manifest: Mapping[str, Any], given: str | None) -> str:
    own = manifest.get("mediaType")
    if given and own and given != own:
        raise _invalid(f"the imageManifestMediaType {given} is not that of the manifest, {own}")
    guessed = INDEXES[0] if "manifests" in manifest else MANIFESTS[0]
    kind = own or given or guessed
    shape = ("manifests", list) if kind in INDEXES else ("layers", list)
    if kind not in (*INDEXES, *MANIFESTS):
        raise EcrError("UnsupportedImageTypeException", f"The media type {kind} is not supported")
    if not isinstance(manifest.get(shape[0]), shape[1]) or (kind in MANIFESTS and "config" not in manifest):
        raise _invalid(f"the imageManifest has no {shape[0]} or no config")
    return kind


def _check_parts(repository: Repository, image: Image) -> None:
    if image.media_type in INDEXES:
        named = [row.get("digest") for row in image.parsed["manifests"]]
        if missing := [digest for digest in named if digest not in repository.images]:
            raise EcrError(
                "ReferencedImagesNotFoundException",
                f"The images with digests '{missing}' that the image index refers to do not exist",
            )
        return
    missing = [part.get("digest") for part in image.parts() if part.get("digest") not in repository.layers]
    if missing:
        raise EcrError(
            "LayersNotFoundException",
            f"Layers with digests '{missing}' required for pushing image to repository with name '{repository.name}' "
            f"in the registry with id '{repository.account}' do not exist",
        )
    for part in image.parts():
        if part.get("size") not in (None, repository.layers[part["digest"]]):
            raise _invalid(f"the size of {part['digest']} in the manifest is not that of the layer")


def _invalid(words: str) -> EcrError:
    return EcrError("InvalidParameterException", f"Invalid parameter: {words}")


def _told(repository: Repository, image: Image, tag: str | None) -> Answer:
    return {
        "registryId": repository.account, "repositoryName": repository.name,
        "imageId": {"imageDigest": image.digest, **({"imageTag": tag} if tag else {})},
        "imageManifest": image.manifest, "imageManifestMediaType": image.media_type,
    }  # fmt: skip


def _each(asked: Asked, failures: list[Answer]) -> Iterator[tuple[Image, str | None]]:
    """Yield the images that a request names, with the tag by which it does; others are failures."""
    repository = asked.repository()
    for wanted in asked.p["imageIds"]:
        digest, tag = wanted.get("imageDigest"), wanted.get("imageTag")
        image = repository.find(digest=digest, tag=tag)
        if image:
            yield image, tag
        elif not (digest or tag):
            code, words = "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"
            failures.append({"imageId": wanted, "failureCode": code, "failureReason": words})
        else:
            failures.append(
                {"imageId": wanted, "failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
            )


def get(asked: Asked) -> Answer:
    """BatchGetImage."""
    failures: list[Answer] = []
    found = []
    for image, tag in _each(asked, failures):
        image.pulled = datetime.now(UTC)
        found.append(_told(asked.repository(), image, tag))
    return {"images": found, "failures": failures}


def delete(asked: Asked) -> Answer:
    """BatchDeleteImage: by tag only the tag goes, and with its last one the image."""
    repository, gone = asked.repository(), []
    failures: list[Answer] = []
    for image, tag in list(_each(asked, failures)):
        by_digest = any(wanted.get("imageDigest") == image.digest and not wanted.get("imageTag") for wanted in
                        asked.p["imageIds"])  # fmt: skip
        holders = [
            other
            for other in repository.images.values()
            if other.media_type in INDEXES and image.digest in [row["digest"] for row in other.parsed["manifests"]]
        ]
        if holders and (by_digest or image.tags == [tag]):
            failures.append(
                {
                    "imageId": {"imageDigest": image.digest}, "failureCode": "ImageReferencedByManifestList",
                    "failureReason": f"Requested image referenced by manifest list: [{holders[0].digest}]",
                }
            )  # fmt: skip
            continue
        tags = list(image.tags) if by_digest or tag is None else [tag]
        for name in tags:
            if name in image.tags:
                image.tags.remove(name)
        gone += [{"imageDigest": image.digest, "imageTag": name} for name in tags] or [{"imageDigest": image.digest}]
        if not image.tags:
            repository.images.pop(image.digest, None)
    return {"imageIds": gone, "failures": failures}


def _filtered(asked: Asked) -> list[Image]:
    status = asked.p.get("filter", {}).get("tagStatus", "ANY")
    images = asked.repository().images.values()
    return [image for image in images if status == "ANY" or bool(image.tags) == (status == "TAGGED")]


def describe(asked: Asked) -> Answer:
    """DescribeImages."""
    repository = asked.repository()
    images = _filtered(asked)
    if "imageIds" in asked.p:
        failures: list[Answer] = []
        images = [image for image, _ in _each(asked, failures)]
        if failures:
            wanted = failures[0]["imageId"]
            raise EcrError(
                "ImageNotFoundException",
                f"The image with imageId {{imageDigest:'{wanted.get('imageDigest', 'null')}', "
                f"imageTag:'{wanted.get('imageTag', 'null')}'}} does not exist within the repository with name "
                f"'{repository.name}' in the registry with id '{repository.account}'",
            )
    return page(asked, "imageDetails", [_detail(repository, image) for image in images])


def _detail(repository: Repository, image: Image) -> Answer:
    return {
        "registryId": repository.account, "repositoryName": repository.name, "imageDigest": image.digest,
        "imageSizeInBytes": sum(repository.layers[part["digest"]] for part in image.parts()),
        "imagePushedAt": image.pushed, "imageManifestMediaType": image.media_type,
        **({"imageTags": list(image.tags)} if image.tags else {}),
        **({"artifactMediaType": image.parsed["config"].get("mediaType", "")} if image.media_type in MANIFESTS else {}),
        **({"lastRecordedPullTime": image.pulled} if image.pulled else {}),
    }  # fmt: skip


def enlist(asked: Asked) -> Answer:
    """ListImages."""
    rows = [
        {"imageDigest": image.digest, **({"imageTag": tag} if tag else {})}
        for image in _filtered(asked)
        for tag in image.tags or [None]
    ]
    return page(asked, "imageIds", rows)
