"""Container image (OCI): agent and run from this repository, as a layer of code; pushed to the owner's own registry.

On AWS the owner builds it with ``Containerfile`` (podman, docker), base and packages included. Where there is no
container engine, the layer of code is all: the embedded AWS runs it with this machine's Python and packages. Either
way an image is an OCI layout, a folder, and its name is its digest: the same files give the same name.
Source: OCI image format specification 1.1; AWS, ECR API reference, "Pushing an image".
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from workshop import problems
from workshop.errors import AccountError, BundleError, MissingStep
from workshop.files import REPOSITORY

APP = "app"  # where the code is, in the image
PACKAGES = ("client_code", "problems", "workshop")
KINDS = (".py", ".toml", ".json", ".txt", ".lock")
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"  # packed by nothing: every machine gives the same digest
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
PART = 10 * 2**20  # bytes of a layer in one call
USER = "10001"


def build(folder: Path, *, problem: str = "") -> str:
    """Write the image of a problem as an OCI layout; return its digest, ``sha256:...``.

    Parameters
    ----------
    problem : str
        As ``problems.path`` takes it.
    """
    layer = _tar(_files(problem))
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": USER,
            "WorkingDir": f"/{APP}",
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE=1"],
            "Cmd": ["python", "agent.py"],
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs = {CONFIG_TYPE: json.dumps(config, sort_keys=True).encode(), LAYER_TYPE: layer}
    about = {kind: {"mediaType": kind, "digest": _digest(blob), "size": len(blob)} for kind, blob in blobs.items()}
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": about[CONFIG_TYPE],
            "layers": [about[LAYER_TYPE]],
        },
        sort_keys=True,
    ).encode()
    digest = _digest(manifest)
    index = {
        "schemaVersion": 2,
        "manifests": [{"mediaType": MANIFEST_TYPE, "digest": digest, "size": len(manifest)}],
    }
    store = folder / "blobs" / "sha256"
    store.mkdir(parents=True, exist_ok=True)
    for blob in (*blobs.values(), manifest):
        (store / _digest(blob).removeprefix("sha256:")).write_bytes(blob)
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return digest


def push(
    session: boto3.Session,
    repository: str,
    folder: Path,
    *,
    tag: str = "",
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> str:
    """Put the image of an OCI layout into a repository of the session's account; return its digest.

    Also one that ``podman save --format oci-dir`` or ``docker buildx build --output type=oci`` has written.

    Parameters
    ----------
    tag : str
        A name beside the digest; none by default.
    progress : callable
        Gets how many blobs are there, and of how many.

    Raises
    ------
    BundleError
        If the folder is no layout of one image.
    AccountError
        If the registry refuses.
    """
    text, manifest, media_type = _manifest(folder)
    ecr = session.client("ecr")
    blobs = [manifest["config"], *manifest["layers"]]
    try:
        for number, blob in enumerate(blobs, 1):
            path = folder / "blobs" / "sha256" / blob["digest"].removeprefix("sha256:")
            _push_blob(ecr, repository, blob["digest"], path)
            progress(number, len(blobs))
        image = {"imageTag": tag} if tag else {"imageDigest": _digest(text)}
        ecr.put_image(
            repositoryName=repository, imageManifest=text.decode(), imageManifestMediaType=media_type, **image
        )
    except ecr.exceptions.ImageAlreadyExistsException:
        pass
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"repository {repository} does not take the image: {error}") from error
    return _digest(text)


def newest(session: boto3.Session, repository: str, *, account: str) -> str:
    """Return the digest of the image that was pushed last.

    Raises
    ------
    MissingStep
        If the repository holds none; with the commands that build and push one.
    AccountError
        If the registry refuses.
    """
    try:
        pages = session.client("ecr").get_paginator("describe_images").paginate(repositoryName=repository)
        known = [image for page in pages for image in page["imageDetails"]]
    except (BotoCoreError, ClientError) as error:
        raise AccountError(f"account {account}: repository {repository} does not tell its images: {error}") from error
    if not known:
        raise MissingStep(
            f"account {account}: repository {repository} holds no image. Build it from this repository with podman or "
            "docker (the first lines of Containerfile), save it with `podman save --format oci-dir --output FOLDER "
            f"IMAGE`, and push it with `fl cluster {account} --image FOLDER`"
        )
    return max(known, key=lambda image: image["imagePushedAt"])["imageDigest"]


def _push_blob(ecr: Any, repository: str, digest: str, path: Path) -> None:
    asked = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])
    if any(layer["layerAvailability"] == "AVAILABLE" for layer in asked["layers"]):
        return
    upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
    about = {"repositoryName": repository, "uploadId": upload}
    first = 0
    with path.open("rb") as file:
        while part := file.read(PART):
            last = first + len(part) - 1
            ecr.upload_layer_part(**about, partFirstByte=first, partLastByte=last, layerPartBlob=part)
            first = last + 1
    ecr.complete_layer_upload(**about, layerDigests=[digest])


def _manifest(folder: Path) -> tuple[bytes, dict[str, Any], str]:
    """Return the manifest of the one image in a layout, as text and read, and its media type."""
    try:
        (entry,) = json.loads((folder / "index.json").read_text())["manifests"]
        text = (folder / "blobs" / "sha256" / entry["digest"].removeprefix("sha256:")).read_bytes()
        manifest = json.loads(text)
        _ = [manifest["config"], *manifest["layers"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(
            f"{folder} is no OCI layout of one image ({error!r}): `python -m workshop image build`, or `podman save "
            "--format oci-dir`, writes one"
        ) from error
    return text, manifest, entry["mediaType"]


def _files(problem: str) -> dict[str, bytes]:
    """Return what is in the image, by path: the client's modules at the top, as in a job, and the packages."""
    files = {f"{APP}/problem.toml": problems.path(problem).read_bytes()}
    for path in (REPOSITORY / "client_code").glob("*.py"):
        if path.name != "__init__.py":
            files[f"{APP}/{path.name}"] = path.read_bytes()
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*"):
            if path.suffix in KINDS and "__pycache__" not in path.parts:
                files[f"{APP}/{path.relative_to(REPOSITORY)}"] = path.read_bytes()
    return files


def _tar(files: dict[str, bytes]) -> bytes:
    """Return a tar that depends on nothing but the files: no times, no owners, sorted."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o444
            tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
