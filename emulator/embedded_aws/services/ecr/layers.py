"""Operations on layers: pushed part by part and checked by their digest, and fetched at an address of this AWS.

Source: AWS, ECR API reference, InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload, GetDownloadUrlForLayer; ECR
user guide, "Amazon ECR service quotas" (parts of at least 5 MiB, but for the last).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import time
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from werkzeug.wrappers import Response
from werkzeug.wsgi import wrap_file

from embedded_aws.services.ecr import state
from embedded_aws.services.ecr.requests import Answer, Asked
from embedded_aws.services.ecr.state import EcrError, Repository, Upload

PAGE = "/_embedded_aws/ecr/layers/"
URL_SECONDS = 3600.0
PART_SIZE, SMALLEST_PART = 20 * 1024 * 1024, 5 * 1024 * 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)
_urls: dict[str, tuple[float, Path]] = {}  # unguessable end of the address -> until when, which file


def initiate(asked: Asked) -> Answer:
    """InitiateLayerUpload."""
    repository, name = asked.repository(), str(uuid.uuid4())
    upload = Upload(repository.folder / f"upload-{name}")
    upload.path.touch(mode=0o600)
    repository.uploads[name] = upload
    return {"uploadId": name, "partSize": PART_SIZE}


def upload_part(asked: Asked) -> Answer:
    """UploadLayerPart: the parts come one after the other."""
    repository, p = asked.repository(), asked.p
    upload = _upload(repository, p["uploadId"])
    try:
        blob = base64.b64decode(p["layerPartBlob"], validate=True)
    except binascii.Error:
        raise EcrError("InvalidParameterException", "layerPartBlob is not base64") from None
    first, last = p["partFirstByte"], p["partLastByte"]
    if first != upload.received or last != first + len(blob) - 1 or not blob:
        raise EcrError(
            "InvalidLayerPartException",
            f"Layer part is not valid: the next byte is {upload.received}, and {first} to {last} with {len(blob)} "
            "bytes was sent",
        )
    with upload.path.open("ab") as file:
        file.write(blob)
    upload.sizes.append(len(blob))
    return {**_of(repository), "uploadId": p["uploadId"], "lastByteReceived": last}


def complete(asked: Asked) -> Answer:
    """CompleteLayerUpload: the bytes must have the digest that they are said to have."""
    repository, p = asked.repository(), asked.p
    upload, wanted = _upload(repository, p["uploadId"]), p["layerDigests"]
    if not upload.received:
        raise EcrError("EmptyUploadException", "The specified layer upload does not contain any layer parts")
    if any(size < SMALLEST_PART for size in upload.sizes[:-1]):
        raise EcrError("LayerPartTooSmallException", f"Layer parts must be at least {SMALLEST_PART} bytes in size")
    with upload.path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    if wanted != [digest]:
        raise EcrError("InvalidLayerException", f"The layer digest {digest} does not match {', '.join(wanted)}")
    del repository.uploads[p["uploadId"]]
    if digest in repository.layers:
        upload.path.unlink()
        raise EcrError(
            "LayerAlreadyExistsException",
            f"The image layer '{digest}' already exists in the '{repository.name}' repository",
        )
    upload.path.rename(repository.path(digest))
    repository.layers[digest] = upload.received
    return {**_of(repository), "uploadId": p["uploadId"], "layerDigest": digest}


def _upload(repository: Repository, name: str) -> Upload:
    if name not in repository.uploads:
        raise EcrError(
            "UploadNotFoundException",
            f"The upload with id '{name}' does not exist in the repository with name '{repository.name}'",
        )
    return repository.uploads[name]


def check(asked: Asked) -> Answer:
    """BatchCheckLayerAvailability."""
    repository = asked.repository()
    found: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    for digest in asked.p["layerDigests"]:
        if not _DIGEST.fullmatch(digest):
            failures.append({"layerDigest": digest, "failureCode": "InvalidLayerDigest", "failureReason": "no digest"})
        elif digest in repository.layers:
            size = repository.layers[digest]
            found.append({"layerDigest": digest, "layerAvailability": "AVAILABLE", "layerSize": size})
        else:
            found.append({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"})
    return {"layers": found, "failures": failures}


def url(asked: Asked) -> Answer:
    """GetDownloadUrlForLayer: an address of this AWS that nobody can guess, good for an hour."""
    repository, digest = asked.repository(), asked.p["layerDigest"]
    if digest not in repository.layers:
        raise EcrError("LayersNotFoundException", f"The layer with digest '{digest}' does not exist")
    now, token = time.monotonic(), secrets.token_urlsafe(32)
    for old in [name for name, (until, _) in _urls.items() if until < now]:
        del _urls[old]
    _urls[token] = (now + URL_SECONDS, repository.path(digest))
    return {"downloadUrl": f"{state.setting[0].endpoint}{PAGE}{token}", "layerDigest": digest}


def _of(repository: Repository) -> Answer:
    return {"registryId": repository.account, "repositoryName": repository.name}


def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a request for a layer's bytes."""
    until, path = _urls.get(environ["PATH_INFO"].removeprefix(PAGE), (0.0, Path()))
    if environ["REQUEST_METHOD"] != "GET" or until < time.monotonic() or not path.is_file():
        return Response("AccessDenied", status=403)(environ, start_response)
    response = Response(
        wrap_file(environ, path.open("rb")), mimetype="application/octet-stream", direct_passthrough=True
    )
    response.content_length = path.stat().st_size
    return response(environ, start_response)
