"""Repositories of all accounts: what the API says of each, its images, and its layers, whose bytes lie on disk.

Every operation works under one lock.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedded_aws.service import Setting

lock = threading.RLock()
setting: list[Setting] = []  # one, since the service was installed
INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")


class EcrError(Exception):
    """A request that ECR refuses."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Image:
    """An image, or an index of images: its manifest as it was pushed."""

    manifest: str
    media_type: str
    tags: list[str] = field(default_factory=list)
    pushed: datetime = field(default_factory=lambda: datetime.now(UTC))
    pulled: datetime | None = None

    @property
    def digest(self) -> str:
        """The digest of the manifest, by which the image is known."""
        return digest_of(self.manifest.encode())

    @property
    def parsed(self) -> Mapping[str, Any]:
        """The manifest."""
        return json.loads(self.manifest)

    def parts(self) -> Iterator[Mapping[str, Any]]:
        """Yield the descriptors of configuration and layers."""
        if self.media_type in MANIFESTS:
            yield self.parsed["config"]
            yield from self.parsed["layers"]


@dataclass
class Upload:
    """A layer that is being pushed, part by part."""

    path: Path
    sizes: list[int] = field(default_factory=list)

    @property
    def received(self) -> int:
        """Bytes that have come."""
        return sum(self.sizes)


@dataclass
class Repository:
    """One repository."""

    account: str
    region: str
    told: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    policy: str | None = None
    lifecycle: str | None = None
    images: dict[str, Image] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)  # digest -> bytes
    uploads: dict[str, Upload] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name, in which there may be slashes."""
        return self.told["repositoryName"]

    @property
    def folder(self) -> Path:
        """Where the bytes are."""
        return folder() / self.account / self.region / self.name.replace("/", "%")

    def path(self, digest: str) -> Path:
        """Return the file of a layer."""
        return self.folder / digest.replace(":", "-")

    def find(self, *, digest: str | None = None, tag: str | None = None) -> Image | None:
        """Return an image by digest, by tag, or by both."""
        for image in self.images.values():
            if (digest in (None, image.digest)) and (tag is None or tag in image.tags) and (digest or tag):
                return image
        return None


_repositories: dict[tuple[str, str, str], Repository] = {}


def folder() -> Path:
    """Return the folder of all layers, beside that of the jobs; what an earlier server left is cleared by ``clear``."""
    return setting[0].jobs.parent / "ecr"


def clear() -> None:
    """Forget everything, as a server does that starts."""
    _repositories.clear()
    shutil.rmtree(folder(), ignore_errors=True)


def add(repository: Repository) -> None:
    """Add a repository."""
    key = (repository.account, repository.region, repository.name)
    if key in _repositories:
        raise EcrError(
            "RepositoryAlreadyExistsException",
            f"The repository with name '{repository.name}' already exists in the registry with id "
            f"'{repository.account}'",
        )
    repository.folder.mkdir(parents=True, mode=0o700)
    _repositories[key] = repository


def remove(repository: Repository) -> None:
    """Forget a repository and its bytes."""
    del _repositories[repository.account, repository.region, repository.name]
    shutil.rmtree(repository.folder, ignore_errors=True)


def look(account: str, region: str, name: str) -> Repository | None:
    """Return a repository, or None."""
    return _repositories.get((account, region, name))


def find(account: str, region: str, name: str) -> Repository:
    """Return a repository.

    Raises
    ------
    EcrError
        If there is none of that name.
    """
    repository = look(account, region, name)
    if repository is None:
        raise EcrError(
            "RepositoryNotFoundException",
            f"The repository with name '{name}' does not exist in the registry with id '{account}'",
        )
    return repository


def of_arn(arn: str) -> Repository | None:
    """Return the repository of an ARN, or None."""
    parts = arn.split(":", 5)
    return look(parts[4], parts[3], parts[5].removeprefix("repository/")) if len(parts) == 6 else None


def of_account(account: str, region: str) -> list[Repository]:
    """Return the repositories of an account in a region, by name."""
    mine = [repository for key, repository in _repositories.items() if key[:2] == (account, region)]
    return sorted(mine, key=lambda repository: repository.name)


def everything() -> list[Repository]:
    """Return all repositories."""
    return list(_repositories.values())


def digest_of(data: bytes) -> str:
    """Return the digest of bytes.

    >>> digest_of(b"")
    'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
